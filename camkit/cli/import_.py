from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from camkit.cli import options as o
from camkit.cli.options import DtypeChoice
from camkit.defaults import WORKERS

FormatChoice = Literal["auto", "psa", "irn", "npz", "png", "coco", "deeplab", "huggingface"]
KindChoice = Literal["maps", "probs"]
FILES = "Files"


def command(
    path: Annotated[Path, typer.Argument(metavar="FOLDER|FILE", help="What to import.", show_default=False)],
    out: o.Out = None,
    format: Annotated[
        FormatChoice,
        typer.Option(help="What wrote the files; auto looks into them.", rich_help_panel=FILES),
    ] = "auto",
    kind: Annotated[
        KindChoice | None,
        typer.Option(
            help="Of psa, irn, npz: maps, or probabilities with a background. Default: probs where they sum to 1.",
            rich_help_panel=FILES,
            show_default=False,
        ),
    ] = None,
    array: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of irn, npz: the array to take. Default: cam or its like, else high_res or its like.",
            rich_help_panel=FILES,
            show_default=False,
        ),
    ] = None,
    clip: Annotated[
        bool,
        typer.Option("--clip", help="Take values below 0 as 0 and above 1 as 1.", rich_help_panel=FILES),
    ] = False,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="voc|coco|FILE",
            help="Class names, one a line, without background. Default: those in the files, else VOC's 20.",
            rich_help_panel=FILES,
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="The photos: they say the ids, and how large an image is where the files do not.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    list: o.List = None,
    limit: o.Limit = None,
    dtype: Annotated[
        DtypeChoice | None,
        typer.Option(
            "--dtype",
            help="Number type of maps and probabilities. Default: float16.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    workers: o.Workers = WORKERS,
    on_error: o.OnError = "skip",
) -> None:
    """A store from what other programs wrote: class activation maps, CRF probabilities, masks.

    psa: .npy dicts {class: map}, of PSA, SEAM, MCTformer, …, and their CRF results
    irn: .npy dicts {keys, cam, high_res}, of IRN, ReCAM, LPCAM, CLIP-ES, …
    npz: .npz files with such arrays, or an array named after each class
    png: a folder of masks
    coco: JSON of results or instances, with run lengths or polygons
    deeplab: a list of images and masks
    huggingface: a folder with metadata.jsonl

    Pickles are read as data, nothing in them is executed.

    camkit import old_cams/ --out cams.h5

    camkit import out_cam/ --images VOC2012/ --list val | camkit evaluate --gt VOC2012/

    camkit import instances_val2014.json --classes coco --images val2014/ --out masks.h5
    """
    from camkit.cli.console import close_with
    from camkit.pipeline.output import Output, Runtime
    from camkit.stages.import_ import Foreign, import_files

    summary = import_files(
        path,
        Output(out, overwrite, dtype),
        Runtime(workers=workers, on_error=on_error),
        Foreign(
            format=None if format == "auto" else format,
            kind=kind,
            classes=classes,
            array=array,
            images=images,
            list=list,
            limit=limit,
            clip=clip,
        ),
    )
    close_with(summary, out)

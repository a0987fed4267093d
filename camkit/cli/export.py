from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from camkit.cli import options as o
from camkit.defaults import MASK_THRESHOLD

FormatChoice = Literal["psa", "irn", "npz", "png", "coco", "deeplab", "huggingface"]


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[STORE]... DIR",
            help="Input store, or the shards of one; - or nothing in a pipe: standard input. Then the folder to write.",
            show_default=False,
        ),
    ],
    format: Annotated[
        FormatChoice,
        typer.Option(help="What is to read the files.", rich_help_panel=o.OUTPUT, show_default=False),
    ],
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help=f"Of maps that become masks: as of camkit mask. Default: {MASK_THRESHOLD:g}.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="Of deeplab, huggingface: where the photos are. Default: where the store's were.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    list: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Of deeplab: the list of images and masks to write. Default: list.txt in DIR.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    on_error: o.OnError = "skip",
) -> None:
    """A folder in the format of another program: of maps, probabilities or masks.

    psa: .npy dicts {class: map} at full size, of maps or probabilities
    irn: .npy dicts {keys, cam, high_res}, of maps
    npz: .npz files, of maps or probabilities
    png: masks with the VOC palette; here and below, of masks or what camkit mask makes masks of
    coco: results.json with run lengths, which cannot say undecided
    deeplab: masks, and a list of photos and masks
    huggingface: photos, masks and metadata.jsonl, for load_dataset("imagefolder")

    camkit export cams.h5 out_cam/ --format psa

    camkit export masks.h5 VOC2012/SegmentationClassPseudo --format deeplab --list train_pseudo.txt

    camkit crf cams.h5 | camkit export masks/ --format png
    """
    from camkit.cli.console import close_with
    from camkit.pipeline.output import Runtime
    from camkit.stages.export import export_store

    *stores, folder = paths
    summary = export_store(
        stores,
        folder,
        format,
        Runtime(on_error=on_error),
        threshold=threshold,
        list=list,
        images=images,
        overwrite=overwrite,
    )
    close_with(summary, folder)

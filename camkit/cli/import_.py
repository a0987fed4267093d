from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from camkit.cli import options as o
from camkit.cli.groups import Group, Panel
from camkit.types import Format

if TYPE_CHECKING:
    from camkit.stages import import_ as stages

FILES = Panel("Files")


def foreign(
    format: Annotated[Literal["auto", Format], FILES("What wrote the files; auto looks into them.")] = "auto",
    kind: Annotated[
        Literal["maps", "probs"] | None,
        FILES("Of psa, irn, npz: maps, or probabilities with a background. Default: probs where they sum to 1."),
    ] = None,
    array: Annotated[
        str | None,
        FILES("Of irn, npz: the array to take. Default: cam or its like, else high_res or its like.", metavar="NAME"),
    ] = None,
    clip: Annotated[bool, FILES("Take values below 0 as 0 and above 1 as 1.", "--clip")] = False,
    classes: Annotated[
        str | None,
        FILES(
            "Class names, one a line, without background. Default: those in the files, else VOC's 20.",
            metavar="voc|coco|FILE",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        o.IMAGES("The photos: they say the ids, and how large an image is where the files do not."),
    ] = None,
    list: o.List = None,
    limit: o.Limit = None,
) -> Foreign:
    from camkit.stages.import_ import Foreign

    return Foreign(None if format == "auto" else format, kind, classes, array, images, list, limit, clip)


Foreign = Annotated["stages.Foreign", Group(foreign)]


def command(
    *,
    path: Annotated[Path, typer.Argument(metavar="FOLDER|FILE", help="What to import.")],
    foreign: Foreign,
    output: o.OutputOfSome,
    runtime: o.NoNetwork,
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
    from camkit.stages.import_ import import_files

    close_with(import_files(path, output, runtime, foreign), output.out)

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camkit.cli import options as o
from camkit.cli.groups import Group
from camkit.defaults import LARGE_TILE, MASK_THRESHOLD, SHEET_LIMIT, TILE, WORKERS
from camkit.types import Sort

if TYPE_CHECKING:
    from camkit.stages.exhibition import View as StageView

Stores = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[STORE]...",
        help="Stores of maps, signed scores, probabilities or masks, or folders of masks (with --images), a column "
        "each; - or nothing in a pipe: standard input.",
    ),
]


def view(
    images: Annotated[Path | None, o.IMAGES("Where the photos are. Default: where the first store's were.")] = None,
    truth: Annotated[
        Path | None,
        o.IMAGES(
            "Show the ground truth too, and the IoU of every image: a folder of PNG masks, or a VOC root.",
            "--gt",
            metavar="FOLDER",
        ),
    ] = None,
    list: o.List = None,
    id: Annotated[list[str] | None, o.IMAGES("Only this image; may be repeated.", "--id", metavar="ID")] = None,
    class_: Annotated[
        list[str] | None,
        o.IMAGES(
            "Only images with this class by the first store, and only its maps; may be repeated.",
            "--class",
            metavar="NAME",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        o.IMAGES(f"Only the first N images. Default: {SHEET_LIMIT} on a sheet, all on a page.", metavar="N", low=1),
    ] = None,
    sort: Annotated[Sort, o.IMAGES("By id, or by the mean IoU of the image in the first store.")] = "id",
    threshold: Annotated[
        float | None,
        o.METHOD(
            "Draw a line around what lies above; IoU of maps is at it. Default with --gt: "
            f"{MASK_THRESHOLD:g}, as camkit mask; on a page the best.",
            metavar="T",
            low=0.0,
            high=1.0,
        ),
    ] = None,
    ci: Annotated[
        bool,
        o.METHOD(
            "On a page: how sure mIoU is, and the differences to the first store (bootstrap over images).", "--ci"
        ),
    ] = False,
    tile: Annotated[
        int | None,
        o.OUTPUT(
            f"Longer side of a picture in pixels. Default: {TILE}; {LARGE_TILE} where there is one image of one store.",
            metavar="N",
            low=32,
            high=4000,
        ),
    ] = None,
    workers: o.Workers = WORKERS,
) -> View:
    from camkit.stages.exhibition import View

    return View(images, truth, list, tuple(id or ()), tuple(class_ or ()), limit, sort, tile, threshold, workers, ci)


View = Annotated["StageView", Group(view)]


def command(
    stores: Stores = None,
    *,
    prototypes: Annotated[
        Path | None,
        o.UNTITLED(
            "Instead of stores of images: the patches nearest to each prototype of camkit lpcam-cluster.",
            metavar="FILE|-",
        ),
    ] = None,
    view: View,
    names: Annotated[
        str | None, o.OUTPUT("What stands above the columns. Default: the file names.", metavar="A,B,…")
    ] = None,
    out: Annotated[
        Path | None,
        o.OUTPUT("The picture to write. Default: sheet.png.", "--out", "-o", metavar="PNG|JPG|WEBP"),
    ] = None,
    html: Annotated[
        Path | None,
        o.OUTPUT("Instead of a picture: a page with figures, curves and all images, in one file.", metavar="FILE"),
    ] = None,
) -> None:
    """Look at stores: photos with maps or masks over them, side by side on a sheet, one large overlay, or a page.

    Colours can be told apart by colour-blind readers. With --gt the ground truth stands beside, and IoU below.

    camkit show cams.h5

    camkit show cams.h5 infercams.h5 masks.h5 --gt VOC2012/ --sort worst --out worst.png

    camkit show cams.h5 --id 2007_000032 --class dog --out overlay.png

    camkit show cams.h5 masks.h5 --gt VOC2012/ --html report.html

    camkit show --prototypes prototypes.h5 --class train --out prototypes.png
    """
    from camkit.cli.console import log
    from camkit.errors import UsageError
    from camkit.stages.show import columns_of, show_sheet, write_report

    if out is not None and html is not None:
        raise UsageError("give --out for a picture or --html for a page, not both")
    if view.interval and (html is None or view.truth is None):
        raise UsageError("--ci is for a page with figures: give --html and --gt")
    picture = html or out or Path("sheet.png")
    if prototypes is not None:
        show_those(prototypes, picture, view, others=bool(stores or names))
        return
    with columns_of(stores or [], names.split(",") if names else [], view.images) as columns:
        if html is not None:
            count = write_report(columns, html, view, title=", ".join(column.name for column in columns))
            log.info("%s: %d images", html, count)
        else:
            log.info("%s: %d rows", picture, show_sheet(columns, picture, view))


def show_those(prototypes: Path, picture: Path, view: StageView, *, others: bool) -> None:
    from camkit.cli.console import log
    from camkit.errors import UsageError
    from camkit.stages.exhibition import View
    from camkit.stages.show_prototypes import show_prototypes

    taken = View(images=view.images, classes=view.classes, tile=view.tile, workers=view.workers)
    if others or view != taken:
        raise UsageError("--prototypes goes with --images, --class, --tile, --out and --html alone")
    count = show_prototypes(
        prototypes, picture, images=view.images, classes=view.classes, tile=view.tile, workers=view.workers
    )
    log.info("%s: the prototypes of %d class%s", picture, count, "" if count == 1 else "es")

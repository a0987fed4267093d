from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from camkit.cli import options as o
from camkit.defaults import WORKERS

SortChoice = Literal["id", "worst", "best"]


def command(
    stores: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[STORE]...",
            help="Stores of maps, signed scores, probabilities or masks, a column each; "
            "- or nothing in a pipe: standard input.",
            show_default=False,
        ),
    ] = None,
    prototypes: Annotated[
        Path | None,
        typer.Option(
            "--prototypes",
            metavar="FILE|-",
            help="Instead of stores of images: the patches nearest to each prototype of camkit lpcam-cluster.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="Where the photos are. Default: where the first store's were.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--gt",
            metavar="FOLDER",
            help="Show the ground truth too, and the IoU of every image: a folder of PNG masks, or a VOC root.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    list: o.List = None,
    id: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Only this image; may be repeated.", rich_help_panel=o.IMAGES),
    ] = None,
    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Only images with this class by the first store, and only its maps; may be repeated.",
            rich_help_panel=o.IMAGES,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Only the first N images. Default: 24 on a sheet, all on a page.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    sort: Annotated[
        SortChoice,
        typer.Option(help="By id, or by the mean IoU of the image in the first store.", rich_help_panel=o.IMAGES),
    ] = "id",
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="T",
            help="Draw a line around what lies above; IoU of maps is at it. Default with --gt: 0.3, as camkit mask; "
            "on a page the best.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="What stands above the columns. Default: the file names.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=32,
            max=4000,
            help="Longer side of a picture in pixels. Default: 240; 640 where there is one image of one store.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PNG|JPG|WEBP",
            help="The picture to write. Default: sheet.png.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Instead of a picture: a page with figures, curves and all images, in one file.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    ci: Annotated[
        bool,
        typer.Option(
            "--ci",
            help="On a page: how sure mIoU is, and the differences to the first store (bootstrap over images).",
            rich_help_panel=o.METHOD,
        ),
    ] = False,
    workers: o.Workers = WORKERS,
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
    from camkit.stages.show import View, columns_of, show_sheet, write_report

    if out is not None and html is not None:
        raise UsageError("give --out for a picture or --html for a page, not both")
    if ci and (html is None or truth is None):
        raise UsageError("--ci is for a page with figures: give --html and --gt")
    if prototypes is not None:
        from camkit.stages.show_prototypes import show_prototypes

        if stores or truth or list or id or limit or names or threshold is not None or sort != "id":
            raise UsageError("--prototypes goes with --images, --class, --tile, --out and --html alone")
        picture = html or out or Path("sheet.png")
        count = show_prototypes(prototypes, picture, images=images, classes=class_ or (), tile=tile, workers=workers)
        log.info("%s: the prototypes of %d class%s", picture, count, "" if count == 1 else "es")
        return
    view = View(images, truth, list, tuple(id or ()), tuple(class_ or ()), limit, sort, tile, threshold, workers, ci)
    with columns_of(stores or [], names.split(",") if names else []) as columns:
        if html is not None:
            count = write_report(columns, html, view, title=", ".join(column.name for column in columns))
            log.info("%s: %d images", html, count)
        else:
            out = out or Path("sheet.png")
            log.info("%s: %d rows", out, show_sheet(columns, out, view))

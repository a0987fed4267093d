from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.cli.options import DtypeChoice, OnErrorChoice
from camkit.defaults import MASK_THRESHOLD


class MethodChoice(StrEnum):
    superpixel = "superpixel"


class HowChoice(StrEnum):
    average = "average"
    vote = "vote"


def command(
    method: Annotated[MethodChoice, typer.Argument(help="By what to refine.", show_default=False)],
    superpixels: Annotated[
        Path,
        typer.Option("--superpixels", help="Store that camkit superpixels wrote.", rich_help_panel=o.METHOD),
    ],
    stores: o.Stores = None,
    how: Annotated[
        HowChoice | None,
        typer.Option(
            help="average: every pixel gets the mean of its superpixel. vote: the label that most of its pixels have, "
            "on ties the smallest; undecided pixels do not vote. Default: average, of masks vote.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help=f"Of a vote on maps: as of camkit mask. Default: {MASK_THRESHOLD:g}.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    out: o.Out = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="full|N",
            help="Resolution of averages: full, or one value per N pixels. Default: 4.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        DtypeChoice | None,
        typer.Option(help="Number type of averages. Default: float16.", rich_help_panel=o.OUTPUT, show_default=False),
    ] = None,
    overwrite: o.Overwrite = False,
    on_error: o.OnError = OnErrorChoice.skip,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    debug: o.Debug = False,
) -> None:
    """Refine maps, probabilities or masks by what else is known of the photos.

    superpixel: what a store says is made the same all over each superpixel. Averages stay as they are, so the largest
    value of a map may fall below 1. A vote gives masks, also of maps (by --threshold) and of probabilities.

    camkit refine superpixel cams.h5 --superpixels superpixels.h5 --out refined.h5

    camkit refine superpixel masks.h5 --superpixels superpixels.h5 | camkit evaluate --gt VOC2012/
    """
    from camkit.cli.console import close_with
    from camkit.pipeline.output import Output, Runtime
    from camkit.stages.refine import refine_superpixel

    summary = refine_superpixel(
        stores or [],
        superpixels,
        Output(out, overwrite, None if dtype is None else dtype.value),
        Runtime(on_error=on_error.value),
        how=None if how is None else how.value,
        threshold=threshold,
        size=size,
    )
    close_with(summary, out)

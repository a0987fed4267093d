from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from camkit.cli import options as o
from camkit.defaults import MASK_THRESHOLD

RuleChoice = Literal["threshold", "icd"]


def command(
    stores: o.Stores = None,
    rule: Annotated[
        RuleChoice | None,
        typer.Option(
            help="threshold of maps; icd of signed scores: foreground above 0, background where all are below, what == "
            "neither undecided. Default: the one that fits the store.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Of maps: a pixel belongs to the class with the largest map where that is above, else to background. "
            f"camkit evaluate finds the best one where there is ground truth. Default: {MASK_THRESHOLD:g}.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    cams: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="icd: CAMs of the same images (camkit icd-apply --branch cam --raw). Of classes that claim a pixel "
            "that with the largest product of CAM and score gets it, without CAMs that with the largest score.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    saliency: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="icd: grey pictures of how salient each pixel is; background is below 0.01, whatever the scores are.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    out: o.Out = None,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Instead of a store: a folder of PNGs with the VOC palette.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    on_error: o.OnError = "skip",
) -> None:
    """Segmentation masks from a store of maps, signed scores, probabilities (by the most probable class) or masks.

    Masks are as large as the photo: 0 background, class + 1, 255 undecided.

    camkit mask cams.h5 --threshold 0.25 --out masks.h5

    camkit mask cams.h5 --png masks/

    camkit mask scores.h5 --rule icd --cams raw-cams.h5 --out seeds.h5
    """
    from camkit.cli.console import close_with
    from camkit.errors import UsageError
    from camkit.pipeline.output import Output, Runtime
    from camkit.stages.mask import mask

    if png is not None and out is not None:
        raise UsageError("give --out for a store or --png for a folder, not both")
    summary = mask(
        stores or [],
        Output(out, overwrite),
        Runtime(on_error=on_error),
        threshold=threshold,
        png=png,
        rule=rule,
        cams=cams,
        saliency=saliency,
    )
    close_with(summary, png or out)

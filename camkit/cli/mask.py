from __future__ import annotations

from pathlib import Path
from typing import Annotated

from camkit.cli import options as o
from camkit.defaults import MASK_THRESHOLD, SALIENT_FROM
from camkit.types import Rule


def command(
    *,
    stores: o.Stores,
    rule: Annotated[
        Rule | None,
        o.METHOD(
            "threshold of maps; icd of signed scores: foreground above 0, background where all are below, what is "
            "neither undecided. Default: the one that fits the store."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        o.METHOD(
            "Of maps: a pixel belongs to the class with the largest map where that is above, else to background. "
            f"camkit evaluate finds the best one where there is ground truth. Default: {MASK_THRESHOLD:g}.",
            low=0.0,
            high=1.0,
        ),
    ] = None,
    cams: Annotated[
        Path | None,
        o.METHOD(
            "icd: CAMs of the same images (camkit icd-apply --branch cam --raw). Of classes that claim a pixel that "
            "with the largest product of CAM and score gets it, without CAMs that with the largest score.",
            metavar="STORE",
        ),
    ] = None,
    saliency: Annotated[
        Path | None,
        o.METHOD(
            f"icd: grey pictures of how salient each pixel is; background is below {SALIENT_FROM:g}, whatever the "
            "scores are.",
            metavar="FOLDER",
        ),
    ] = None,
    output: o.Store,
    png: Annotated[
        Path | None, o.OUTPUT("Instead of a store: a folder of PNGs with the VOC palette.", metavar="FOLDER")
    ] = None,
    runtime: o.NoPhotos,
) -> None:
    """Segmentation masks from a store of maps, signed scores, probabilities (by the most probable class) or masks.

    Masks are as large as the photo: 0 background, class + 1, 255 undecided.

    camkit mask cams.h5 --threshold 0.25 --out masks.h5

    camkit mask cams.h5 --png masks/

    camkit mask scores.h5 --rule icd --cams raw-cams.h5 --out seeds.h5
    """
    from camkit.cli.console import close_with
    from camkit.errors import UsageError
    from camkit.stages.mask import mask

    if png is not None and output.out is not None:
        raise UsageError("give --out for a store or --png for a folder, not both")
    summary = mask(stores, output, runtime, threshold=threshold, png=png, rule=rule, cams=cams, saliency=saliency)
    close_with(summary, png or output.out)

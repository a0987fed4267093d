from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Group
from camkit.defaults import MAP_STRIDE, MASK_THRESHOLD
from camkit.settings.superpixels import How
from camkit.types import Resolution

AVERAGES = {"dtype": "Number type of averages. Default: float16."}
SIZE = {"size": f"Resolution of averages: full, or one value per N pixels. Default: {MAP_STRIDE}."}


def command(
    *,
    stores: o.Stores,
    superpixels: Annotated[Path, o.METHOD("Store that camkit superpixels wrote.")],
    how: Annotated[
        How | None,
        o.METHOD(
            "average: every pixel gets the mean of its superpixel. vote: the label that most of its pixels have, on "
            "ties the smallest; undecided pixels do not vote. Default: average, of masks vote."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        o.METHOD(f"Of a vote on maps: as of camkit mask. Default: {MASK_THRESHOLD:g}.", low=0.0, high=1.0),
    ] = None,
    output: Annotated[Any, Group(o.output_of_some, AVERAGES)],
    size: Annotated[Resolution | None, Group(o.size_of_some, SIZE)],
    runtime: o.NoPhotos,
) -> None:
    """What a store says is made the same all over each superpixel.

    Averages stay as they are, so the largest value of a map may fall below 1. A vote gives masks, also of maps (by
    --threshold) and of probabilities.

    camkit refine superpixel cams.h5 --superpixels superpixels.h5 --out refined.h5
    """
    from camkit.cli.console import close_with
    from camkit.stages.refine_superpixel import refine_superpixel

    summary = refine_superpixel(stores, superpixels, output, runtime, how=how, threshold=threshold, size=size)
    close_with(summary, output.out)

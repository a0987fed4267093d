from __future__ import annotations

from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Group, Settings
from camkit.cli.refine_walk import RESIZE, runtime
from camkit.settings.pixel import PRESETS, Preset
from camkit.types import LongerSide, Resolution

DTYPE = {"dtype": "Number type of the result. Default: float16."}
SIZE = {"size": "Resolution of the result: full (default: edges are what this is for), or one value per N pixels."}


def command(
    *,
    stores: o.Stores,
    images: o.Photos = None,
    shard: o.Shard,
    preset: Annotated[
        Preset,
        o.METHOD(
            "par: of AFA, by squares of differences, and a little by distance; pamr: of Single-Stage Segmentation."
        ),
    ] = "par",
    changes: Annotated[dict[str, Any], Settings(PRESETS, o.METHOD)],
    resize: Annotated[LongerSide | None, Group(o.resize, RESIZE)],
    output: Annotated[Any, Group(o.output_of_some, DTYPE)],
    size: Annotated[Resolution | None, Group(o.size_of_some, SIZE)],
    runtime: Annotated[Any, Group(runtime)],
) -> None:
    """Maps or probabilities follow the colours of the photo: pixels that look alike lend each other their values.

    Pixel-adaptive refinement (PAR, PAMR): no network, no training, and faster than a CRF. Takes a store of maps, signed
    scores or probs and writes one of the same kind; the largest value of a map may fall below 1.

    camkit refine pixel cams.h5 --out refined.h5

    camkit refine pixel cams.h5 | camkit crf --preset irn | camkit evaluate --gt VOC2012/
    """
    from camkit.cli.console import close_with
    from camkit.stages.refine_pixel import refine_pixel

    summary = refine_pixel(
        stores, output, runtime, preset=preset, changes=changes, images=images, resize=resize, size=size, shard=shard
    )
    close_with(summary, output.out)

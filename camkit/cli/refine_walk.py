from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Group, Settings
from camkit.defaults import LARGEST_SIDE, MAP_STRIDE
from camkit.settings.walk import PRESETS, Affinity, Preset
from camkit.types import LongerSide, Resolution

SIZE = {"size": f"Resolution of the probabilities: full, or one value per N pixels. Default: {MAP_STRIDE}."}
RESIZE = {"resize": f"Longer side of a photo as it is seen. Default: native up to {LARGEST_SIDE} px."}


def runtime(device: o.Device = "auto", precision: o.Precision = "auto", on_error: o.OnError = "skip") -> o.Runtime:
    return o.runtime(device, precision, on_error=on_error)


def command(
    *,
    stores: o.Stores,
    affinity: Annotated[
        Affinity, o.METHOD("What says which pixels belong together: AffinityNet, IRN's boundaries, or colours alone.")
    ],
    ckpt: Annotated[
        Path | None,
        o.METHOD("AffinityNet or IRN: of camkit affinity-train and irn-train, or as their programs write it."),
    ] = None,
    images: o.Photos = None,
    shard: o.Shard,
    preset: Annotated[
        Preset, o.METHOD("published: without the pairs near the borders that AffinityNet's program forgets.")
    ] = "paper",
    changes: Annotated[dict[str, Any], Settings(PRESETS, o.METHOD)],
    resize: Annotated[LongerSide | None, Group(o.resize, RESIZE)],
    output: o.OutputOfProbs,
    masks: o.Masks = False,
    size: Annotated[Resolution | None, Group(o.size_of_some, SIZE)],
    runtime: Annotated[Any, Group(runtime)],
) -> None:
    """Maps or probabilities spread to neighbours that belong together, by random walks as AffinityNet and IRN do it.

    Of signed scores walks what is above 0. Gives probabilities (background first), or with --masks masks.
    --affinity colour needs no network; camkit affinity-train and irn-train train one. The first run on a machine takes
    some seconds more: the walk is compiled.

    camkit refine walk cams.h5 --affinity affinitynet --ckpt resnet38_aff.pth --out walked.h5

    camkit refine walk cams.h5 --affinity colour | camkit evaluate --gt VOC2012/
    """
    from camkit.cli.console import close_with
    from camkit.stages.refine_walk import refine_walk

    summary = refine_walk(
        stores, output, runtime, affinity=affinity, ckpt=ckpt, preset=preset, changes=changes,
        masks=masks, images=images, resize=resize, size=size, shard=shard,
    )  # fmt: skip
    close_with(summary, output.out)

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Group, Panel, Settings
from camkit.defaults import LARGEST_SIDE
from camkit.settings.superpixels import PRESETS, Felzenszwalb
from camkit.types import LongerSide

if TYPE_CHECKING:
    from camkit.stages.superpixels import MergeBy

MERGING = Panel("Merging")
RESIZE = {
    "resize": f"Longer side of a photo as it is cut up, and seen by --ckpt. Default: native up to {LARGEST_SIDE} px."
}
WORKERS = {"workers": "Photos that are cut up at once; 0: one after the other. Default: one per core."}


def merging(
    changes: Annotated[dict[str, Any], Settings(PRESETS, MERGING)],
    ckpt: Annotated[
        Path | None, MERGING("Whose features tell how alike superpixels are: any classifier checkpoint.")
    ] = None,
    layer: Annotated[
        str | None,
        MERGING(
            "Of these features: layer3, conv5_3 … Default: what the classifier's linear layer reads.", metavar="NAME"
        ),
    ] = None,
    arch: o.Arch = None,
    model: o.Model = None,
    output_stride: o.OutputStride = None,
) -> Merge:
    """By what to merge, once it is known where."""
    from camkit.stages.superpixels import merge_by

    return partial(merge_by, changes.get("most"), ckpt, layer, changes["pairs"], arch, model, output_stride)


def runtime(
    device: o.Device = "auto", precision: o.Precision = "auto", batch_size: o.BatchSize = None, *, cores: o.OnCores
) -> o.Runtime:
    from dataclasses import replace

    return replace(cores, device=device, precision=precision, batch_size=batch_size)


Merge = Annotated["partial[MergeBy | None]", Group(merging)]


def command(
    *,
    inputs: o.PhotosAlone,
    output: o.Store,
    method: Annotated[dict[str, Any], Settings({"usual": Felzenszwalb()}, o.METHOD)],
    resize: Annotated[LongerSide | None, Group(o.resize, RESIZE)],
    merge: Merge,
    runtime: Annotated[Any, Group(runtime, WORKERS)],
) -> None:
    """Superpixels: every photo cut into regions of one colour, by Felzenszwalb and Huttenlocher's method.

    Needs neither checkpoint nor labels; made once, they serve camkit refine superpixel as often as wanted. They are as
    large as the photo, whatever it was cut up at. With --merge a network joins them to fewer and larger ones.

    camkit superpixels --images VOC2012/ --list train --out superpixels.h5

    camkit superpixels --images photos/ --scale 300 --min-size 100 --out coarse.h5

    camkit superpixels --images VOC2012/ --merge 64 --ckpt vgg16.pth --layer conv5_3 --out merged.h5
    """
    from camkit.cli.console import close_with
    from camkit.stages.superpixels import superpixels

    summary = superpixels(inputs, output, runtime, method=Felzenszwalb(**method), merge=merge(runtime), resize=resize)
    close_with(summary, output.out)

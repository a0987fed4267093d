from __future__ import annotations

from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Group, Panel, Settings
from camkit.settings.dcsm import INPUT_SIZE, PRESETS, Backprop, settings_of
from camkit.types import LongerSide

SALIENCY = Panel("Saliency (defaults: the paper's)")
SEEN = ("scales",)
Changes = Annotated[dict[str, Any], Settings(PRESETS, SALIENCY, but=SEEN)]
Scales = Annotated[dict[str, Any], Settings(PRESETS, o.METHOD, but=tuple(set(vars(PRESETS["guided"])) - set(SEEN)))]
Resize = Annotated[
    "LongerSide | None",
    Group(o.resize, {"resize": f"Longer side of a photo at scale 1. Default: the checkpoint's, else {INPUT_SIZE}."}),
]
Sizes = Annotated[
    str | None,
    o.METHOD(
        "Longer sides of the photo, instead of --resize and --scales; the middle one says who competes.",
        metavar="N,N,…",
    ),
]


def seen(resize: Resize, scales: Scales, sizes: Sizes = None) -> Seen:
    """Of the photo: its longer side at scale 1, and what of the settings changes."""
    from camkit.cli.parse import numbers
    from camkit.errors import UsageError
    from camkit.stages.dcsm import scales_of

    if sizes is None:
        return resize, scales
    if resize is not None or scales:
        raise UsageError("--sizes says at which sizes photos are seen; leave out --resize and --scales")
    middle, factors = scales_of(numbers("--sizes", sizes, low=16, high=10_000))
    return middle, {"scales": factors}


Seen = Annotated["tuple[LongerSide | None, dict[str, Any]]", Group(seen)]


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    output: o.Output,
    backprop: Annotated[
        Backprop,
        SALIENCY(
            "guided: only what is positive passes a ReLU; plain; input: Simonyan's baseline, plain gradients of the "
            f"photo, nothing subtracted, one size, alpha {PRESETS['input'].alpha:g}."
        ),
    ] = "guided",
    changes: Changes,
    seen: Seen,
    size: o.Size,
    runtime: o.Runtime,
) -> None:
    """DCSM: where a class makes the classifier's inner layers react, and the other candidate classes do not.

    Back-propagates every candidate class to several layers, subtracts the classes' maps from each other, and averages
    over layers and sizes. Writes a maps store as camkit cam does; a map's maximum may lie below 1. Who competed in an
    image is in its notes (camkit info --id).

    camkit dcsm --ckpt vgg16.pth --images VOC2012/ --list val | camkit crf --preset dcsm --masks --out masks.h5

    camkit dcsm --ckpt mine.safetensors --images photos/ --labels tags.csv --layers layer2,layer3 --out dcsms.h5
    """
    from camkit.cli.console import close_with
    from camkit.stages.dcsm import dcsm

    resize, scales = seen
    settings = settings_of(backprop, {**changes, **scales})
    close_with(dcsm(inputs, network, output, runtime, settings=settings, resize=resize, size=size), output.out)

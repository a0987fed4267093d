"""`camkit dcsm`: distinct class-specific saliency maps of every photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from camkit.errors import UsageError
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.stages.gradient_layers import saliency_of
from camkit.stages.maps import MapMethod, write_maps
from camkit.stages.network import Network

if TYPE_CHECKING:
    from camkit.models.classifier import LoadedClassifier

Backprop = Literal["guided", "plain", "input"]

INPUT_SIZE = 500
"""Longer side of the photo where neither the user nor the checkpoint says: the paper's."""


@dataclass(frozen=True)
class DcsmSettings:
    """What is made of gradients, and at which scales of the photo.

    backprop  guided; plain; or input: Simonyan's baseline, plain and of the photo itself
    layers    by name; None: the network's `gradient_layers`. Of a convolution: behind its batch norm
    The others are those of camkit.methods.dcsm.Saliency.
    """

    backprop: Backprop = "guided"
    layers: tuple[str, ...] | None = None
    candidates: int = 3
    candidate_threshold: float = 0.5
    alpha: float = 3.0
    normalise: bool = True
    upsample_channels: bool = False
    scales: tuple[float, ...] = (0.8, 1.0, 1.2)

    def __post_init__(self) -> None:
        if not self.scales:
            raise UsageError("--scales: give at least one")


PRESETS: Mapping[Backprop, DcsmSettings] = {
    "guided": DcsmSettings(),
    "plain": DcsmSettings("plain"),
    "input": DcsmSettings("input", ("input",), candidates=0, alpha=8.0, scales=(1.0,)),
}
NO_CHANGES: Mapping[str, Any] = {}


def settings_of(backprop: Backprop = "guided", changes: Mapping[str, Any] = NO_CHANGES) -> DcsmSettings:
    """What the paper does with this back-propagation, some of it changed, by the names of DcsmSettings' fields."""
    if backprop not in PRESETS:
        raise UsageError(f"--backprop {backprop} is not known; known are {', '.join(get_args(Backprop))}")
    if backprop == "input" and "layers" in changes:
        raise UsageError("--backprop input is about the layer input alone; leave out --layers, or take plain or guided")
    return replace(PRESETS[backprop], **changes)


def scales_of(sizes: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """Longer sides in whole pixels → the one in the middle, as `resize` takes it, and all as multiples of it."""
    middle = sorted(sizes)[len(sizes) // 2]
    return f"{middle:.0f}", tuple(size / middle for size in sizes)


def dcsm(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    settings: DcsmSettings = PRESETS["guided"],
    resize: str | None = None,
    size: str = "4",
) -> Summary:
    """Write DCSM's maps of the classes present in every image, with notes of which classes competed.

    Values are equation 5's, up to tanh(alpha): they are not divided by the maximum of their class.
    resize  longer side of the photo at scale 1: N, `native`, or None: as the checkpoint records, else 500
    size    resolution of the maps: `full`, or a stride in pixels
    """
    saliency = cache(partial(saliency_of, settings=settings))

    def method(loaded: LoadedClassifier) -> MapMethod:
        from camkit.methods.dcsm import dcsm as maps

        return partial(maps, classifier=loaded.network, saliency=saliency(loaded), scales=settings.scales)

    def parameters(loaded: LoadedClassifier) -> Mapping[str, Any]:
        return {**asdict(settings), "layers": list(saliency(loaded).layers)}

    return write_maps(
        "dcsm", method, parameters, inputs, network, output, runtime,
        resize=resize, size=size, input_size=INPUT_SIZE,
    )  # fmt: skip

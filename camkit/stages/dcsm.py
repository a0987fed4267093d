"""`camkit dcsm`: distinct class-specific saliency maps of every photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from camkit.defaults import MAP_STRIDE
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.settings.dcsm import INPUT_SIZE, PRESETS, DcsmSettings
from camkit.stages.gradient_layers import saliency_of
from camkit.stages.maps import MapMethod, write_maps
from camkit.stages.network import Network
from camkit.types import LongerSide, Resolution

if TYPE_CHECKING:
    from camkit.models.classifier import LoadedClassifier


def scales_of(sizes: Sequence[float]) -> tuple[int, tuple[float, ...]]:
    """Longer sides in whole pixels → the one in the middle, as `resize` takes it, and all as multiples of it."""
    middle = sorted(sizes)[len(sizes) // 2]
    return round(middle), tuple(size / middle for size in sizes)


def dcsm(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    settings: DcsmSettings = PRESETS["guided"],
    resize: LongerSide | None = None,
    size: Resolution = MAP_STRIDE,
) -> Summary:
    """Write DCSM's maps of the classes present in every image, with notes of which classes competed.

    Values are equation 5's, up to tanh(alpha): they are not divided by the maximum of their class.
    resize  longer side of the photo at scale 1: a number, "native", or None: as the checkpoint records, else 500
    size    resolution of the maps: a stride in pixels, or "full"
    """
    saliency = cache(partial(saliency_of, settings=settings))

    def method(loaded: LoadedClassifier) -> MapMethod:
        from camkit.methods.dcsm import dcsm as maps

        return partial(maps, classifier=loaded.network, saliency=saliency(loaded), scales=settings.scales)

    def parameters(loaded: LoadedClassifier) -> Mapping[str, Any]:
        return {**asdict(settings), "layers": saliency(loaded).layers}

    return write_maps(
        "dcsm", method, parameters, inputs, network, output, runtime,
        resize=resize, size=size, input_size=INPUT_SIZE,
    )  # fmt: skip

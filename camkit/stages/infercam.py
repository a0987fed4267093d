"""`camkit infercam`: InferCam's maps of every photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camkit.defaults import MAP_STRIDE
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.settings.infercam import PRESETS, InferCamSettings, Response
from camkit.stages.maps import MapMethod, MixedMethod, grid_multiple, write_maps
from camkit.stages.network import Network
from camkit.stages.response import Asked, asked_response
from camkit.types import LongerSide, Resolution

if TYPE_CHECKING:
    from camkit.models.classifier import LoadedClassifier


def infercam(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    settings: InferCamSettings = PRESETS["camkit"],
    response: Response = "cam",
    prototypes: Path | str | None = None,
    refined: bool | None = None,
    resize: LongerSide | None = None,
    size: Resolution = MAP_STRIDE,
) -> Summary:
    """Write InferCam's maps of the classes present in every image, with notes of centres, patches and rounds.

    response    whose maps of the patches are united: cam, lpcam, dcsm or icd
    prototypes  for lpcam: their store
    refined     for cam: by the network's own layers, as SEAM's are; None: where it has them
    resize      longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size        resolution of the maps: a stride in pixels, or "full"
    """

    def parameters(loaded: LoadedClassifier) -> dict[str, Any]:
        chosen = asdict(_on_device(settings, loaded))
        if not chosen["snap"]:
            del chosen["snap"]
        return {"response": response, **chosen, **asked.told(loaded)}

    with asked_response(response, prototypes, refined) as asked:
        bound = partial(_bound, settings=settings, asked=asked, size=size)
        # A pixel on the other side of the threshold changes all rounds to come: the last digit matters.
        return write_maps(
            "infercam", partial(_one_size, bound=bound), parameters, inputs, network, output, runtime, resize=resize,
            size=size, for_speed=not settings.published, parents=asked.parents, stores=[prototypes], load=asked.load,
            mixed=partial(_all_sizes, settings=settings, bound=bound),
        )  # fmt: skip


def _on_device(settings: InferCamSettings, loaded: LoadedClassifier) -> InferCamSettings:
    return settings.on(loaded.network.weight.device.type)


def _one_size(loaded: LoadedClassifier, *, bound: Callable[[LoadedClassifier], dict[str, Any]]) -> MapMethod:
    from camkit.methods.infercam import infer_cam

    return partial(infer_cam, **bound(loaded))


def _all_sizes(
    loaded: LoadedClassifier, *, settings: InferCamSettings, bound: Callable[[LoadedClassifier], dict[str, Any]]
) -> MixedMethod | None:
    from camkit.methods.infercam import infer_photos

    return partial(infer_photos, **bound(loaded)) if _on_device(settings, loaded).snap else None


def _bound(loaded: LoadedClassifier, *, settings: InferCamSettings, asked: Asked, size: Resolution) -> dict[str, Any]:
    settings = _on_device(settings, loaded)
    return {
        "response": asked.of(loaded),
        "inference": settings,
        "views": settings,
        "mean_colour": [255 * value for value in loaded.mean],
        "multiple": grid_multiple(loaded, size) if asked.on_cells else 1,
    }

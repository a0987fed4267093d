"""`camkit infercam`: InferCam's maps of every photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from camkit.defaults import SCALES
from camkit.errors import UsageError
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.stages.maps import MapMethod, grid_multiple, write_maps
from camkit.stages.network import Network
from camkit.stages.response import Asked, Response, asked_response

if TYPE_CHECKING:
    from camkit.models.classifier import LoadedClassifier

Preset = Literal["paper", "published"]


@dataclass(frozen=True)
class InferCamSettings:
    """What InferCam does to an image, and at which scales it asks the response map.

    hiding_scales   of patches with something hidden; None: as `scales`
    centre_scales   of the maps whose centres of mass say where to split; None: as `scales`
    The others are those of camkit.methods.infercam.Inference.
    """

    split: bool = True
    rounds: int = 5
    threshold: float = 0.7
    stop: float = 0.01
    fill: str = "mean"
    margin: int | None = None
    many_classes: str = "per-class"
    context: int = 0
    published: bool = False
    scales: tuple[float, ...] = SCALES
    hiding_scales: tuple[float, ...] | None = None
    centre_scales: tuple[float, ...] | None = None
    flip: bool = True

    def __post_init__(self) -> None:
        for name in ("scales", "hiding_scales", "centre_scales"):
            if getattr(self, name) == ():
                raise UsageError(f"--{name.replace('_', '-')}: give at least one")


PRESETS: Mapping[Preset, InferCamSettings] = {
    "paper": InferCamSettings(),
    "published": InferCamSettings(stop=0.02, many_classes="whole", published=True),
}

FAST: Mapping[str, Any] = {
    "scales": (1.0, 0.5, 1.5), "centre_scales": (0.5,), "hiding_scales": (1.0,), "rounds": 3,
}  # fmt: skip
"""What `--fast` changes."""


def settings_of(preset: Preset, changes: Mapping[str, Any]) -> InferCamSettings:
    """A preset with some of its numbers changed, by the names of the fields of InferCamSettings."""
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset} is not known; known are {' and '.join(get_args(Preset))}")
    settings = replace(PRESETS[preset], **changes)
    if settings.published and settings.context:
        raise UsageError("--context is not part of the published program; leave out --preset published")
    return settings


def infercam(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    settings: InferCamSettings = PRESETS["paper"],
    response: Response = "cam",
    prototypes: Path | str | None = None,
    refined: bool | None = None,
    resize: str | None = None,
    size: str = "4",
) -> Summary:
    """Write InferCam's maps of the classes present in every image, with notes of centres, patches and rounds.

    response    whose maps of the patches are united: cam, lpcam, dcsm or icd
    prototypes  for lpcam: their store
    refined     for cam: by the network's own layers, as SEAM's are; None: where it has them
    resize      longer side of the photo as the network sees it: N, `native`, or None: as the checkpoint records
    size        resolution of the maps: `full`, or a stride in pixels
    """
    with asked_response(response, prototypes, refined) as asked:
        # A pixel on the other side of the threshold changes all rounds to come: the last digit matters.
        return write_maps(
            "infercam", partial(_method, settings=settings, asked=asked, size=size),
            lambda loaded: {"response": response, **asdict(settings), **asked.told(loaded)},
            inputs, network, output, runtime, resize=resize, size=size, for_speed=not settings.published,
            parents=asked.parents, stores=[prototypes], load=asked.load,
        )  # fmt: skip


def _method(loaded: LoadedClassifier, *, settings: InferCamSettings, asked: Asked, size: str) -> MapMethod:
    from camkit.methods.infercam import Inference, Views, infer_cam

    chosen = asdict(settings)
    views = Views(
        scales=chosen.pop("scales"),
        hiding=chosen.pop("hiding_scales") or settings.scales,
        centres=chosen.pop("centre_scales") or settings.scales,
        flip=chosen.pop("flip"),
        multiple=grid_multiple(loaded, size) if asked.on_cells else 1,
    )
    return partial(
        infer_cam,
        response=asked.of(loaded),
        inference=Inference(**chosen),
        views=views,
        mean_colour=[255 * value for value in loaded.mean],
    )

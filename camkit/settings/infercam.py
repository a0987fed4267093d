"""InferCam's numbers: METHODS.md's section on it, the paper's section 3.2 and 4, and what the authors' program does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from camkit.errors import UsageError
from camkit.settings.option import NO_CHANGES, changed, check, option, preset_of, words
from camkit.settings.views import Pyramid

Preset = Literal["camkit", "paper", "published"]
Fill = Literal["mean", "image", "zero", "dataset"]
ManyClasses = Literal["per-class", "whole"]
Response = Literal["cam", "lpcam", "dcsm", "icd"]

MARGIN = 0.16
MARGIN_OF_ONE = 10
MARGIN_OF_SEVERAL = 20
GPU_SNAP = 96


@dataclass(frozen=True)
class Inference:
    """What is done to an image.

    margin     None: MARGIN_OF_ONE or MARGIN_OF_SEVERAL pixels, by the number of classes
    published  where the authors' program differs in how it splits and hides, do as it does
    """

    split: bool = option(True, "Into four patches around the centres.", flags=["--split/--no-split"])
    rounds: int = option(5, "At most so many: {default}.", low=1, metavar="N")
    threshold: float = option(0.7, "Hide where a class's map is above: {default}.", low=0.0, high=1.0)
    stop: float = option(0.01, "Stop when less than this share of a patch is new: {presets}.", low=0.0, high=1.0)
    fill: Fill = option(
        "mean", "What is hidden gets the mean colour of the patch, of the whole image or of the data set, or black."
    )
    margin: float | None = option(
        MARGIN, "Around the centres, in pixels, or below 1 as a share of the image's longer side: {share} (paper, "
        "published {one} px for one class, {several} for two).", low=0, metavar="PX|SHARE",
        facts={"share": MARGIN, "one": MARGIN_OF_ONE, "several": MARGIN_OF_SEVERAL},
    )  # fmt: skip
    many_classes: ManyClasses = option(
        "per-class", "Three and more: four patches for each class (paper), or the whole image (published)."
    )
    context: int = option(
        0, "The network sees so much of the image around a patch too: {default}.", low=0, metavar="PX"
    )
    snap: int | None = option(
        None, "The network sees more around a patch, on a grid of so many pixels: patches of many photos then share "
        "a shape and a pass. 0: nothing more. Default: {gpu} on a CUDA device, where few shapes are several times as "
        "fast; elsewhere, and for --preset published, nothing more.", low=0, metavar="PX", facts={"gpu": GPU_SNAP},
    )  # fmt: skip
    published: bool = False

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Views(Pyramid):
    """At which scales the response map is asked: of a patch, of one with something hidden, and for the centres."""

    hiding_scales: tuple[float, ...] | None = option(
        None, "Scales once something is hidden. Default: --scales.", low=0.01, high=16, metavar="S,S,…"
    )
    centre_scales: tuple[float, ...] | None = option(
        None, "Scales of the maps that say where to split. Default: --scales.", low=0.01, high=16, metavar="S,S,…"
    )

    @property
    def hiding(self) -> tuple[float, ...]:
        return self.scales if self.hiding_scales is None else self.hiding_scales

    @property
    def centres(self) -> tuple[float, ...]:
        return self.scales if self.centre_scales is None else self.centre_scales


@dataclass(frozen=True)
class InferCamSettings(Inference, Views):
    """All that a user may set of InferCam."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.published and self.context:
            raise UsageError("--context is not part of the published program; leave out --preset published")
        if self.published and self.snap:
            raise UsageError("--snap is not part of the published program; leave out --preset published")

    def on(self, device_type: str) -> InferCamSettings:
        """With the grid that is the default there."""
        chosen = GPU_SNAP if device_type == "cuda" and not self.published else 0
        return replace(self, snap=chosen) if self.snap is None else self


PRESETS: Mapping[Preset, InferCamSettings] = {
    "camkit": InferCamSettings(),
    "paper": InferCamSettings(margin=None),
    "published": InferCamSettings(margin=None, stop=0.02, many_classes="whole", published=True),
}

FAST: Mapping[str, Any] = {
    "scales": (1.0, 0.5, 1.5), "centre_scales": (0.5,), "hiding_scales": (1.0,), "rounds": 3,
}  # fmt: skip
"""What `--fast` changes."""

FAST_WORDS = (
    f"scales {words(FAST['scales'])}, of which {words(FAST['centre_scales'])} finds centres and "
    f"{words(FAST['hiding_scales'])} looks again, in {FAST['rounds']} rounds"
)


def settings_of(preset: Preset = "camkit", changes: Mapping[str, Any] = NO_CHANGES) -> InferCamSettings:
    """A preset with some of its numbers changed, by the names of the fields of InferCamSettings."""
    return changed(preset_of(PRESETS, preset), changes)

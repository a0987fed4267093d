"""LPCAM's numbers: METHODS.md's section on it, the paper's section 4.1, and what the authors' program does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from camkit.errors import UsageError
from camkit.settings.option import NO_CHANGES, changed, check, option, preset_of

Preset = Literal["voc", "coco"]
MapResize = Literal["bilinear", "nearest"]

PER_CLASS_ON_COCO = 100


@dataclass(frozen=True)
class Hyperparameters:
    """Which features are foreground, how many centres they get, and which of those are prototypes.

    `context_low` is the published program's.
    """

    clusters: int = option(
        12, "Of the foreground of each class, and as many of its context: {presets}.",
        low=1, high=1000, flags=["--clusters", "-k"], metavar="K",
    )  # fmt: skip
    threshold: float = option(0.1, "Foreground is where the map of the class reaches it: {presets}.", low=0.0, high=1.0)
    foreground_score: float = option(
        0.9,
        "A foreground centre is a prototype if the classifier's probability of the class is above. Paper: {presets}.",
        low=0.0,
        high=1.0,
    )
    context_score: float = option(
        0.9, "A context centre is one if it is below … Paper: {voc} on VOC, {coco} on COCO.", low=0.0, high=1.0
    )
    context_low: float = option(0.05, "… and above this, as in the authors' program. {presets}.", low=0.0, high=1.0)


PRESETS: Mapping[Preset, Hyperparameters] = {
    "voc": Hyperparameters(),
    "coco": Hyperparameters(clusters=20, threshold=0.25, context_score=0.5),
}


def settings_of(preset: Preset = "voc", changes: Mapping[str, Any] = NO_CHANGES) -> Hyperparameters:
    """A preset with some of its numbers changed, by the names of the fields of Hyperparameters."""
    settings = changed(preset_of(PRESETS, preset), changes)
    check(settings)
    check_context(settings)
    return settings


def check_context(settings: Hyperparameters) -> None:
    """UsageError where no score can be below the one threshold and above the other."""
    low, high = settings.context_low, settings.context_score
    if low >= high:
        raise UsageError(f"--context-low {low:g} is not below --context-score {high:g}: no context would be kept")


@dataclass(frozen=True)
class Clustering:
    """How k-means runs, and on what.

    map_resize  None: bilinear, and no maps of a store either
    """

    memory: str = option(
        "2G",
        "Of a class with more features than fit, a sample is clustered, and its share told. On disk the sample of all "
        "classes takes up to four times as much while the command runs.",
        metavar="512M|2G",
    )
    rounds: int = option(300, "Of k-means, at most.", low=1, metavar="N")
    seed: int = option(0, "Of the sample and of k-means.", low=0)
    per_class: int | None = option(
        None, "Only N images of each class, drawn by the seed (paper: {on_coco} on COCO). Default: all.",
        low=1, metavar="N", facts={"on_coco": PER_CLASS_ON_COCO},
    )  # fmt: skip
    map_resize: MapResize | None = option(
        None,
        "How --maps come to the grid of the features: bilinear; the authors' program takes the nearest pixel.",
    )


@dataclass(frozen=True)
class Thresholds:
    """Which centres are prototypes, where not those that the store says; None: as it says. See Hyperparameters.

    foreground_only  no context: LPCAM-F of the paper's Table 1
    """

    foreground_score: float | None = None
    context_score: float | None = None
    context_low: float | None = None
    foreground_only: bool = option(False, "Subtract no context: LPCAM-F of the paper.", flags=["--foreground-only"])

    def given(self) -> dict[str, Any]:
        """For the provenance: what differs from the store."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}


AS_STORED = Thresholds()

"""LPCAM's numbers: METHODS.md's section on it, the paper's section 4.1, and what the authors' program does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from camkit.errors import UsageError
from camkit.settings.option import NO_CHANGES, changed, check, option, preset_of

Preset = Literal["voc", "coco", "published", "published-coco"]
MapResize = Literal["bilinear", "nearest"]

PER_CLASS_ON_COCO = 100


@dataclass(frozen=True)
class Hyperparameters:
    """Which features are foreground, how many centres they get, and which of those are prototypes."""

    clusters: int = option(
        12, "Of the foreground of each class, and as many of its context: {presets}.",
        low=1, high=1000, flags=["--clusters", "-k"], metavar="K",
    )  # fmt: skip
    threshold: float = option(0.1, "Foreground is where the map of the class reaches it: {presets}.", low=0.0, high=1.0)
    foreground_score: float = option(
        0.9,
        "A foreground centre is a prototype if the classifier's probability of the class is above: {default}.",
        low=0.0,
        high=1.0,
    )
    context_score: float = option(0.9, "A context centre is one if it is below: {presets} …", low=0.0, high=1.0)
    context_low: float = option(0.0, "… and above this: {default}.", low=0.0, high=1.0)
    take_best: bool = option(
        False,
        "Where no foreground centre is a prototype, the one with the highest score is, as in published-coco; else the "
        "class falls back to its class activation map.",
        flags=["--take-best/--no-take-best"],
    )

    def __post_init__(self) -> None:
        check(self)


PRESETS: Mapping[Preset, Hyperparameters] = {
    "voc": Hyperparameters(),
    "coco": Hyperparameters(clusters=20, threshold=0.25, context_score=0.5),
    "published": Hyperparameters(context_low=0.05),
    "published-coco": Hyperparameters(clusters=20, threshold=0.25, context_score=0.5, take_best=True),
}
"""As the paper has it, and as its program does."""


def settings_of(preset: Preset = "voc", changes: Mapping[str, Any] = NO_CHANGES) -> Hyperparameters:
    """A preset with some of its numbers changed, by the names of the fields of Hyperparameters."""
    settings = changed(preset_of(PRESETS, preset), changes)
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
        "classes takes up to four times as much while the command runs. {default}.",
        metavar="512M|2G",
    )
    rounds: int = option(300, "Of k-means, at most: {default}.", low=1, metavar="N")
    seed: int = option(0, "Of the sample and of k-means: {default}.", low=0)
    per_class: int | None = option(
        None, "Only N images of each class, drawn by the seed. Default: all; of the presets for COCO {on_coco}.",
        low=1, metavar="N", facts={"on_coco": PER_CLASS_ON_COCO},
    )  # fmt: skip
    map_resize: MapResize | None = option(
        None,
        "How --maps come to the grid of the features: bilinear; as published, by their nearest pixel.",
    )

    def __post_init__(self) -> None:
        check(self)


CLUSTERINGS: Mapping[Preset, Clustering] = {
    "voc": Clustering(),
    "coco": Clustering(per_class=PER_CLASS_ON_COCO),
    "published": Clustering(map_resize="nearest"),
    "published-coco": Clustering(per_class=PER_CLASS_ON_COCO, map_resize="nearest"),
}


def clustering_of(
    preset: Preset = "voc", changes: Mapping[str, Any] = NO_CHANGES, *, with_maps: bool = True
) -> Clustering:
    """A preset with some of it changed; how maps are resized is no matter where there are none."""
    own = preset_of(CLUSTERINGS, preset)
    return changed(own if with_maps else replace(own, map_resize=None), changes)


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

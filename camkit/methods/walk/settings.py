"""What a random walk is told, by what says which pixels belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from camkit.errors import UsageError

Affinity = Literal["affinitynet", "irn", "colour"]
Preset = Literal["paper", "published"]
NO_CHANGES: Mapping[str, Any] = {}


@dataclass(frozen=True)
class WalkSettings:
    """What walks, and what becomes of it.

    steps       of the walk, each to a cell nearer than `radius`
    power       β: of the affinities
    stride      side of a cell in pixels
    alpha       of maps: background is (1 − largest map)^alpha and walks too; None: it does not
    background  what a walked map, the largest value of all made 1, must exceed; None: background walks
    published   leave out the pairs near the borders that AffinityNet's program leaves out
    """

    steps: int = 256
    power: float = 10
    radius: int = 5
    stride: int = 4
    alpha: float | None = None
    background: float | None = None
    published: bool = False


DEFAULTS: Mapping[Affinity, WalkSettings] = {
    "affinitynet": WalkSettings(power=8, stride=8, alpha=16),
    "irn": WalkSettings(background=0.25),
    "colour": WalkSettings(steps=64, alpha=4),
}
WITHOUT_EFFECT: Mapping[Affinity, tuple[str, ...]] = {
    "affinitynet": ("stride", "background"),
    "irn": ("stride", "alpha"),
    "colour": ("background",),
}
RANGES: Mapping[str, tuple[float, float]] = {
    "steps": (0, 1_000_000),
    "power": (0.001, 1000),
    "radius": (1, 20),
    "stride": (1, 64),
    "alpha": (0, 1000),
    "background": (0, 1),
}


def settings_of(affinity: Affinity, preset: Preset = "paper", changes: Mapping[str, Any] = NO_CHANGES) -> WalkSettings:
    """The settings for an affinity with some changed, by the names of the fields of WalkSettings."""
    if affinity not in DEFAULTS:
        raise UsageError(f"--affinity {affinity} is not known; known are {', '.join(get_args(Affinity))}")
    if preset not in get_args(Preset):
        raise UsageError(f"--preset {preset} is not known; known are {' and '.join(get_args(Preset))}")
    if preset == "published" and affinity != "affinitynet":
        raise UsageError("--preset published is for --affinity affinitynet, whose program differs from its paper")
    for name, value in changes.items():
        if name in WITHOUT_EFFECT[affinity]:
            raise UsageError(f"--{name} has no effect with --affinity {affinity}; leave it out")
        low, high = RANGES[name]
        if not low <= value <= high:
            raise UsageError(f"--{name} {value:g}: give a number from {low:g} to {high:g}")
    return replace(DEFAULTS[affinity], **changes, published=preset == "published")

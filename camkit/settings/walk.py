"""A random walk's numbers, by what says which pixels belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from camkit.errors import UsageError
from camkit.settings.option import NO_CHANGES, changed, check, option, preset_of
from camkit.types import AffinityKind

Affinity = Literal[AffinityKind, "colour"]
Preset = Literal["paper", "published"]

LARGEST_RADIUS = 20


@dataclass(frozen=True)
class WalkSettings:
    """What walks, and what becomes of it.

    alpha       None: background does not walk
    background  None: it walks
    published   leave out the pairs near the borders that AffinityNet's program leaves out
    """

    steps: int = option(256, "Of the walk. {default}.", low=0, high=1_000_000, metavar="N")
    power: float = option(10, "Of affinities: a larger one keeps to what is alike. {default}.", low=0.001, high=1000)
    radius: int = option(
        5, "How far a step reaches: less than this. {default}.", low=1, high=LARGEST_RADIUS, metavar="CELLS"
    )
    stride: int = option(4, "Side of a cell, of colours. {colour} (networks: their own).", low=1, high=64, metavar="PX")
    alpha: float | None = option(
        None,
        "Of maps: background is (1 - largest map)^ALPHA and walks too. {affinitynet} (colour {colour}; irn has none).",
        low=0,
        high=1000,
    )
    background: float | None = option(
        None, "irn: background is what stays below this share of the largest value. {irn}.", low=0, high=1
    )
    published: bool = False

    def __post_init__(self) -> None:
        check(self)


PRESETS: Mapping[Affinity, WalkSettings] = {
    "irn": WalkSettings(background=0.25),
    "affinitynet": WalkSettings(power=8, stride=8, alpha=16),
    "colour": WalkSettings(steps=64, alpha=4),
}
WITHOUT_EFFECT: Mapping[Affinity, tuple[str, ...]] = {
    "affinitynet": ("stride", "background"),
    "irn": ("stride", "alpha"),
    "colour": ("background",),
}


def settings_of(affinity: Affinity, preset: Preset = "paper", changes: Mapping[str, Any] = NO_CHANGES) -> WalkSettings:
    """The settings for an affinity with some changed, by the names of the fields of WalkSettings."""
    known = preset_of(PRESETS, affinity, "--affinity")
    if preset not in get_args(Preset):
        raise UsageError(f"--preset {preset} is not known; known are {' and '.join(get_args(Preset))}")
    if preset == "published" and affinity != "affinitynet":
        raise UsageError("--preset published is for --affinity affinitynet, whose program differs from its paper")
    for name in changes:
        if name in WITHOUT_EFFECT[affinity]:
            raise UsageError(f"--{name} has no effect with --affinity {affinity}; leave it out")
    return changed(known, {**changes, "published": preset == "published"})

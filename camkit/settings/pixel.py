"""Pixel-adaptive refinement's numbers: those of PAR and of PAMR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from camkit.settings.option import NO_CHANGES, changed, check, option, preset_of

Preset = Literal["par", "pamr"]


@dataclass(frozen=True)
class PixelSettings:
    """Which pixels lend each other their values, and how often.

    width     a difference of colours counts in units of so many standard deviations of the neighbourhood
    squared   the difference counts by its square
    centre    the pixel itself, once per dilation, counts in the standard deviation
    position  weight of a second affinity, by distance alone
    """

    rounds: int = option(10, "So often every pixel takes the mean of its neighbours.", low=0, high=1000, metavar="N")
    dilations: tuple[int, ...] = option(
        (1, 2, 4, 8, 12, 24), "Distances of the neighbours in cells, in eight directions: {presets}.",
        low=1, high=1000, metavar="N,N,…",
    )  # fmt: skip
    stride: int = option(
        2, "Side of a cell in pixels; half of it is four times the work. {default}.", low=1, high=64, metavar="PX"
    )
    width: float = 0.3
    squared: bool = True
    centre: bool = False
    position: float = 0.01

    def __post_init__(self) -> None:
        check(self)


PRESETS: Mapping[Preset, PixelSettings] = {
    "par": PixelSettings(),
    "pamr": PixelSettings(width=0.1, squared=False, centre=True, position=0.0),
}


def settings_of(preset: Preset = "par", changes: Mapping[str, Any] = NO_CHANGES) -> PixelSettings:
    return changed(preset_of(PRESETS, preset), changes)

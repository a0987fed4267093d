"""What networks of affinities learn from: labels that two CRFs make of maps, and pairs of cells near each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from camkit.errors import UsageError
from camkit.settings.crf import PRESETS as CRF
from camkit.settings.crf import CrfSettings
from camkit.settings.option import check, option
from camkit.settings.walk import LARGEST_RADIUS
from camkit.settings.walk import PRESETS as WALK
from camkit.types import AffinityKind

NEARER = "Pairs nearer than this count, at stride {stride}."


@dataclass(frozen=True)
class AffinityNetPairs:
    """Powers of the background in two CRFs of soft energies."""

    low_alpha: float = option(
        4, "A pixel is sure of a class where a CRF with background (1 - largest map)^THIS says so. {default}."
    )
    high_alpha: float = option(32, "The same with THIS, where it says background. {default}.")
    radius: int = option(
        5, NEARER, low=2, high=LARGEST_RADIUS, metavar="CELLS", facts={"stride": WALK["affinitynet"].stride}
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class BoundaryPairs:
    """Values of maps that two CRFs of hard energies ask for."""

    foreground: float = option(0.3, "A pixel is sure of a class where a CRF of the maps above THIS says so. {default}.")
    background: float = option(0.05, "The same above THIS, where it says background. {default}.")
    radius: int = option(10, NEARER, low=2, high=LARGEST_RADIUS, metavar="CELLS", facts={"stride": WALK["irn"].stride})

    def __post_init__(self) -> None:
        check(self)


PAIRS: Mapping[AffinityKind, AffinityNetPairs | BoundaryPairs] = {
    "affinitynet": AffinityNetPairs(),
    "irn": BoundaryPairs(),
}
LEVELS: Mapping[str, tuple[str, str]] = {"soft": ("low_alpha", "high_alpha"), "hard": ("foreground", "background")}
"""What the options call a Confidence's foreground and background, by the CRF's energies."""


@dataclass(frozen=True)
class Confidence:
    """What makes the CRF sure of foreground, and what of background.

    Of soft energies, the power of the background: (1 − largest map)^power. Of hard ones, the value of maps below which
    a pixel is background.

    background_wins  over a class that the other CRF is sure of
    """

    crf: CrfSettings
    foreground: float
    background: float
    background_wins: bool

    def __post_init__(self) -> None:
        low, high = self.foreground, self.background
        if self.crf.unary == "soft" and not 0 < low <= high < inf:
            raise UsageError(f"--low-alpha {low:g} --high-alpha {high:g}: give powers above 0, the low one first")
        if self.crf.unary == "hard" and not 0 <= high <= low <= 1:
            raise UsageError(
                f"--foreground {low:g} --background {high:g}: give values of maps, 0 to 1, "
                "that of the foreground not below that of the background"
            )


def _published(kind: AffinityKind, crf: CrfSettings, *, background_wins: bool) -> Confidence:
    foreground, background = (getattr(PAIRS[kind], level) for level in LEVELS[crf.unary])
    return Confidence(crf, foreground, background, background_wins)


PUBLISHED: Mapping[AffinityKind, Confidence] = {
    "affinitynet": _published("affinitynet", CRF["psa"], background_wins=True),
    "irn": _published("irn", CRF["irn"], background_wins=False),
}


def confidence_of(kind: AffinityKind, changes: Mapping[str, Any]) -> Confidence | None:
    """The published one with some of it changed, by the names of PAIRS' fields; None where nothing is."""
    known = PUBLISHED[kind]
    names = dict(zip(LEVELS[known.crf.unary], ("foreground", "background"), strict=True))
    given = {names[level]: value for level, value in changes.items() if level in names}
    return replace(known, **given) if given else None

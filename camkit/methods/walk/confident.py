"""Labels that affinity networks learn from: two CRFs of the same maps, one that is sure of classes, one of background.

AffinityNet raises the background to a low and to a high power, IRN compares the maps with a high and a low threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from camkit.errors import UsageError
from camkit.methods.crf.settings import PRESETS, CrfSettings
from camkit.methods.crf.unary import unary_of_labels, unary_of_probs, with_background
from camkit.methods.seeds import mask_of_maps
from camkit.types import AffinityKind

UNDECIDED = -1
"""A label: the programs have 255."""


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


PUBLISHED: Mapping[AffinityKind, Confidence] = {
    "affinitynet": Confidence(PRESETS["psa"], 4, 32, background_wins=True),
    "irn": Confidence(PRESETS["irn"], 0.3, 0.05, background_wins=False),
}


def confident_labels(image: np.ndarray, maps: np.ndarray, confidence: Confidence) -> np.ndarray:
    """Photo [H, W, 3] uint8, its maps [C, H, W] in [0, 1] → [H, W]: 0 background, place in the maps + 1, UNDECIDED.

    A pixel is background where even the CRF that sees little background says so. That the other one is sure of a class
    there is rare: AffinityNet's program takes the background then, IRN's the class.
    """
    from camkit.methods.crf.native import Lattices, mean_field

    parameters = confidence.crf.parameters
    lattices = Lattices.of(image, parameters)
    foreground, background = (
        mean_field(lattices, _energies(maps, level, confidence.crf), parameters).argmax(axis=0)
        for level in (confidence.foreground, confidence.background)
    )
    sure = (background == 0) & (confidence.background_wins | (foreground == 0))
    return np.where(sure, 0, np.where(foreground == 0, UNDECIDED, foreground))


def _energies(maps: np.ndarray, level: float, crf: CrfSettings) -> np.ndarray:
    if crf.unary == "soft":
        return unary_of_probs(with_background(maps, level))
    labels = mask_of_maps(maps, np.arange(len(maps)), level, len(maps))
    return unary_of_labels(labels, len(maps) + 1, crf.confidence)

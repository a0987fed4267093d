"""Labels that affinity networks learn from: two CRFs of the same maps, one that is sure of classes, one of background.

AffinityNet raises the background to a low and to a high power, IRN compares the maps with a high and a low threshold.
"""

from __future__ import annotations

import numpy as np

from camkit.methods.crf.unary import unary_of_labels, unary_of_probs, with_background
from camkit.methods.seeds import mask_of_maps
from camkit.settings.crf import CrfSettings
from camkit.settings.pairs import Confidence

UNDECIDED = -1
"""A label: the programs have 255."""


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

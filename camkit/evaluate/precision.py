"""Average precision: of pixels (ICD, Table 1), exact without holding them, and of image-level scores."""

from __future__ import annotations

import numpy as np

from camkit.errors import InputError
from camkit.evaluate.confusion import label_codes
from camkit.evaluate.histogram import check_maps

HALF_VALUES = 1 << 16


class PixelPrecisionAccumulator:
    """Average precision per class over all pixels of the images whose maps hold the class.

    Scores are rounded to float16, the precision stores keep: 65,536 counters of positives and of negatives per class
    met (1 MB) then hold the whole ranking. Pixels of equal score are taken together; the paper's "precisions at all
    unique recall values" is the same sum, weighted by how far each step moves recall.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._counts: dict[int, np.ndarray] = {}

    def update(self, maps: np.ndarray, classes: np.ndarray, truth: np.ndarray) -> None:
        """Add one image: maps [C_i, H, W] at the ground truth's size, any sign; classes [C_i]; truth [H, W]."""
        check_maps(maps, classes, truth, self.num_classes)
        labels = label_codes(truth, self.num_classes, step=1, name="the ground truth")
        known = labels <= self.num_classes
        everything = bool(known.all())
        labels = labels.ravel() if everything else labels[known]
        for scores, index in zip(maps, map(int, classes), strict=True):
            ranks = half_ranks(scores.ravel() if everything else scores[known])
            ranks += (labels == index + 1) * HALF_VALUES
            counts = np.bincount(ranks, minlength=2 * HALF_VALUES).reshape(2, HALF_VALUES)
            self._add(index, counts)

    def merge(self, other: PixelPrecisionAccumulator) -> None:
        """Take over what another worker counted."""
        if other.num_classes != self.num_classes:
            raise InputError(f"counts over {other.num_classes} classes cannot join those over {self.num_classes}")
        for index, counts in other._counts.items():
            self._add(index, counts)

    def compute(self) -> np.ndarray:
        """Average precision [K] in [0, 1]; nan for a class without a positive pixel in an image that has its map."""
        averages = np.full(self.num_classes, np.nan)
        for index, (negatives, positives) in self._counts.items():
            averages[index] = _average(positives[::-1], negatives[::-1])
        return averages

    def _add(self, index: int, counts: np.ndarray) -> None:
        if index in self._counts:
            self._counts[index] += counts
        else:
            self._counts[index] = counts.astype(np.int64)


def half_ranks(scores: np.ndarray) -> np.ndarray:
    """Scores [N], rounded to float16, as intp [N] in 0 … 65,535 that keep their order."""
    with np.errstate(over="ignore"):
        halves = scores.astype(np.float16) + np.float16(0)  # turns −0 into 0
    bits = halves.view(np.uint16)
    return np.where(bits & 0x8000, ~bits, bits | 0x8000).astype(np.intp)


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Average precision in [0, 1] of scores [N] against truth [N] (0 or 1); nan without positives.

    All points, no interpolation; equal scores are taken together.
    """
    if scores.shape != truth.shape or scores.ndim != 1:
        raise InputError(f"scores of shape {list(scores.shape)} do not fit truth of shape {list(truth.shape)}")
    if np.isnan(scores).any():
        raise InputError("the scores hold values that are not numbers (nan)")
    _, ranks = np.unique(-np.asarray(scores, dtype=np.float64), return_inverse=True)
    positive = truth.astype(bool)
    length = int(ranks.max()) + 1 if len(ranks) else 0
    return _average(np.bincount(ranks[positive], minlength=length), np.bincount(ranks[~positive], minlength=length))


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean over the classes with positives, and the average precision per class [C] (nan without positives).

    scores [N, C], truth [N, C] of 0 and 1
    """
    if scores.shape != truth.shape or scores.ndim != 2:
        raise InputError(f"scores of shape {list(scores.shape)} do not fit truth of shape {list(truth.shape)}")
    averages = np.array([average_precision(*column) for column in zip(scores.T, truth.T, strict=True)])
    known = averages[~np.isnan(averages)]
    return (float(known.mean()) if len(known) else float("nan")), averages


def _average(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Sum of (R_n − R_{n−1}) P_n over counts [N] per distinct score, highest score first."""
    total = int(positives.sum())
    if total == 0:
        return float("nan")
    steps = np.flatnonzero(positives)  # recall moves nowhere else
    found = np.cumsum(positives)[steps]
    taken = found + np.cumsum(negatives)[steps]
    return float((positives[steps] * (found / taken)).sum() / total)

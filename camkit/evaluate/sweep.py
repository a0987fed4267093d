"""Thresholds for maps: the confusion matrix at every one of them, from one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camkit.defaults import SWEEP_STEPS
from camkit.evaluate import metrics
from camkit.evaluate.confusion import Confusion
from camkit.evaluate.histogram import WinnerHistogram

DEFAULT_THRESHOLDS = np.arange(SWEEP_STEPS) / SWEEP_STEPS
"""0.00 … 0.99: what a sweep tries unless told otherwise."""


@dataclass(frozen=True, eq=False, slots=True)
class Sweep:
    """The confusion matrices of a data set at every threshold.

    thresholds  [T] float32, ascending
    matrices    [T, K + 1, K + 1] int64, rows true, columns predicted
    """

    thresholds: np.ndarray
    matrices: np.ndarray
    _counts: np.ndarray
    _images: np.ndarray
    _ignored: int

    @property
    def best(self) -> int:
        """Index of the threshold with the highest mIoU, the lowest one on ties."""
        return self.best_over(None)

    def best_over(self, rows: Sequence[int] | None) -> int:
        """The same, of the mean over these classes alone; 0 is background, None all."""
        scores = metrics.mean(metrics.iou(self.matrices), rows)
        return int(np.argmax(np.nan_to_num(scores, nan=-1.0)))

    def at(self, index: int) -> Confusion:
        """Everything counted at one threshold."""
        above = self._counts[..., index + 1 :].sum(axis=-1)
        return Confusion(_decided(above, self._counts.sum(axis=(-2, -1))), self._images, self._ignored)


class SweepAccumulator(WinnerHistogram):
    """Counts maps against the ground truth at every threshold at once.

    A pixel's winner is the largest map of the present classes (the first on ties); it is predicted where the value
    is above the threshold, else background: the argmax over the threshold and the maps. Thresholds are compared as
    float32. An image without present classes is all background.
    """

    def compute(self) -> Sweep:
        """The confusion matrices so far."""
        counts = self._counts.copy()
        total = counts.sum(axis=0)
        above = total.sum(axis=-1, keepdims=True) - np.cumsum(total, axis=-1)[..., :-1]
        matrices = np.moveaxis(above, -1, 0).copy()
        matrices[..., 0] = total.sum(axis=(-2, -1)) - matrices[..., 1:].sum(axis=-1)
        return Sweep(self.thresholds, matrices, counts, self._images.copy(), self._ignored)


def _decided(above: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Counts [4, K + 1, K + 2] where `above` [4, K + 1, K + 1] of `pixels` [4, K + 1] beat the threshold."""
    counts = np.zeros((*above.shape[:-1], above.shape[-1] + 1), dtype=np.int64)
    counts[..., 1:-1] = above[..., 1:]
    counts[..., 0] = pixels - above[..., 1:].sum(axis=-1)
    return counts

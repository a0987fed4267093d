"""Signed scores (ICD) as seeds: foreground above T, background below −T, nothing between (ICD, Table 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camkit.errors import UsageError
from camkit.evaluate.confusion import Confusion
from camkit.evaluate.histogram import WinnerHistogram


class SignedSeedAccumulator(WinnerHistogram):
    """Counts signed scores against the ground truth at several margins T ≥ 0 at once.

    A pixel belongs to the class with the largest score where that is above T, to background where all present
    classes are below −T, and is undecided otherwise. An image without present classes is all background.
    """

    def __init__(self, num_classes: int, margins: Sequence[float] | np.ndarray) -> None:
        self.margins = np.asarray(margins, dtype=np.float32)
        valid = np.isfinite(self.margins) & (self.margins >= 0)
        if self.margins.ndim != 1 or not len(self.margins) or not valid.all():
            raise UsageError("margins of signed seeds must be one or more numbers, 0 or larger")
        # A score is below −T exactly when it is not above the number before −T.
        self._floors = np.nextafter(-self.margins, np.float32(-np.inf))
        super().__init__(num_classes, np.unique(np.concatenate([self._floors, self.margins])))

    def compute(self) -> tuple[Confusion, ...]:
        """What was counted so far, one result per margin in the order given."""
        return tuple(map(self._at, self.margins, self._floors))

    def _at(self, margin: np.float32, floor: np.float32) -> Confusion:
        upper = int(np.searchsorted(self.thresholds, margin))
        lower = int(np.searchsorted(self.thresholds, floor))
        counts = np.zeros((*self._counts.shape[:2], self.num_classes + 2), dtype=np.int64)
        counts[..., 1:-1] = self._counts[..., 1:, upper + 1 :].sum(axis=-1)
        counts[..., 0] = self._counts[..., : lower + 1].sum(axis=(-2, -1))
        counts[..., -1] = self._counts[..., lower + 1 : upper + 1].sum(axis=(-2, -1))
        return Confusion(counts, self._images.copy(), self._ignored)

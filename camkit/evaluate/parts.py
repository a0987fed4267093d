"""Which parts of objects are found: heads, bodies, limbs. Class activation maps are known to stop at heads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from camkit.errors import InputError

VALUES = 256
IGNORED = 255


class PartRecallAccumulator:
    """Share of each part's pixels that carry the right class in a mask."""

    def __init__(self) -> None:
        self._found = np.zeros(VALUES, np.int64)
        self._total = np.zeros(VALUES, np.int64)

    def update(self, mask: np.ndarray, truth: np.ndarray, parts: np.ndarray) -> None:
        """Add one image. mask, truth [H, W]: 0 background, class + 1; parts [H, W] uint8: 0 none, 1 …; 255 ignored."""
        if not mask.shape == truth.shape == parts.shape:
            raise InputError(f"a part mask of {parts.shape} does not fit a ground truth of {truth.shape}")
        known = (truth > 0) & (truth != IGNORED) & (parts > 0) & (parts < IGNORED)
        self._total += np.bincount(parts[known], minlength=VALUES)
        self._found += np.bincount(parts[known & (mask == truth)], minlength=VALUES)

    def compute(self) -> Iterator[tuple[int, float, int]]:
        """Value, recall in [0, 1] and pixels of every part that some image shows."""
        for value in np.flatnonzero(self._total):
            yield int(value), float(self._found[value] / self._total[value]), int(self._total[value])

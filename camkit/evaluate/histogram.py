"""One pass over a data set that answers for every threshold: a histogram over (true class, winning class, value)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from camkit.blocks import row_blocks
from camkit.errors import InputError, UsageError
from camkit.evaluate.confusion import GROUP_NAMES, check_same_size, group_of, label_codes


class ThresholdBins:
    """For every value the number of thresholds strictly below it: `np.searchsorted(thresholds, values)`, faster.

    Values and thresholds go through one monotone function to a cell of an even grid. A threshold in a lower cell
    is below the value and one in a higher cell above it, whatever the rounding; only those in the value's own cell
    have to be compared with it.
    """

    def __init__(self, thresholds: np.ndarray) -> None:
        self._lowest, self._highest = thresholds[0], thresholds[-1]
        span = np.float64(self._highest) - np.float64(self._lowest)
        self._cells = min(16 * len(thresholds), 1 << 16) if span > 0 else 1
        self._scale = np.float32(min(self._cells / span, 1e30)) if span > 0 else np.float32(0)
        per_cell = np.bincount(self._cell(thresholds), minlength=self._cells + 1)
        self._below_cell = np.cumsum(per_cell) - per_cell
        self._most = int(per_cell.max())
        self._thresholds = np.append(thresholds, np.full(self._most, np.inf, dtype=np.float32))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values float32 (not nan), any shape; the result intp of that shape, in 0 … T."""
        below = np.take(self._below_cell, self._cell(values))
        bins = below.copy()
        for nth in range(self._most):
            bins += np.take(self._thresholds, below + nth) < values
        return bins

    def _cell(self, values: np.ndarray) -> np.ndarray:
        cells = np.clip(values, self._lowest, self._highest)
        with np.errstate(over="ignore"):  # thresholds 1e38 apart; infinity goes to the last cell
            cells -= self._lowest
            cells *= self._scale
        return np.minimum(cells, np.float32(self._cells), out=cells).astype(np.intp)


class WinnerHistogram:
    """What sweeps and signed seeds count: per pixel the true class, the class with the largest map, and that map's bin.

    State: int64 [4 groups, K + 1, K + 1, T + 1], which is 21 MB for 80 classes and 101 thresholds. Winner 0 means
    that no class is present; its value is below every threshold.
    """

    def __init__(self, num_classes: int, thresholds: Sequence[float] | np.ndarray) -> None:
        self.num_classes = num_classes
        self.thresholds = _checked(thresholds)
        self._bins = ThresholdBins(self.thresholds)
        shape = (len(GROUP_NAMES), num_classes + 1, num_classes + 1, len(self.thresholds) + 1)
        self._counts = np.zeros(shape, dtype=np.int64)
        self._images = np.zeros(len(GROUP_NAMES), dtype=np.int64)
        self._ignored = 0

    def update(self, maps: np.ndarray, classes: np.ndarray, truth: np.ndarray) -> None:
        """Add one image.

        maps [C_i, H, W] float32 at the ground truth's size; classes [C_i]; truth [H, W] integers: 0 background,
        class + 1, 255 ignored
        """
        check_maps(maps, classes, truth, self.num_classes)
        table = np.zeros((self.num_classes + 3, max(len(classes), 1), len(self.thresholds) + 1), dtype=np.int64)
        for rows in row_blocks(truth.shape):
            table += self._count(maps[:, rows], truth[rows], table.shape)
        known = table[: self.num_classes + 1]
        group = group_of(known.sum(axis=(1, 2)))
        columns = np.asarray(classes, dtype=np.intp) + 1 if len(classes) else np.zeros(1, dtype=np.intp)
        self._counts[group][:, columns] += known
        self._images[group] += 1
        self._ignored += int(table[self.num_classes + 1].sum())

    def merge(self, other: WinnerHistogram) -> None:
        """Take over what another worker counted."""
        if self._counts.shape != other._counts.shape or (self.thresholds != other.thresholds).any():
            raise InputError("counts over other classes or other thresholds cannot be joined")
        self._counts += other._counts
        self._images += other._images
        self._ignored += other._ignored

    def _count(self, maps: np.ndarray, truth: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        """Pixels per (true label, index of the winning map, bin)."""
        codes = label_codes(truth, self.num_classes, step=shape[1] * shape[2], name="the ground truth")
        if len(maps):
            value, winner = largest(maps)
            codes += self._bins(value)
            if winner is not None:
                codes += winner * shape[2]
        return np.bincount(codes.ravel(), minlength=math.prod(shape)).reshape(shape)


def largest(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Per pixel the largest value [H, W] and the index of its map, intp [H, W], the first on ties.

    The index is None when there is only one map.
    """
    value = np.asarray(maps[0], dtype=np.float32)
    if len(maps) == 1:
        return value, None
    winner = np.zeros(value.shape, dtype=np.intp)
    for index, other in enumerate(maps[1:], start=1):
        np.putmask(winner, other > value, index)
        value = np.maximum(value, other, dtype=np.float32)
    return value, winner


def check_maps(maps: np.ndarray, classes: np.ndarray, truth: np.ndarray, num_classes: int) -> None:
    """Raise unless maps [C_i, H, W] have no nan, one distinct known class each, and the ground truth's size."""
    if maps.ndim != 3 or len(maps) != len(classes):
        raise InputError(f"maps of shape {list(maps.shape)} do not fit {len(classes)} classes")
    check_same_size(maps.shape[1:] if len(maps) else truth.shape, truth.shape, "the map")
    known = {int(index) for index in classes}
    if len(known) < len(classes) or any(not 0 <= index < num_classes for index in known):
        listed = ", ".join(str(int(index)) for index in classes)
        raise InputError(f"the maps' classes are {listed}: each must occur once and lie in 0 … {num_classes - 1}")
    if maps.size and np.isnan(maps.max()):
        raise InputError("the maps hold values that are not numbers (nan)")


def _checked(thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    """Thresholds as float32, the precision maps are compared in."""
    values = np.asarray(thresholds, dtype=np.float32)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise UsageError("thresholds must be one or more finite numbers in ascending order, all different")
    return values

"""How sure a mean IoU is: photos are drawn anew with replacement, many times, and the figure is taken each time.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993: percentile intervals. Two methods are compared on the same
draws, so that photos which are hard for both do not blur their difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from camkit.defaults import INTERVAL_LEVEL
from camkit.errors import InputError
from camkit.evaluate import metrics
from camkit.evaluate.confusion import ConfusionAccumulator

DRAWS = 2_000
BLOCK = 64  # draws that are worked on together


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle `level` of what the draws gave; fractions, or differences of fractions."""

    low: float
    high: float
    level: float = INTERVAL_LEVEL


@dataclass(frozen=True, eq=False, slots=True)
class Tallies:
    """Of each photo, what IoU is made of.

    ids     [N]
    counts  [N, 3, K + 1] int64: pixels that are right, of each true class, of each predicted class; background first.
            Pixels without a ground truth or a prediction are in none
    """

    ids: tuple[str, ...]
    counts: np.ndarray

    def of(self, ids: Sequence[str]) -> Tallies:
        """Of these photos alone, in this order."""
        place = {id: number for number, id in enumerate(self.ids)}
        return Tallies(tuple(ids), self.counts[[place[id] for id in ids]])


class TallyAccumulator:
    """Tallies photo by photo."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._ids: list[str] = []
        self._counts: list[np.ndarray] = []

    def update(self, id: str, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Prediction and truth [H, W] integers, 0 background, class + 1, 255 undecided or ignored."""
        one = ConfusionAccumulator(self.num_classes)
        one.update(prediction, truth)
        matrix = one.compute().matrix
        self._ids.append(id)
        self._counts.append(np.stack([np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)]))

    def merge(self, other: TallyAccumulator) -> None:
        """Take over what another worker counted."""
        self._ids += other._ids
        self._counts += other._counts

    def compute(self) -> Tallies:
        """In the order of the ids, whoever counted them."""
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        counts = [self._counts[n] for n in order] or np.zeros((0, 3, self.num_classes + 1), np.int64)
        return Tallies(tuple(self._ids[n] for n in order), np.asarray(counts))


def mean_iou(counts: np.ndarray, rows: Sequence[int] | None = None) -> np.ndarray:
    """Counts [..., 3, K + 1], summed over photos → the mean of IoU over the classes `rows` (None: all) [...].

    A class that is in neither ground truth nor prediction is left out; nan where none is left.
    """
    right, true, predicted = np.moveaxis(counts, -2, 0)
    union = true + predicted - right
    return metrics.mean(np.where(union > 0, right / np.maximum(union, 1), np.nan), rows)


def interval(
    tallies: Tallies, rows: Sequence[int] | None = None, *, seed: int = 0, draws: int = DRAWS
) -> Interval | None:
    """Of the mean IoU; None for fewer than two photos."""
    if len(tallies.ids) < 2:
        return None
    return _middle(np.concatenate([mean_iou(drawn, rows) for drawn in _sums(tallies, seed, draws)]))


def difference(
    first: Tallies, second: Tallies, rows: Sequence[int] | None = None, *, seed: int = 0, draws: int = DRAWS
) -> Interval | None:
    """Of the mean IoU of the second less that of the first, on the same draws; InputError if the photos differ."""
    if first.ids != second.ids:
        raise InputError("two methods can be compared on the same photos only")
    if len(first.ids) < 2:
        return None
    pairs = zip(_sums(first, seed, draws), _sums(second, seed, draws), strict=True)
    return _middle(np.concatenate([mean_iou(other, rows) - mean_iou(one, rows) for one, other in pairs]))


def _sums(tallies: Tallies, seed: int, draws: int) -> Iterator[np.ndarray]:
    """Sums over the photos of each draw, in blocks [B, 3, K + 1]: the same draws for the same seed and photos."""
    rng = np.random.default_rng(seed)
    photos, shape = len(tallies.ids), tallies.counts.shape[1:]
    flat = tallies.counts.reshape(photos, -1).astype(np.float64)  # whole numbers below 2^53: exact
    for start in range(0, draws, BLOCK):
        count = min(BLOCK, draws - start)
        times = rng.multinomial(photos, np.full(photos, 1 / photos), size=count).astype(np.float64)
        yield (times @ flat).reshape(count, *shape)


def _middle(values: np.ndarray, level: float = INTERVAL_LEVEL) -> Interval | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)

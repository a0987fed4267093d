"""The sample of local features that LPCAM clusters: how much `--memory` allows, and what the parts hold of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from camkit.errors import UsageError
from camkit.memory import UNITS
from camkit.methods.sampling import Reservoir
from camkit.store.sample import ROW_BYTES, Part, SeenImage, read_features


@dataclass(frozen=True)
class Budget:
    """What `--memory` bounds, for features of so many channels.

    The features of one side of one class are in memory at once, with 64 bytes beside each; they take three quarters,
    and k-means, which has some 70 MB of its own, the rest. The sample of all classes lies on disk: it takes at most
    twice as much, and four times before what is not wanted is dropped.
    """

    memory: int
    channels: int

    @property
    def per_group(self) -> int:
        return 3 * self.memory // 4 // (4 * self.channels + 64)

    @property
    def rows(self) -> int:
        return 2 * self.memory // (4 * self.channels + ROW_BYTES)

    @property
    def part_bytes(self) -> int:
        return min(32 << 20, self.memory // 16)

    def check(self, groups: int, clusters: int) -> None:
        """UsageError unless there is room for some features of every cluster."""
        if min(self.per_group, self.rows // groups) < 4 * clusters:
            least = 4 * clusters * max((4 * self.channels + 64) * 4 / 3, groups * (4 * self.channels + ROW_BYTES) / 2)
            raise UsageError(
                f"--memory {memory_text(self.memory)} is too little for {groups} sets of {clusters} clusters of "
                f"{self.channels} channels; give at least {memory_text(int(-(-least // (1 << 20))) << 20)}"
            )


def memory_text(count: int) -> str:
    """The shortest that `camkit.memory.parse` reads as the same; bytes that are no whole kilobytes are rounded down."""
    unit = next(name for name in "TGMK" if count % UNITS[name] == 0 or name == "K")
    return f"{count // UNITS[unit]}{unit}"


def group_of(number: int, context: bool) -> int:
    """Each class has two groups of features."""
    return 2 * number + context


@dataclass(frozen=True, eq=False)
class Features:
    """The sampled features of a group, by priority: values [n, D], and where each was seen.

    images [n]: which of `seen`; cells [n]: where in its grid
    """

    values: np.ndarray
    images: np.ndarray
    cells: np.ndarray
    seen: Sequence[SeenImage]
    total: int


class Sample:
    """What the parts hold together: the rows of smallest priority within the budget."""

    def __init__(self, parts: Sequence[Part], budget: Budget) -> None:
        self.parts, self.budget = parts, budget
        self.images = tuple(image for part in parts for image in part.images)
        self.failures = {id: why for part in parts for id, why in part.failures.items()}
        for image in self.images:
            self.failures.pop(image.id, None)
        self.reservoir = Reservoir(budget.rows, budget.per_group)
        for part in parts:
            offer(self.reservoir, part)

    def features(self, group: int) -> Features:
        """In memory once, whatever the number of parts."""
        found = list(self._spans(group))
        drawn = [part.rows.priorities[span] for _, part, span in found]
        order = np.argsort(np.concatenate([np.empty(0, np.uint64), *drawn]), kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        values = np.empty((len(order), self.budget.channels), np.float32)
        images, cells = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
        for first, part, span in found:
            to, place = np.split(place, [span.stop - span.start])
            values[to] = read_features(part, span)
            images[to] = part.rows.images[span].astype(np.int64) + first
            cells[to] = part.rows.cells[span]
        return Features(values, images, cells, self.images, self.reservoir.seen[group])

    def _spans(self, group: int) -> Iterator[tuple[int, Part, slice]]:
        """The parts that have sampled rows of a group; before each the number of its first image."""
        first, limit = 0, self.reservoir.limit(group)
        for part in self.parts:
            span = part.span(group, limit)
            if span.start < span.stop:
                yield first, part, span
            first += len(part.images)


def offer(reservoir: Reservoir, part: Part) -> None:
    groups = part.rows.groups
    for image in part.images:
        reservoir.see(image.counts)
    for group in np.unique(groups):
        start, stop = np.searchsorted(groups, [group, group + 1])
        reservoir.offer(int(group), part.rows.priorities[start:stop])

"""Samples that depend on what there is to sample alone: not on the order in which it comes, nor on who sees it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Mapping
from hashlib import blake2b

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
UNLIMITED = np.uint64(0xFFFFFFFFFFFFFFFF)
ALL = sys.maxsize


def priorities(seed: int, id: str, group: int, count: int) -> np.ndarray:
    """[count] uint64: a pseudo-random number for each cell of an image; the smaller ones are sampled first."""
    text = f"{seed}/{group}/{id}".encode("utf-8", "surrogateescape")
    key = np.uint64(int.from_bytes(blake2b(text, digest_size=8).digest(), "little"))
    return _mixed(key + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)


def _mixed(state: np.ndarray) -> np.ndarray:
    """The output function of splitmix64."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def water_level(counts: Collection[int], budget: int, most: int = ALL) -> int:
    """The largest level, at most `most`, with Σ min(count, level) ≤ budget; ALL if nothing is above it.

    It never rises as counts grow: what is beyond it now will not be wanted later.
    """
    left, above = budget, len(counts)
    for count in sorted(counts):
        if count * above > left:
            return min(left // above, most)
        left -= count
        above -= 1
    return most if max(counts, default=0) > most else ALL


class Reservoir:
    """Of each group the rows of smallest priority: in all at most `budget`, of one group at most `most`.

    Small groups are taken whole; what they leave is shared by the large ones.
    """

    def __init__(self, budget: int, most: int = ALL) -> None:
        self.budget, self.most = budget, most
        self.seen: Counter[int] = Counter()
        self._held: dict[int, list[np.ndarray]] = {}
        self._limits: dict[int, np.uint64] = {}

    @property
    def level(self) -> int:
        """So many rows of a group at most, by what was seen up to now."""
        return water_level(self.seen.values(), self.budget, self.most)

    def see(self, counts: Mapping[int, int]) -> None:
        """So many more rows there are of each group, whether or not they are offered."""
        self.seen.update(counts)

    def admits(self, group: int, priorities: np.ndarray) -> np.ndarray:
        """[n] bool: which of the rows [n] may be in the sample in the end, by what was offered up to now."""
        return priorities <= self._limits.get(group, UNLIMITED)

    def offer(self, group: int, priorities: np.ndarray) -> None:
        """The rows [n] are there to be sampled."""
        self._held.setdefault(group, []).append(priorities[self.admits(group, priorities)])

    def limit(self, group: int) -> np.uint64:
        """The largest priority that may be in the sample in the end."""
        chunks, level = self._held.get(group, []), self.level
        if sum(map(len, chunks)) > level:
            held = np.partition(np.concatenate(chunks), level - 1)[:level] if level else np.empty(0, np.uint64)
            self._held[group] = [held]
            self._limits[group] = held.max(initial=np.uint64(0))
        return self._limits.get(group, UNLIMITED)

"""Regions of masks as polygons along the edges of their pixels; a hole is reached by a cut of no width."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

Ring = np.ndarray
"""[n, 2] int64: corners (x, y), the first not repeated."""


def parts_of(mask: np.ndarray, undecided: int) -> Iterator[tuple[int, np.ndarray]]:
    """Of every class its connected parts (by sides): the mask value, and where the part is, [H, W] bool."""
    for value in np.unique(mask).tolist():
        if value in (0, undecided):
            continue
        labels, count = ndimage.label(mask == value)
        yield from ((value, labels == number) for number in range(1, count + 1))


def polygon_of(part: np.ndarray) -> Ring:
    """One connected part [H, W] → one ring; filled by the even-odd rule it is the part, holes and all."""
    outer, *holes = sorted(rings_of(part), key=_area, reverse=True)
    for hole in holes:
        outer = _with_hole(outer, hole)
    return outer


def rings_of(part: np.ndarray) -> list[Ring]:
    """The outer border and those of the holes, corners alone."""
    padded = np.pad(part, 1)
    ways: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for (dy, dx), (start, end) in {
        (-1, 0): ((0, 0), (1, 0)), (0, 1): ((1, 0), (1, 1)), (1, 0): ((1, 1), (0, 1)), (0, -1): ((0, 1), (0, 0)),
    }.items():  # fmt: skip
        beyond = np.roll(padded, (-dy, -dx), (0, 1))[1:-1, 1:-1]
        for y, x in np.argwhere(part & ~beyond).tolist():
            ways[x + start[0], y + start[1]].append((x + end[0], y + end[1]))
    rings = []
    while ways:
        rings.append(_corners(_walk(ways)))
    return rings


def _walk(ways: defaultdict[tuple[int, int], list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Along borders, the part to the right, back to the start; where two ways meet, the one that keeps to the part."""
    first = here = next(iter(ways))
    step = (0, 0)
    ring = []
    while True:
        ring.append(here)
        options = ways[here]
        turns = [(y - here[1]) * step[0] - (x - here[0]) * step[1] for x, y in options]
        there = options.pop(int(np.argmax(turns)))
        if not options:
            del ways[here]
        step, here = (there[0] - here[0], there[1] - here[1]), there
        if here == first:
            return ring


def _corners(ring: list[tuple[int, int]]) -> Ring:
    points = np.array(ring, np.int64)
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return points[(before != after).any(axis=1)]


def _area(ring: Ring) -> float:
    x, y = ring.T
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2


def _with_hole(outer: Ring, hole: Ring) -> Ring:
    """There and back over the shortest way between two corners."""
    distances = np.abs(outer[:, None] - hole[None]).sum(axis=2)
    at, into = np.unravel_index(int(distances.argmin()), distances.shape)
    around = np.roll(hole, -into, axis=0)
    return np.concatenate([outer[: at + 1], around, around[:1], outer[at:]])

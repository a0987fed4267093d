"""Random walks as the published programs have them, slowly: dense matrices, pair by pair, power by power."""

from __future__ import annotations

import numpy as np


def pairs(size: tuple[int, int], radius: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """All pairs of different cells nearer than the radius, once each."""
    height, width = size
    cells = [(y, x) for y in range(height) for x in range(width)]
    return [
        (a, b)
        for number, a in enumerate(cells)
        for b in cells[number + 1 :]
        if (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 < radius**2
    ]


def matrix(size: tuple[int, int], radius: int, affinity: object) -> np.ndarray:
    """Symmetric [n, n] with 1 on the diagonal, of `affinity(a, b)` of each pair."""
    assert callable(affinity)
    result = np.eye(size[0] * size[1])
    for a, b in pairs(size, radius):
        i, j = a[0] * size[1] + a[1], b[0] * size[1] + b[1]
        result[i, j] = result[j, i] = affinity(a, b)
    return result


def feature_affinity(features: np.ndarray, a: tuple[int, int], b: tuple[int, int]) -> float:
    return float(np.exp(-np.abs(features[:, *a] - features[:, *b]).mean()))


def boundary_affinity(boundary: np.ndarray, a: tuple[int, int], b: tuple[int, int]) -> float:
    """1 − the largest boundary among cells of the pair's rectangle that are less than 1 from the line through both."""
    direction = np.subtract(b, a)
    rows, columns = range(min(a[0], b[0]), max(a[0], b[0]) + 1), range(min(a[1], b[1]), max(a[1], b[1]) + 1)
    met = [
        boundary[y, x]
        for y in rows
        for x in columns
        if abs(direction[0] * (x - a[1]) - direction[1] * (y - a[0])) / np.hypot(*direction) < 1
    ]
    return 1 - float(max(met))


def random_walk(maps: np.ndarray, affinities: np.ndarray, power: float, steps: int) -> np.ndarray:
    """maps [C, h, w], affinities [n, n] → maps · T^steps; T's columns sum to 1."""
    powered = affinities**power
    transition = powered / powered.sum(axis=0, keepdims=True)
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    for _ in range(steps):
        flat = flat @ transition
    return flat.reshape(maps.shape)

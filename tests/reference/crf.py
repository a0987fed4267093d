"""Mean field of a dense CRF, twice and slowly: with the kernels as they are written, and over a lattice of dicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Filter = Callable[[np.ndarray], np.ndarray]
"""[N] → [N], each pixel a weighted sum of all."""


def features_of(image: np.ndarray, sxy: float, srgb: float | None) -> np.ndarray:
    """image [H, W, 3] → position, and colour if `srgb` is given, divided by the sigmas [H·W, 2 or 5]."""
    rows = []
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            colour = [] if srgb is None else [float(level) / srgb for level in image[y, x]]
            rows.append([x / sxy, y / sxy, *colour])
    return np.array(rows, np.float64)


def exact_filter(features: np.ndarray) -> Filter:
    """Every pair of pixels: exp(−½ |f_i − f_j|²)."""
    squares = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squares / 2)
    return lambda values: kernel @ values


def simplex_of(feature: np.ndarray) -> list[tuple[tuple[int, ...], float]]:
    """The d + 1 lattice points around a feature, with barycentric coordinates (Adams et al. 2010, pages 5 to 10)."""
    d = len(feature)
    scaled = [feature[i] * math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i in range(d)]
    lifted = [sum(scaled)] + [sum(scaled[j:]) - j * scaled[j - 1] for j in range(1, d + 1)]
    nearest = [round(value / (d + 1)) * (d + 1) for value in lifted]
    by_difference = sorted(range(d + 1), key=lambda i: nearest[i] - lifted[i])
    excess = sum(nearest) // (d + 1)
    for i in by_difference[d + 1 - excess :] if excess > 0 else []:
        nearest[i] -= d + 1
    for i in by_difference[:-excess] if excess < 0 else []:
        nearest[i] += d + 1
    assert sum(nearest) == 0
    order = sorted(range(d + 1), key=lambda i: nearest[i] - lifted[i])
    difference = [(lifted[i] - nearest[i]) / (d + 1) for i in order]
    corners = []
    for k in range(d + 1):
        point = list(nearest)
        for rank, i in enumerate(order):
            point[i] += k if rank <= d - k else k - (d + 1)
        weight = difference[d - k] - difference[d - k + 1] if k else 1 + difference[d] - difference[0]
        corners.append((tuple(point), weight))
    return corners


def lattice_filter(features: np.ndarray) -> Filter:
    """Splat onto lattice points, blur along d + 1 axes, slice. Points that no pixel touches take no part."""
    d = features.shape[1]
    simplices = [simplex_of(feature) for feature in features]

    def apply(values: np.ndarray) -> np.ndarray:
        points = {point: 0.0 for corners in simplices for point, _ in corners}
        for corners, value in zip(simplices, values, strict=True):
            for point, weight in corners:
                points[point] += weight * value
        for axis in range(d + 1):
            points = {p: v + (points.get(_step(p, axis, 1), 0) + points.get(_step(p, axis, -1), 0)) / 2
                      for p, v in points.items()}  # fmt: skip
        return np.array([sum(w * points[p] for p, w in corners) for corners in simplices]) / (1 + 2.0**-d)

    return apply


def _step(point: tuple[int, ...], axis: int, sign: int) -> tuple[int, ...]:
    return tuple(value + sign * ((len(point) - 1) if i == axis else -1) for i, value in enumerate(point))


def normalised(filter: Filter, pixels: int) -> Filter:
    norm = 1 / np.sqrt(filter(np.ones(pixels)) + 1e-20)
    return lambda values: norm * filter(norm * values)


def mean_field(unary: np.ndarray, kernels: Sequence[tuple[float, Filter]], iterations: int) -> np.ndarray:
    """unary [K, N], kernels (compatibility, filter) → probabilities [K, N]."""
    Q = _softmax(-unary)
    for _ in range(iterations):
        energy = unary.astype(np.float64).copy()
        for compat, filter in kernels:
            for k in range(len(Q)):
                energy[k] -= compat * filter(Q[k])
        Q = _softmax(-energy)
    return Q


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=0))
    return e / e.sum(axis=0)

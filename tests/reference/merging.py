"""Merging of superpixels as a program does it that compares two at a time and keeps a table of their similarities."""

from __future__ import annotations

import math

import numpy as np


def merge_slowly(regions: np.ndarray, features: np.ndarray, most: int, adjacent: bool) -> np.ndarray:
    """regions [H, W], features [n, D] → [H, W], numbered as they first appear."""
    regions = regions.astype(int).copy()
    means = {n: features[n].astype(np.float64) for n in range(len(features))}
    sizes = {n: int((regions == n).sum()) for n in range(len(features))}
    touching = neighbours(regions)

    def similarity(i: int, j: int) -> float:
        if adjacent and (i, j) not in touching:
            return -math.inf
        lengths = np.linalg.norm(means[i]) * np.linalg.norm(means[j])
        cosine = means[i].dot(means[j]) / lengths if lengths else 0.0
        return round(cosine * 2**20) * regions.size - 2**20 * (sizes[i] + sizes[j])

    table = np.full((len(means), len(means)), -np.inf)
    for i in range(len(means)):
        for j in range(i + 1, len(means)):
            table[i, j] = similarity(i, j)
    while len(means) > most:
        i, j = (int(n) for n in np.unravel_index(table.argmax(), table.shape))
        means[i] = (means[i] * sizes[i] + means[j] * sizes[j]) / (sizes[i] + sizes[j])
        sizes[i] += sizes[j]
        regions[regions == j] = i
        touching |= {(i, k) for k in means if (j, k) in touching} | {(k, i) for k in means if (j, k) in touching}
        del means[j], sizes[j]
        table[j] = table[:, j] = -np.inf
        for k in means:
            if k != i:
                table[min(i, k), max(i, k)] = similarity(i, k)
    return renumbered(regions)


def neighbours(regions: np.ndarray) -> set[tuple[int, int]]:
    found = set()
    for y in range(regions.shape[0]):
        for x in range(regions.shape[1]):
            for v, u in ((y + 1, x), (y, x + 1)):
                if v < regions.shape[0] and u < regions.shape[1] and regions[y, x] != regions[v, u]:
                    found |= {(int(regions[y, x]), int(regions[v, u])), (int(regions[v, u]), int(regions[y, x]))}
    return found


def renumbered(regions: np.ndarray) -> np.ndarray:
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(int(region), len(numbers)) for region in regions.flat]).reshape(regions.shape)


def mean_features(features: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Features [D, H, W], one per pixel → [n, D]."""
    return np.stack([features[:, regions == n].mean(axis=1) for n in range(regions.max() + 1)])

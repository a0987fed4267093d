"""k-means with cosine similarity as Lloyd has it, slowly: one feature, one centre at a time, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Result:
    centres: np.ndarray
    assignments: list[int]
    inertias: list[float]
    rounds: int


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / (np.sqrt((a * a).sum()) * np.sqrt((b * b).sum())))


def nearest(feature: np.ndarray, centres: np.ndarray) -> int:
    """Of equal ones the first; −1 of a feature that is 0."""
    if not feature.any():
        return -1
    cosines = [cosine(feature, centre) for centre in centres]
    return cosines.index(max(cosines))


def inertia(features: np.ndarray, centres: np.ndarray, assignments: list[int]) -> float:
    """Σ |x| (1 − cos(x, its centre)) / Σ |x|"""
    total = lengths = 0.0
    for feature, owner in zip(features, assignments, strict=True):
        if owner >= 0:
            length = np.sqrt((feature * feature).sum())
            total += length * (1 - cosine(feature, centres[owner]))
            lengths += length
    return total / lengths if lengths else 0.0


def lloyd(features: np.ndarray, centres: np.ndarray, rounds: int, tolerance: float) -> Result:
    """Without empty clusters."""
    features, centres = features.astype(np.float64), centres.astype(np.float64)
    inertias = []
    for done in range(1, rounds + 1):  # noqa: B007
        owners = [nearest(feature, centres) for feature in features]
        before, centres = centres, centres.copy()
        for k in range(len(centres)):
            members = [feature for feature, owner in zip(features, owners, strict=True) if owner == k]
            centres[k] = sum(members) / len(members)
        inertias.append(inertia(features, centres, owners))
        shift = sum(np.sqrt(((a - b) ** 2).sum()) for a, b in zip(centres, before, strict=True))
        if shift <= tolerance * sum(np.sqrt((centre**2).sum()) for centre in centres):
            break
    return Result(centres, owners, inertias, done)

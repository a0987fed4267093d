"""Unary energies, −log of how probable each label is at a pixel before the CRF: from maps, probabilities or labels."""

from __future__ import annotations

import numpy as np

LEAST_PROBABLE = 1e-5


def with_background(maps: np.ndarray, alpha: float) -> np.ndarray:
    """maps [C, H, W] in [0, 1] → [1 + C, H, W], background (1 − max)^alpha first; sums are not 1."""
    rest = np.clip(1 - maps.max(axis=0, initial=0.0), 0.0, 1.0)
    return np.concatenate([rest[None] ** np.float32(alpha), maps]).astype(np.float32, copy=False)


def unary_of_probs(probs: np.ndarray) -> np.ndarray:
    """probs [K, H, W] in [0, 1], which may sum to anything → float32 [K, H, W]."""
    return -np.log(np.clip(probs.astype(np.float32, copy=False), np.float32(LEAST_PROBABLE), np.float32(1)))


def unary_of_labels(labels: np.ndarray, count: int, confidence: float, known: int | None = None) -> np.ndarray:
    """labels [H, W] in 0 … count − 1, −1 undecided → float32 [count, H, W].

    A pixel has its label with the probability `confidence`; the others share the rest evenly. Undecided: all the same.
    known  so many labels share it (more than `count` where there are labels that are not in this image)
    """
    known = known or count
    if known == 1:
        return np.zeros((1, *labels.shape), np.float32)
    sure, other, undecided = -np.log([confidence, (1 - confidence) / (known - 1), 1 / known])
    numbers = np.arange(count)[:, None, None]
    return np.where(labels < 0, undecided, np.where(labels == numbers, sure, other)).astype(np.float32)

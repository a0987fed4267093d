"""Classification losses, one class after the other."""

from __future__ import annotations

import numpy as np


def classification_loss(logits: np.ndarray, targets: np.ndarray, *, summed: bool) -> float:
    """DCSM's equation 1 of each photo, or its mean over the classes; the mean over photos. [B, C] each."""
    photos = []
    for row, target in zip(logits, targets, strict=True):
        terms = []
        for score, there in zip(row, target, strict=True):
            p = 1 / (1 + np.exp(-score))
            terms.append(-np.log(p) if there else -np.log(1 - p))
        photos.append(sum(terms) if summed else sum(terms) / len(terms))
    return float(np.mean(photos))


def gradient(logits: np.ndarray, targets: np.ndarray, *, summed: bool) -> np.ndarray:
    """[B, C]: p − y of each class, shared out among what the mean is over."""
    found = np.zeros(logits.shape)
    for b, c in np.ndindex(logits.shape):
        p = 1 / (1 + np.exp(-logits[b, c]))
        found[b, c] = (p - targets[b, c]) / (len(logits) if summed else logits.size)
    return found

"""ICD's seeds and their parts, pixel by pixel."""

from __future__ import annotations

import numpy as np


def seeds_slowly(
    scores: np.ndarray,
    classes: np.ndarray,
    undecided: int,
    cams: np.ndarray | None = None,
    saliency: np.ndarray | None = None,
) -> np.ndarray:
    """scores, cams [C, H, W], saliency [H, W] → [H, W] of 0, class + 1 and undecided."""
    height, width = scores.shape[1:]
    seeds = np.zeros((height, width), int)
    if len(classes) == 0:
        return seeds
    for y in range(height):
        for x in range(width):
            here = scores[:, y, x]
            claiming = [n for n in range(len(classes)) if here[n] > 0]
            if saliency is not None:
                background = saliency[y, x] < 0.01
            elif len(classes) == 1:
                background = not claiming
            else:
                background = all(score < 0 for score in here)
            if bool(claiming) == bool(background):
                seeds[y, x] = undecided
            elif claiming:
                seeds[y, x] = _winner(scores, classes, undecided, cams, claiming, y, x)
    return seeds


def _winner(
    scores: np.ndarray,
    classes: np.ndarray,
    undecided: int,
    cams: np.ndarray | None,
    claiming: list[int],
    y: int,
    x: int,
) -> int:
    if len(claiming) == 1:
        return int(classes[claiming[0]]) + 1
    weights = {}
    for n in claiming:
        weights[n] = scores[n, y, x] if cams is None else scores[n, y, x] / max(scores[n].max(), 1e-5) * cams[n, y, x]
    best = max(claiming, key=lambda n: (weights[n], -n))
    return int(classes[best]) + 1 if weights[best] > 0 else undecided

"""Pixel-adaptive refinement, one pixel after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Place = tuple[int, int]


def around(at: Place, size: Place, dilations: Sequence[int]) -> list[tuple[Place, float]]:
    """Places of the neighbours, brought inside, and how far away they were."""
    found = []
    for dilation in dilations:
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                if down or right:
                    row = min(max(at[0] + down * dilation, 0), size[0] - 1)
                    column = min(max(at[1] + right * dilation, 0), size[1] - 1)
                    found.append(((row, column), dilation * np.hypot(down, right)))
    return found


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def weights_at(photo: np.ndarray, at: Place, dilations: Sequence[int], how: str) -> np.ndarray:
    neighbours = around(at, photo.shape[:2], dilations)
    colours = np.array([photo[place] for place, _ in neighbours], dtype=np.float64)
    distances = np.array([distance for _, distance in neighbours])
    own = photo[at].astype(np.float64)
    if how == "pamr":
        spread = np.concatenate([colours, [own] * len(dilations)]).std(axis=0, ddof=1)
        return softmax(-(np.abs(colours - own) / (0.1 * spread + 1e-8)).mean(axis=1))
    spread = colours.std(axis=0, ddof=1)
    by_colour = softmax(-np.square(np.abs(colours - own) / (spread + 1e-8) / 0.3).mean(axis=1))
    by_place = softmax(-np.square(distances / (distances.std(ddof=1) + 1e-8) / 0.3))
    weights = by_colour + 0.01 * by_place
    return weights / weights.sum()


def refine(photo: np.ndarray, maps: np.ndarray, dilations: Sequence[int], rounds: int, how: str) -> np.ndarray:
    """photo [H, W, 3], maps [C, H, W]."""
    size = photo.shape[:2]
    for _ in range(rounds):
        before, maps = maps, np.zeros(maps.shape, np.float64)
        for at in np.ndindex(*size):
            weights = weights_at(photo, at, dilations, how)
            for weight, (place, _) in zip(weights, around(at, size, dilations), strict=True):
                maps[(slice(None), *at)] += weight * before[(slice(None), *place)]
    return maps

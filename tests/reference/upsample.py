"""Bilinear interpolation, `align_corners=False`, one output pixel at a time."""

from __future__ import annotations

import math

import numpy as np


def upsample(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """maps [C, h, w] → float64 [C, H, W]."""
    result = np.empty((len(maps), *size))
    for c in range(len(maps)):
        for y in range(size[0]):
            for x in range(size[1]):
                result[c, y, x] = _at(maps[c].astype(np.float64), _source(y, maps.shape[1], size[0]), x, size[1])
    return result


def _at(image: np.ndarray, y: float, column: int, width: int) -> float:
    x = _source(column, image.shape[1], width)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
    upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
    lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def _source(target: int, source_length: int, target_length: int) -> float:
    position = (target + 0.5) * source_length / target_length - 0.5
    return min(max(position, 0.0), source_length - 1)

"""Multi-scale class activation maps, slowly: Pillow resizes, loops add up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image


def resize_photo(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, 3] uint8 → [*size, 3] uint8 by Pillow's bicubic filter."""
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def resize_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w] → [*size], bilinear without aligned corners, pixel by pixel."""
    height, width = values.shape
    result = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            v = min(max((y + 0.5) * height / size[0] - 0.5, 0), height - 1)
            u = min(max((x + 0.5) * width / size[1] - 0.5, 0), width - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = values[top, left] * (1 - (u - left)) + values[top, right] * (u - left)
            below = values[bottom, left] * (1 - (u - left)) + values[bottom, right] * (u - left)
            result[y, x] = above * (1 - (v - top)) + below * (v - top)
    return result


def class_map(features: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """ReLU(w_c · f): features [D, h, w], weight [D] → [h, w]."""
    depth, height, width = features.shape
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            result[y, x] = max(sum(weight[d] * features[d, y, x] for d in range(depth)), 0)
    return result


def multi_scale_cam(
    image: np.ndarray,
    classes: Sequence[int],
    features: Callable[[np.ndarray], np.ndarray],
    weight: np.ndarray,
    scales: Sequence[float],
    size: tuple[int, int],
    flip: bool = True,
    multiple: int = 1,
) -> np.ndarray:
    """image [h, w, 3] uint8 → [C, *size] in [0, 1].

    features: [h, w, 3] uint8 → [D, h', w']; weight [num_classes, D]
    """
    padded = tuple(-(-side // multiple) * multiple for side in size)
    total = np.zeros((len(classes), *size))
    for scale in scales:
        height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
        scaled = resize_photo(image, (height, width))
        for mirrored in (False, True) if flip else (False,):
            seen = features(np.ascontiguousarray(scaled[:, ::-1]) if mirrored else scaled)
            for row, c in enumerate(classes):
                values = class_map(seen, weight[c])
                values = values[:, ::-1] if mirrored else values
                total[row] += resize_map(values, padded)[: size[0], : size[1]]
    for row in range(len(classes)):
        total[row] /= total[row].max() + 1e-5
    return total

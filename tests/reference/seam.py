"""SEAM's refined maps, slowly: every pair of positions compared, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.reference.cam import resize_map, resize_photo

EPSILON = 1e-5

Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""[h, w, 3] uint8 → scores of all classes [num_classes, h', w'], embedding [E, h', w']"""


def winning_maps(scores: np.ndarray) -> np.ndarray:
    """[num_classes, h, w] → the same: divided by each class's maximum; only the best class of a position stays."""
    classes, height, width = scores.shape
    maps = np.zeros(scores.shape)
    for c in range(classes):
        highest = max(scores[c].max(), 0)
        for y in range(height):
            for x in range(width):
                maps[c, y, x] = max(scores[c, y, x] - EPSILON, 0) / (highest + EPSILON)
    for y in range(height):
        for x in range(width):
            best = maps[:, y, x].max()
            for c in range(classes):
                if maps[c, y, x] < best:
                    maps[c, y, x] = 0
    return maps


def spread(values: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    """[h, w], [E, h, w] → [h, w]: means weighted by how alike two positions are."""
    height, width = values.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    directions = {at: embedding[:, *at] / (np.sqrt((embedding[:, *at] ** 2).sum()) + EPSILON) for at in places}
    result = np.zeros(values.shape)
    for there in places:
        alike = {here: max(float(directions[here] @ directions[there]), 0) for here in places}
        total = sum(alike.values()) + EPSILON
        result[there] = sum(values[here] * weight / total for here, weight in alike.items())
    return result


def resize_with_aligned_corners(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w] → [*size], bilinear; the corners stay where they are."""
    height, width = values.shape
    result = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            v = y * (height - 1) / max(size[0] - 1, 1)
            u = x * (width - 1) / max(size[1] - 1, 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = values[top, left] * (1 - (u - left)) + values[top, right] * (u - left)
            below = values[bottom, left] * (1 - (u - left)) + values[bottom, right] * (u - left)
            result[y, x] = above * (1 - (v - top)) + below * (v - top)
    return result


def refined_maps(image: np.ndarray, classes: Sequence[int], network: Network) -> np.ndarray:
    """[H, W, 3] uint8 → [C, H, W]."""
    scores, embedding = network(image)
    winning = winning_maps(scores)
    return np.stack([resize_with_aligned_corners(spread(winning[c], embedding), image.shape[:2]) for c in classes])


def multi_scale(
    image: np.ndarray, classes: Sequence[int], network: Network, scales: Sequence[float], size: tuple[int, int]
) -> np.ndarray:
    """[H, W, 3] uint8 → [C, *size] in [0, 1]; each scale as it is and mirrored."""
    total = np.zeros((len(classes), *size))
    for scale in scales:
        scaled = resize_photo(image, (round(image.shape[0] * scale), round(image.shape[1] * scale)))
        for mirrored in (False, True):
            maps = refined_maps(np.ascontiguousarray(scaled[:, ::-1]) if mirrored else scaled, classes, network)
            for row in range(len(classes)):
                total[row] += resize_map(maps[row][:, ::-1] if mirrored else maps[row], size)
    for row in range(len(classes)):
        lowest, highest = total[row].min(), total[row].max()
        total[row] = np.maximum(total[row] - lowest - EPSILON, 0) / (highest - lowest + EPSILON)
    return total

"""InferCam as the paper has it, slowly: one patch, one scale, one class at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.reference.cam import class_map, resize_map, resize_photo

Features = Callable[[np.ndarray], np.ndarray]
"""[h, w, 3] float in [0, 255] → [D, h', w']"""


@dataclass
class Result:
    maps: np.ndarray
    boxes: list[tuple[int, int, int, int]]
    shares: list[list[float]]


def maps_of(
    patch: np.ndarray, hidden: np.ndarray, colour: np.ndarray, classes: Sequence[int],
    features: Features, weight: np.ndarray, scales: Sequence[float],
) -> np.ndarray:  # fmt: skip
    """patch [h, w, 3] uint8, hidden [h, w] bool → [C, h, w] in [0, 1]."""
    height, width = hidden.shape
    total = np.zeros((len(classes), height, width))
    for scale in scales:
        size = (max(round(height * scale), 1), max(round(width * scale), 1))
        scaled = resize_photo(patch, size).astype(np.float64)
        for y in range(size[0]):
            for x in range(size[1]):
                if hidden[y * height // size[0], x * width // size[1]]:
                    scaled[y, x] = colour
        for mirrored in (False, True):
            seen = features(scaled[:, ::-1] if mirrored else scaled)
            for row, c in enumerate(classes):
                values = class_map(seen, weight[c])
                total[row] += resize_map(values[:, ::-1] if mirrored else values, (height, width))
    for row in range(len(classes)):
        total[row] /= total[row].max() + 1e-5
    return total


def centre(values: np.ndarray) -> tuple[int, int]:
    if values.sum() <= 0:
        return values.shape[0] // 2, values.shape[1] // 2
    y = sum(row * values[row].sum() for row in range(values.shape[0])) / values.sum()
    x = sum(column * values[:, column].sum() for column in range(values.shape[1])) / values.sum()
    return int(y), int(x)


def four(centres: Sequence[tuple[int, int]], size: tuple[int, int], margin: int) -> list[tuple[int, int, int, int]]:
    (height, width), ys, xs = size, [y for y, _ in centres], [x for _, x in centres]
    up, down = (0, min(max(ys) + margin, height)), (max(min(ys) - margin, 0), height)
    left, right = (0, min(max(xs) + margin, width)), (max(min(xs) - margin, 0), width)
    return [(a[0], b[0], a[1], b[1]) for a in (up, down) for b in (left, right)]


def infer_cam(
    image: np.ndarray, classes: Sequence[int], features: Features, weight: np.ndarray, scales: Sequence[float],
    *, threshold: float = 0.7, stop: float = 0.01, rounds: int = 5,
) -> Result:  # fmt: skip
    height, width = image.shape[:2]
    nothing = np.zeros((height, width), bool)
    baseline = maps_of(image, nothing, np.zeros(3), classes, features, weight, scales)
    centres = [centre(values) for values in baseline]
    everything = list(range(len(classes)))
    if len(classes) <= 2:
        jobs = [(box, everything) for box in four(centres, (height, width), 10 if len(classes) == 1 else 20)]
    else:
        jobs = [(box, [row]) for row in everything for box in four([centres[row]], (height, width), 10)]
    result = Result(np.zeros((len(classes), height, width)), [box for box, _ in jobs], [])
    for (top, left, bottom, right), rows in jobs:
        patch = image[top:bottom, left:right]
        asked = [classes[row] for row in rows]
        colour = patch.reshape(-1, 3).astype(np.float64).mean(0)
        found = np.zeros((len(rows), *patch.shape[:2]))
        hidden = np.zeros(patch.shape[:2], bool)
        shares: list[float] = []
        while len(shares) < rounds:
            found = np.maximum(found, maps_of(patch, hidden, colour, asked, features, weight, scales))
            now = (found > threshold).any(0)
            shares.append((now.sum() - hidden.sum()) / now.size)
            hidden = now
            if shares[-1] < stop:
                break
        result.shares.append(shares)
        for place, row in enumerate(rows):
            area = result.maps[row, top:bottom, left:right]
            np.maximum(area, found[place], out=area)
    return result

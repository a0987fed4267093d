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


def sums_of(
    patch: np.ndarray, hidden: np.ndarray, colour: np.ndarray, classes: Sequence[int],
    features: Features, weight: np.ndarray, scales: Sequence[float],
) -> np.ndarray:  # fmt: skip
    """patch [h, w, 3] uint8, hidden [h, w] bool → [C, h, w], not normalised."""
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
    return total


def normalised(sums: np.ndarray) -> np.ndarray:
    return np.stack([one / (one.max() + 1e-5) for one in sums])


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
    *, threshold: float = 0.7, stop: float = 0.01, rounds: int = 5, context: int = 0,
    fill: str = "mean", margin: float | None = None,
) -> Result:  # fmt: skip
    height, width = image.shape[:2]

    def maps_in(box: tuple[int, int, int, int], hidden: np.ndarray, rows: Sequence[int]) -> np.ndarray:
        """The box's part of what is seen in the box and around it, with something of the box hidden."""
        top, left, bottom, right = box
        above, before = max(top - context, 0), max(left - context, 0)
        window = image[above : min(bottom + context, height), before : min(right + context, width)]
        covered = np.zeros(window.shape[:2], bool)
        covered[top - above : bottom - above, left - before : right - before] = hidden
        pixels = image if fill == "image" else image[top:bottom, left:right]
        colour = np.zeros(3) if fill == "zero" else pixels.reshape(-1, 3).astype(np.float64).mean(0)
        sums = sums_of(window, covered, colour, [classes[row] for row in rows], features, weight, scales)
        return normalised(sums[:, top - above : bottom - above, left - before : right - before])

    everything = list(range(len(classes)))
    nothing = np.zeros((height, width), bool)
    baseline = sums_of(image, nothing, np.zeros(3), classes, features, weight, scales)
    centres = [centre(values) for values in normalised(baseline)]
    asked = None if margin is None else round(margin * max(height, width)) if margin < 1 else int(margin)
    if len(classes) <= 2:
        pixels = (10 if len(classes) == 1 else 20) if asked is None else asked
        jobs = [(box, everything) for box in four(centres, (height, width), pixels)]
    else:
        pixels = 10 if asked is None else asked
        jobs = [(box, [row]) for row in everything for box in four([centres[row]], (height, width), pixels)]
    result = Result(np.zeros((len(classes), height, width)), [box for box, _ in jobs], [])
    for box, rows in jobs:
        hidden = np.zeros((box[2] - box[0], box[3] - box[1]), bool)
        found = np.zeros((len(rows), *hidden.shape))
        shares: list[float] = []
        while len(shares) < rounds:
            found = np.maximum(found, maps_in(box, hidden, rows))
            now = (found > threshold).any(0)
            shares.append((now.sum() - hidden.sum()) / now.size)
            hidden = now
            if shares[-1] < stop:
                break
        result.shares.append(shares)
        for place, row in enumerate(rows):
            area = result.maps[row, box[0] : box[2], box[1] : box[3]]
            np.maximum(area, found[place], out=area)
    return result

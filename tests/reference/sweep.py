"""Confusion matrices the obvious way: make the mask at every threshold, then count pixel by pixel."""

from __future__ import annotations

import numpy as np


def threshold_mask(maps: np.ndarray, classes: np.ndarray, threshold: float, shape: tuple[int, int]) -> np.ndarray:
    """Argmax over [threshold, maps], the threshold (background) first; [H, W] of 0 and class + 1."""
    if len(maps) == 0:
        return np.zeros(shape, dtype=np.int64)
    background = np.full((1, *shape), threshold, dtype=np.float32)
    winner = np.concatenate([background, maps.astype(np.float32)]).argmax(axis=0)
    return np.concatenate([[0], np.asarray(classes) + 1])[winner]


def seed_mask(scores: np.ndarray, classes: np.ndarray, margin: float, shape: tuple[int, int]) -> np.ndarray:
    """The class of the largest score above the margin, 0 where all are below minus the margin, else 255."""
    mask = np.full(shape, 255, dtype=np.int64)
    margin = np.float32(margin)
    for y, x in np.ndindex(*shape):
        pixel = scores[:, y, x]
        if len(pixel) and pixel.max() > margin:
            mask[y, x] = classes[int(pixel.argmax())] + 1
        elif (pixel < -margin).all():
            mask[y, x] = 0
    return mask


def confusion(
    masks: list[np.ndarray], truths: list[np.ndarray], num_classes: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Matrix [K + 1, K + 1], undecided pixels per true class [K + 1], ignored pixels."""
    matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    undecided = np.zeros(num_classes + 1, dtype=np.int64)
    ignored = 0
    for mask, truth in zip(masks, truths, strict=True):
        void = 65535 if truth.dtype == np.uint16 else 255
        for true, predicted in zip(truth.ravel().tolist(), mask.ravel().tolist(), strict=True):
            if true == void:
                ignored += 1
            elif predicted == 255:
                undecided[true] += 1
            else:
                matrix[true, predicted] += 1
    return matrix, undecided, ignored


def classes_in(truth: np.ndarray) -> int:
    """How many foreground classes a ground truth holds."""
    return len(set(truth.ravel().tolist()) - {0, 255, 65535})

"""Masks from maps: which class, if any, a pixel belongs to. NumPy only, for these run without torch too."""

from __future__ import annotations

import numpy as np

LARGEST_UINT8_CLASSES = 254  # 255 is taken: undecided


def mask_of_maps(maps: np.ndarray, classes: np.ndarray, threshold: float, num_classes: int) -> np.ndarray:
    """The class with the largest map (the first on ties) where that is above the threshold, else background.

    maps [C_i, H, W] in [0, 1], classes [C_i] → [H, W]: 0 or class + 1
    """
    labels = mask_labels(classes, num_classes)
    if len(classes) == 0:
        return np.zeros(maps.shape[1:], labels.dtype)
    foreground = labels[1:][maps.argmax(axis=0)]
    return np.where(maps.max(axis=0) > np.float32(threshold), foreground, labels[0])


def mask_of_probs(probs: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """The most probable class (the first on ties): probs [1 + C_i, H, W], background first → [H, W]."""
    return mask_labels(classes, num_classes)[probs.argmax(axis=0)]


def mask_labels(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """What stands in a mask for background and each of the classes: [1 + C_i], 0 and class + 1."""
    dtype = np.uint8 if num_classes <= LARGEST_UINT8_CLASSES else np.uint16
    return np.concatenate([[0], classes + 1]).astype(dtype)


def classes_of_mask(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """[n] int64, ascending: the classes a mask [H, W] holds; undecided: above their number, and 255 in uint8."""
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=num_classes + 1)[: num_classes + 1])
    void = np.iinfo(mask.dtype).max
    return present[(present > 0) & (present < void)].astype(np.int64) - 1

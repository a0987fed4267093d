"""Superpixels, regions of an image that belong together by colour; and maps and masks made the same all over each.

Papers: Felzenszwalb and Huttenlocher, Efficient graph-based image segmentation, 2004; ICD, section 3.3.
"""

from __future__ import annotations

import numpy as np

from camkit.settings.superpixels import Felzenszwalb
from camkit.types import Size


def segment(image: np.ndarray, size: Size, method: Felzenszwalb) -> np.ndarray:
    """image [h, w, 3] uint8 → superpixels [H, W] of a photo of `size`, numbered 0, 1, 2 … as they first appear."""
    from camkit.methods.felzenszwalb_kernel import felzenszwalb  # numba takes a second to load

    regions = felzenszwalb(image, float(method.scale), method.sigma, method.min_size)
    return renumber(_nearest(regions, size))


def renumber(regions: np.ndarray) -> np.ndarray:
    """Whole numbers [H, W] → the same regions as uint16 or uint32, 0, 1, 2 … as they first appear, row by row."""
    _, first, inverse = np.unique(regions, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.uint16 if len(first) <= 1 << 16 else np.uint32)
    numbers[np.argsort(first)] = np.arange(len(first), dtype=numbers.dtype)
    return numbers[inverse].reshape(regions.shape)


def _nearest(regions: np.ndarray, size: Size) -> np.ndarray:
    """[h, w] → [H, W]: of the pixel in whose area the middle of the new one lies."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, regions.shape, strict=True))
    return regions[rows[:, None], columns]


def average(values: np.ndarray, superpixels: np.ndarray) -> np.ndarray:
    """Every pixel gets the mean of its superpixel: values [C, H, W], superpixels [H, W] → [C, H, W] float32."""
    numbers = superpixels.ravel().astype(np.intp)
    counts = np.bincount(numbers)
    result = np.empty(values.shape, np.float32)
    for plane, averaged in zip(values, result, strict=True):
        means = np.bincount(numbers, plane.ravel()) / counts
        averaged[...] = means.astype(np.float32)[superpixels]
    return result


def vote(mask: np.ndarray, superpixels: np.ndarray, undecided: int) -> np.ndarray:
    """Every pixel gets the label that most pixels of its superpixel have, on ties the smallest.

    Undecided pixels do not vote; a superpixel without a vote stays undecided.
    mask [H, W] uint8 or uint16, superpixels [H, W] → [H, W] as mask
    """
    winners = np.full(int(superpixels.max()) + 1, undecided, mask.dtype)
    most = np.zeros(len(winners), np.intp)
    for label in np.flatnonzero(np.bincount(mask.ravel())):
        if label == undecided:
            continue
        votes = np.bincount(superpixels[mask == label], minlength=len(winners))
        winners[votes > most] = label
        most = np.maximum(most, votes)
    return winners[superpixels]

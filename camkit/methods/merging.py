"""Superpixels merged, two at a time, by how alike they look to a network and how small they are, until few remain.

Paper: ICD, section 5.2, after the strategy of selective search (Uijlings et al., 2013), which merges neighbours. ICD's
published program merges any two. No torch here: features come as arrays.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from camkit.errors import ImageError
from camkit.methods.superpixels import renumber
from camkit.settings.superpixels import Merging

MOST_FOR_ALL = 5_000  # a table of 200 MB


def merge(regions: np.ndarray, features: np.ndarray, merging: Merging) -> np.ndarray:
    """Merge the two most similar superpixels again and again: cosine of their features + 1 − their share of the photo.

    A merged superpixel has the mean feature of its pixels. Cosines count in steps of 2⁻²⁰, so that no rounding decides
    between equals: of these the pair with the lowest numbers comes first, and the lower number stays.

    regions [H, W], numbered from 0; features [n, D] → [H, W], numbered as they first appear
    """
    sizes = np.bincount(regions.ravel(), minlength=len(features)).astype(np.float64)
    if len(sizes) <= merging.most:
        return renumber(regions)
    from camkit.methods.merging_kernel import merge_any, merge_pairs  # numba takes a second to load

    sums = features * sizes[:, None]  # a cosine does not mind, and what is merged is just added
    if merging.pairs == "adjacent":
        into = merge_pairs(sums, sizes, *adjacent_pairs(regions), merging.most)
    else:
        _check_count(len(sizes))
        into = merge_any(sums @ sums.T, sizes, merging.most)
    return renumber(into[regions])


def adjacent_pairs(regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every two regions that share an edge of a pixel: [H, W] → the lower numbers and the higher ones, int32 [E]."""
    found, count = [np.empty(0, np.int64)], int(regions.max()) + 1
    for one, other in ((regions[:, 1:], regions[:, :-1]), (regions[1:], regions[:-1])):
        here = one != other
        low, high = np.minimum(one[here], other[here]), np.maximum(one[here], other[here])
        found.append(low.astype(np.int64) * count + high)
    low, high = np.divmod(np.unique(np.concatenate(found)), count)
    return low.astype(np.int32), high.astype(np.int32)


def _check_count(count: int) -> None:
    if count > MOST_FOR_ALL:
        raise ImageError(
            f"{count:,} superpixels are too many to compare all with all ({MOST_FOR_ALL:,}); "
            "give a larger --scale or --min-size, a smaller --resize, or --merge-pairs adjacent"
        )


def region_features(features: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The mean in every region of features [D, h, w] brought to its size bilinearly: regions [H, W] → [n, D].

    What every position of the grid weighs in every region is added up first: no feature is ever upsampled.
    """
    height, width = features.shape[1:]
    numbers = regions.ravel().astype(np.int32)
    sizes = np.bincount(numbers)
    weights = sparse.csr_matrix((len(sizes), height * width))
    for rows, down in _neighbours(height, regions.shape[0]):
        for columns, across in _neighbours(width, regions.shape[1]):
            cells = (rows[:, None] * width + columns).ravel()
            weights += sparse.csr_matrix(((down[:, None] * across).ravel(), (numbers, cells)), weights.shape)
    return weights @ features.reshape(len(features), -1).T.astype(np.float64) / sizes[:, None]


def _neighbours(source: int, target: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two positions around every pixel [target], and how much each weighs: bilinear, no aligned corners."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    before = position.astype(np.int32)
    weight = position - before
    return [(before, 1 - weight), (np.minimum(before + 1, source - 1), weight)]

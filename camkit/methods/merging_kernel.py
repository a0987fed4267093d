"""The loops that merge superpixels, as machine code."""

from __future__ import annotations

import numpy as np

from camkit.methods.crf.compiled import inlined, kernel

COSINE_STEPS = float(1 << 20)


@inlined
def similarity(product: float, squares: float, size: float, area: float) -> float:
    """Cosine + 1 − share of the photo, times area and COSINE_STEPS: a whole number, which compares exactly.

    Superpixels without features are like none.
    """
    cosine = product / np.sqrt(squares) if squares > 0 else 0.0
    return np.rint(cosine * COSINE_STEPS) * area - COSINE_STEPS * size


@inlined
def find_nearest(
    n: int, products: np.ndarray, sizes: np.ndarray, area: float,
    into: np.ndarray, nearest: np.ndarray, highest: np.ndarray,
) -> None:  # fmt: skip
    highest[n] = -np.inf
    for other in range(sizes.size):
        if other != n and into[other] == other:
            squares = products[n, n] * products[other, other]
            value = similarity(products[n, other], squares, sizes[n] + sizes[other], area)
            if value > highest[n]:
                nearest[n], highest[n] = other, value


@inlined
def roots(into: np.ndarray) -> np.ndarray:
    """Each knows a lower number, or itself: what is found by going on from there."""
    for n in range(into.size):
        into[n] = into[into[n]]
    return into


@kernel("int64[::1](float64[:, ::1], float64[::1], int32[::1], int32[::1], int64)")
def merge_pairs(sums: np.ndarray, sizes: np.ndarray, first: np.ndarray, second: np.ndarray, most: int) -> np.ndarray:
    """Merge the most similar of the pairs until `most` superpixels are left; on ties the one with the lowest numbers.

    sums           [n, D] of the features of each superpixel's pixels
    sizes          [n] in pixels
    first, second  [E] pairs that may be merged, the lower number first
    All are worked on in place. → [n] the lowest number of all that a superpixel was merged with
    """
    count, left, area = sizes.size, first.size, sizes.sum()
    into, met = np.arange(count), np.zeros(count, np.int32)
    squares, alike = np.empty(count), np.empty(left)
    for n in range(count):
        squares[n] = np.dot(sums[n], sums[n])
    for e in range(left):
        i, j = first[e], second[e]
        alike[e] = similarity(np.dot(sums[i], sums[j]), squares[i] * squares[j], sizes[i] + sizes[j], area)
    for turn in range(1, count - most + 1):
        kept, gone, highest = 0, 0, -np.inf
        for e in range(left):
            i, j = first[e], second[e]
            if alike[e] > highest or (alike[e] == highest and (i < kept or (i == kept and j < gone))):
                kept, gone, highest = i, j, alike[e]
        into[gone] = kept
        sums[kept] += sums[gone]
        sizes[kept] += sizes[gone]
        squares[kept] = np.dot(sums[kept], sums[kept])
        edges, left = left, 0
        for e in range(edges):
            i, j, value = first[e], second[e], alike[e]
            if i in (kept, gone) or j in (kept, gone):
                other = i + j - (kept if kept in (i, j) else gone)
                if other == gone or met[other] == turn:
                    continue  # the pair that was merged, or one that both its parts had
                met[other] = turn
                i, j = min(kept, other), max(kept, other)
                value = similarity(np.dot(sums[i], sums[j]), squares[i] * squares[j], sizes[i] + sizes[j], area)
            first[left], second[left], alike[left] = i, j, value
            left += 1
    return roots(into)


@kernel("int64[::1](float64[:, ::1], float64[::1], int64)")
def merge_any(products: np.ndarray, sizes: np.ndarray, most: int) -> np.ndarray:
    """As `merge_pairs`, of any two: every superpixel knows the one that is most similar to it.

    products  [n, n] of the sums of features, which are added up as the sums themselves would be
    """
    count, area = sizes.size, sizes.sum()
    into, nearest, highest = np.arange(count), np.empty(count, np.int64), np.empty(count)
    for n in range(count):
        find_nearest(n, products, sizes, area, into, nearest, highest)
    for _ in range(count - most):
        kept = np.argmax(highest)
        gone = nearest[kept]
        into[gone], highest[gone] = kept, -np.inf
        sizes[kept] += sizes[gone]
        products[kept] += products[gone]
        products[:, kept] += products[:, gone]
        for n in range(count):
            if into[n] != n:
                continue
            if n == kept or nearest[n] == kept or nearest[n] == gone:
                find_nearest(n, products, sizes, area, into, nearest, highest)
                continue
            squares = products[n, n] * products[kept, kept]
            value = similarity(products[n, kept], squares, sizes[n] + sizes[kept], area)
            if value > highest[n] or (value == highest[n] and kept < nearest[n]):
                nearest[n], highest[n] = kept, value
    return roots(into)

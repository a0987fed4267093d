"""Felzenszwalb's and Huttenlocher's superpixels as machine code: the labels of scikit-image, to the last pixel.

An order of edges decides them, ties included: costs are added up and rounded as there, and NumPy sorts for both.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from camkit.methods.crf.compiled import inlined, kernel


def felzenszwalb(image: np.ndarray, scale: float, sigma: float, min_size: int) -> np.ndarray:
    """image [h, w, 3] uint8 → [h, w] int32, numbered as they first appear, row by row."""
    height, width = image.shape[:2]
    smooth = ndimage.gaussian_filter(np.multiply(image, 1 / 255, dtype=np.float64), (sigma, sigma, 0), mode="reflect")
    costs = edge_costs(smooth)
    return grow(costs, np.argsort(costs), height, width, scale / 255, min_size)


@inlined
def distance(one: np.ndarray, other: np.ndarray) -> float:
    red, green, blue = one[0] - other[0], one[1] - other[1], one[2] - other[2]
    return np.sqrt(red * red + green * green + blue * blue)


@inlined
def root_of(parents: np.ndarray, n: int) -> int:
    while parents[n] != n:
        parents[n] = parents[parents[n]]
        n = parents[n]
    return n


@kernel("float64[::1](float64[:, :, ::1])")
def edge_costs(image: np.ndarray) -> np.ndarray:
    """Between neighbours: all to the right, all down, all down and right, all down and left."""
    height, width = image.shape[:2]
    costs = np.empty(height * (width - 1) + (height - 1) * width + 2 * (height - 1) * (width - 1))
    at = 0
    for y in range(height):
        for x in range(width - 1):
            costs[at] = distance(image[y, x + 1], image[y, x])
            at += 1
    for y in range(height - 1):
        for x in range(width):
            costs[at] = distance(image[y + 1, x], image[y, x])
            at += 1
    for y in range(height - 1):
        for x in range(width - 1):
            costs[at] = distance(image[y + 1, x + 1], image[y, x])
            at += 1
    for y in range(height - 1):
        for x in range(width - 1):
            costs[at] = distance(image[y + 1, x], image[y, x + 1])
            at += 1
    return costs


@inlined
def join(parents: np.ndarray, sizes: np.ndarray, one: int, other: int) -> int:
    """Two roots: the smaller below the larger, which is returned."""
    if sizes[one] < sizes[other]:
        one, other = other, one
    parents[other] = one
    sizes[one] += sizes[other]
    return one


@inlined
def numbered(parents: np.ndarray) -> np.ndarray:
    """0, 1, 2 … as roots are first met."""
    found, numbers = 0, np.full(parents.size, -1, np.int32)
    labels = np.empty(parents.size, np.int32)
    for n in range(parents.size):
        root = root_of(parents, n)
        if numbers[root] < 0:
            numbers[root] = found
            found += 1
        labels[n] = numbers[root]
    return labels


@kernel("int32[:, ::1](float64[::1], int64[::1], int64, int64, float64, int64)")
def grow(costs: np.ndarray, order: np.ndarray, height: int, width: int, scale: float, min_size: int) -> np.ndarray:
    """Join what is as alike as its own pixels are; then what is smaller than min_size to a neighbour.

    order  of the edges, the cheapest first; worked on in place
    """
    down = height * (width - 1)  # the first that leads down
    slanting = down + (height - 1) * width
    turned = slanting + (height - 1) * (width - 1)
    parents, sizes = np.arange(height * width).astype(np.int32), np.ones(height * width, np.int32)
    bounds = np.full(height * width, scale, np.float32)  # costliest edge within + scale / size
    left = 0
    for edge in order:
        if edge < down:
            first = edge + edge // (width - 1)
            second = first + 1
        elif edge < slanting:
            first = edge - down
            second = first + width
        elif edge < turned:
            first = edge - slanting + (edge - slanting) // (width - 1)
            second = first + width + 1
        else:
            first = edge - turned + (edge - turned) // (width - 1) + 1
            second = first + width - 1
        one, other = root_of(parents, first), root_of(parents, second)
        if one == other:
            continue
        cost = costs[edge]
        if cost < bounds[one] and cost < bounds[other]:
            kept = join(parents, sizes, one, other)
            bounds[kept] = cost + scale / sizes[kept]
        else:
            order[left] = first * height * width + second  # in the place of an edge that has been
            left += 1
    for pair in order[:left]:
        first, second = divmod(pair, height * width)
        one, other = root_of(parents, first), root_of(parents, second)
        if one != other and (sizes[one] < min_size or sizes[other] < min_size):
            join(parents, sizes, one, other)
    return numbered(parents).reshape(height, width)

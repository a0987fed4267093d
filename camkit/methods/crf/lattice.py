"""The permutohedral lattice: where the pixels' features lie in it, and which of its points are neighbours.

Papers: Adams et al. 2010, "Fast High-Dimensional Filtering Using the Permutohedral Lattice". A feature of d numbers is
lifted into a plane of d + 1 coordinates that sum to 0, and lies in a simplex of d + 1 lattice points. Points are
numbered from 1 as they are first met; 0 stands for a point that is not there, and always has the value 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from camkit.errors import ImageError
from camkit.methods.crf.compiled import inlined, kernel

BLOCK = 256
FIRST_TABLE = 1 << 14
LARGEST_KEY = 1 << 62
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


def lift_scales(dimensions: int) -> np.ndarray:
    """What feature i is multiplied with before it is lifted, so that blurring has a standard deviation of 1 [d]."""
    deviation = np.float64(np.float32(math.sqrt(2 / 3) * (dimensions + 1)))
    return np.array([deviation / math.sqrt((i + 1) * (i + 2)) for i in range(dimensions)], np.float32)


def key_weights(largest: np.ndarray) -> np.ndarray:
    """A lattice point's d coordinates, multiplied with these and summed, are one number that no other point has [d].

    largest  of every feature, which begin at 0 [d]
    """
    dimensions = len(largest)
    lifted = lift_scales(dimensions) * largest.astype(np.float64)
    weights, weight = [], 1
    for i in range(dimensions):
        weights.append(weight)
        extent = lifted[i:].sum() + (i * lifted[i - 1] if i else 0.0)
        weight *= math.ceil(extent) + 4 * (dimensions + 1)
    if weight > LARGEST_KEY:
        raise ImageError("the CRF's sigmas are too small for an image of this size; give larger ones")
    return np.array(weights, np.int64)


@inlined
def describe(
    image: np.ndarray, y: int, x: np.ndarray, count: int, sxy: float, srgb: float, features: np.ndarray
) -> None:
    """Features of `count` pixels from (y, x) on, in float32 throughout, as the usual program computes them."""
    for p in range(count):
        features[0, p] = np.float32(x + p) / sxy
        features[1, p] = np.float32(y) / sxy
    for colour in range(features.shape[0] - 2):
        for p in range(count):
            features[2 + colour, p] = np.float32(image[y, x + p, colour]) / srgb


@inlined
def elevate(features: np.ndarray, scales: np.ndarray, count: int, elevated: np.ndarray) -> None:
    """Into the plane of d + 1 coordinates whose sum is 0 (page 5 of the paper)."""
    for p in range(count):
        elevated[0, p] = ZERO
    for j in range(scales.size, 0, -1):
        for p in range(count):
            scaled = features[j - 1, p] * scales[j - 1]
            elevated[j, p] = elevated[0, p] - np.float32(j) * scaled
            elevated[0, p] += scaled


@inlined
def find_simplex(elevated: np.ndarray, count: int, remainder: np.ndarray, rank: np.ndarray) -> None:
    """The closest point whose coordinates are all multiples of d + 1, and the order of the differences from it.

    Both make the simplex (page 6). `elevated` becomes the differences, divided by d + 1.
    """
    corners = elevated.shape[0]
    stretch, shrink = np.float32(corners), ONE / np.float32(corners)
    excess = np.zeros(BLOCK, np.int32)
    for i in range(corners):
        for p in range(count):
            nearest = np.rint(shrink * elevated[i, p])
            remainder[i, p] = nearest * stretch
            excess[p] += np.int32(nearest)
            rank[i, p] = 0
    for i in range(corners):
        for j in range(i + 1, corners):
            for p in range(count):
                before = np.int32(elevated[i, p] - remainder[i, p] < elevated[j, p] - remainder[j, p])
                rank[i, p] += before
                rank[j, p] += np.int32(1) - before
    for i in range(corners):
        for p in range(count):
            shifted = rank[i, p] + excess[p]
            turn = np.int32(shifted < 0) - np.int32(shifted >= corners)
            rank[i, p] = shifted + turn * np.int32(corners)
            remainder[i, p] += np.float32(turn) * stretch
            elevated[i, p] = (elevated[i, p] - remainder[i, p]) * shrink


@inlined
def weigh(elevated: np.ndarray, rank: np.ndarray, count: int, weights: np.ndarray, start: int, column: int) -> None:
    """Barycentric coordinates: differences of neighbours in the order of ranks (page 10)."""
    d = elevated.shape[0] - 1
    ordered = np.empty(d + 1, np.float32)
    for p in range(count):
        for i in range(d + 1):
            ordered[rank[i, p]] = elevated[i, p]
        weights[start + p, column] = ordered[d] + (ONE - ordered[0])
        for corner in range(1, d + 1):
            weights[start + p, column + corner] = ordered[d - corner] - ordered[d - corner + 1]


@inlined
def number(
    remainder: np.ndarray,
    rank: np.ndarray,
    key_weights: np.ndarray,
    count: int,
    keys: np.ndarray,
    table: np.ndarray,
    points: int,
    offsets: np.ndarray,
    start: int,
    column: int,
    known: int,
) -> int:
    """Look up the corners of the pixels' simplices, and number those that are new: how many points there are then.

    Corner r + 1 is corner r, plus 1 in each coordinate, minus d + 1 in the coordinate of rank d − r.
    """
    d = key_weights.size
    step = np.int64(0)
    for i in range(d):
        step += key_weights[i]
    ordered = np.empty(d + 1, np.int64)
    for p in range(count):
        key = np.int64(0)
        for i in range(d):
            ordered[rank[i, p]] = (d + 1) * key_weights[i]
            key += np.int64(remainder[i, p]) * key_weights[i]
        ordered[rank[d, p]] = 0
        for corner in range(d + 1):
            slot = slot_of(key, keys, table)
            if table[slot] == 0:
                points += 1
                keys[points] = key
                table[slot] = points
            offsets[start + p, column + corner] = known + table[slot]
            key += step - ordered[d - corner]
    return points


@inlined
def slot_of(key: int, keys: np.ndarray, table: np.ndarray) -> Any:
    """Where in the table the point with this key is, or would be."""
    mask = table.size - 1
    slot = np.int64((np.uint64(key) * GOLDEN) >> np.uint64(32)) & mask
    while table[slot] != 0 and keys[table[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@inlined
def enlarged(keys: np.ndarray, table: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    more, larger = np.empty(2 * keys.size, np.int64), np.zeros(2 * table.size, np.int32)
    for point in range(1, points + 1):
        more[point] = keys[point]
        larger[slot_of(more[point], more, larger)] = point
    return more, larger


@kernel("Tuple((i8[::1], i4[::1], i8))(u1[:, :, ::1], f4, f4, f4[::1], i8[::1], i4[:, ::1], f4[:, ::1], i8, i8)")
def place(
    image: np.ndarray,
    sxy: float,
    srgb: float,
    scales: np.ndarray,
    key_weights: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    column: int,
    known: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Put every pixel into the lattice: keys by point, the hash table of points, and how many there are.

    image    [H, W, 3]; its colours are features when there are five scales, else position alone is
    offsets  [H·W, ≥ column + d + 1] gets the points of the pixel's simplex, from `known` + 1 on
    weights  the same shape, gets its barycentric coordinates
    """
    height, width, _ = image.shape
    d = scales.size
    features, elevated = np.empty((d, BLOCK), np.float32), np.empty((d + 1, BLOCK), np.float32)
    remainder, rank = np.empty((d + 1, BLOCK), np.float32), np.empty((d + 1, BLOCK), np.int32)
    keys, table, points = np.empty(FIRST_TABLE // 2, np.int64), np.zeros(FIRST_TABLE, np.int32), 0
    for y in range(height):
        for x in range(0, width, BLOCK):
            count = min(BLOCK, width - x)
            if points + (d + 1) * count >= keys.size:
                keys, table = enlarged(keys, table, points)
            describe(image, y, x, count, sxy, srgb, features)
            elevate(features, scales, count, elevated)
            find_simplex(elevated, count, remainder, rank)
            start = y * width + x
            weigh(elevated, rank, count, weights, start, column)
            points = number(remainder, rank, key_weights, count, keys, table, points, offsets, start, column, known)
    return keys, table, points


@kernel("i8(i8[::1], i4[::1], i8, i8[::1], i8, i4[::1])")
def chain(
    keys: np.ndarray, table: np.ndarray, points: int, key_weights: np.ndarray, known: int, order: np.ndarray
) -> int:
    """Put the points into the order in which they are blurred, and say how long it is.

    Along each of the d + 1 axes stands neighbour after neighbour; before, between and after such chains stands 0.
    Points without neighbours on an axis are left out there: blurring does not change them.

    order  [≥ (d + 1)(1.5 · points + 1)]
    """
    d = key_weights.size
    following, follows = np.empty(points + 1, np.int32), np.empty(points + 1, np.bool_)
    length = 0
    for axis in range(d + 1):
        step = (d + 1) * key_weights[axis] if axis < d else 0
        for i in range(d):
            step -= key_weights[i]
        for point in range(points + 1):
            follows[point] = False
        for point in range(1, points + 1):
            following[point] = table[slot_of(keys[point] + step, keys, table)]
            follows[following[point]] = True
        order[length] = 0
        length += 1
        for point in range(1, points + 1):
            if follows[point] or following[point] == 0:
                continue
            link = point
            while link != 0:
                order[length] = known + link
                length += 1
                link = following[link]
            order[length] = 0
            length += 1
    return length

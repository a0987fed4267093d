"""One step of a random walk on the CPU: a sum over each cell's neighbours, as machine code."""

from __future__ import annotations

import numpy as np

from camkit.methods.crf.compiled import inlined, kernel

BLOCK = 512
"""Cells whose sums stay in the fastest cache while all the planes go by."""


@inlined
def add_two(
    totals: np.ndarray, near: np.ndarray, near_back: np.ndarray, far: np.ndarray, far_back: np.ndarray,
    values: np.ndarray, start: int, shift: int, other: int,
) -> None:  # fmt: skip
    """Add what the neighbours at ± two shifts give. Two at once: half as often are the totals read and written."""
    count = len(totals)
    ahead, behind = values[start + shift :][:count], values[start - shift :][:count]
    other_ahead, other_behind = values[start + other :][:count], values[start - other :][:count]
    for i in range(count):
        totals[i] += (near[i] * ahead[i] + near_back[i] * behind[i]) + (
            far[i] * other_ahead[i] + far_back[i] * other_behind[i]
        )


@inlined
def add_one(
    totals: np.ndarray, near: np.ndarray, near_back: np.ndarray, values: np.ndarray, start: int, shift: int
) -> None:
    count = len(totals)
    ahead, behind = values[start + shift :][:count], values[start - shift :][:count]
    for i in range(count):
        totals[i] += near[i] * ahead[i] + near_back[i] * behind[i]


@kernel("void(f4[:, ::1], i8[::1], f4[::1], i8, i8, f4[:, ::1], f4, f4, f4[:, ::1])")
def average(
    planes: np.ndarray, shifts: np.ndarray, shares: np.ndarray, first: int, stop: int,
    values: np.ndarray, factor: float, less: float, result: np.ndarray,
) -> None:  # fmt: skip
    """Each cell's mean of itself and its neighbours, weighted by their affinities, for all classes [C, cells].

    result  becomes factor · mean − less · result
    planes  [K, cells] affinity of a cell and the one `shifts[k]` further on; read once for all classes
    shares  [cells] 1 / the sum of a cell's affinities, that of itself (1) among them; 0 beyond the grid
    """
    totals = np.empty((len(values), BLOCK), np.float32)
    for start in range(first, stop, BLOCK):
        count = min(BLOCK, stop - start)
        totals[:, :count] = values[:, start : start + count]
        for k in range(0, len(shifts) - 1, 2):
            shift, other = shifts[k], shifts[k + 1]
            near, near_back = planes[k, start:][:count], planes[k, start - shift :][:count]
            far, far_back = planes[k + 1, start:][:count], planes[k + 1, start - other :][:count]
            for c in range(len(values)):
                add_two(totals[c, :count], near, near_back, far, far_back, values[c], start, shift, other)
        if len(shifts) % 2:
            k, shift = len(shifts) - 1, shifts[-1]
            near, near_back = planes[k, start:][:count], planes[k, start - shift :][:count]
            for c in range(len(values)):
                add_one(totals[c, :count], near, near_back, values[c], start, shift)
        for c in range(len(values)):
            for i in range(count):
                result[c, start + i] = factor * (totals[c, i] * shares[start + i]) - less * result[c, start + i]

"""Bilinear upsampling without torch, so that `evaluate` starts at once and still sees what the methods saw."""

from __future__ import annotations

import numpy as np

from camkit.blocks import row_blocks
from camkit.errors import InputError
from camkit.types import Size


def upsample(maps: np.ndarray, size: Size) -> np.ndarray:
    """Bring maps [C, h, w] to float32 [C, H, W], bilinear with `align_corners=False`.

    Agrees with `torch.nn.functional.interpolate` to 1e-6 for values in [-1, 1], when shrinking too (no antialiasing).
    """
    if maps.ndim != 3:
        raise InputError(f"maps must be [C, h, w], not of shape {list(maps.shape)}")
    maps = np.asarray(maps, dtype=np.float32)
    if maps.shape[1:] == tuple(size):
        return maps
    if 0 in maps.shape[1:] and maps.shape[0]:
        raise InputError(f"maps of size {maps.shape[1]} x {maps.shape[2]} cannot be brought to {size[0]} x {size[1]}")
    if maps.shape[0] == 0:
        return np.empty((0, *size), dtype=np.float32)
    # Columns first: the row pass, over the full width, then copies whole contiguous rows.
    return _stretch_rows(_stretch_columns(maps, size[1]), size[0])


def _stretch_columns(maps: np.ndarray, width: int) -> np.ndarray:
    before, after, weight = _neighbours(maps.shape[2], width)
    return _blend(np.take(maps, before, axis=2), np.take(maps, after, axis=2), weight)


def _stretch_rows(maps: np.ndarray, height: int) -> np.ndarray:
    before, after, weight = _neighbours(maps.shape[1], height)
    result = np.empty((len(maps), height, maps.shape[2]), dtype=np.float32)
    for index, source in enumerate(maps):
        for rows in row_blocks((height, maps.shape[2])):
            result[index, rows] = _blend(source[before[rows]], source[after[rows]], weight[rows, None])
    return result


def _blend(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    first *= 1 - weight
    second *= weight
    first += second
    return first


def _neighbours(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the two source pixels around every target pixel [target], and the weight of the second, in [0, 1]."""
    # torch takes the ratio in float32 and then one fused multiply-add; rounding otherwise costs up to 1e-4 in a map.
    ratio = float(np.float32(source) / np.float32(target))
    position = (ratio * (np.arange(target) + 0.5) - 0.5).astype(np.float32)
    position = np.maximum(position, 0)
    before = np.minimum(position.astype(np.intp), source - 1)
    after = np.minimum(before + 1, source - 1)
    weight = np.clip(position - before.astype(np.float32), 0, 1)
    return before, after, weight.astype(np.float32)

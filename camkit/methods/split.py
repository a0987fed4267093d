"""Where InferCam cuts an image into four overlapping patches: around the centre of mass of what was seen in it.

Papers: InferCam, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camkit.settings.infercam import MARGIN_OF_ONE, MARGIN_OF_SEVERAL
from camkit.types import Box, Size

Centre = tuple[int, int]


def centre_of_mass(values: np.ndarray, size: Size) -> Centre:
    """Of a map [h, w] ≥ 0, as (y, x) in an image of `size`, truncated; of a map that is 0 everywhere the middle."""
    return centre_of_sums(values.sum(axis=1, dtype=np.float64), values.sum(axis=0, dtype=np.float64), size)


def centre_of_sums(rows: np.ndarray, columns: np.ndarray, size: Size) -> Centre:
    """The same, of a map's sums over each row [h] and over each column [w]."""
    if rows.sum() <= 0:
        return size[0] // 2, size[1] // 2
    return _centre(rows, size[0]), _centre(columns, size[1])


def _centre(sums: np.ndarray, pixels: int) -> int:
    at = float(np.arange(len(sums)) @ sums) / float(sums.sum())
    # the middle of a cell of the map is the middle of the pixels it stands for
    return int(min(max((at + 0.5) * pixels / len(sums) - 0.5, 0), pixels - 1))


def quarters(centres: Sequence[Centre], size: Size, margin: int) -> list[Box]:
    """Four boxes that all hold the rectangle spanned by the centres, and `margin` pixels around it."""
    height, width = size
    ys, xs = zip(*centres, strict=True)
    rows = ((0, min(height, max(ys) + margin)), (max(0, min(ys) - margin), height))
    columns = ((0, min(width, max(xs) + margin)), (max(0, min(xs) - margin), width))
    return [(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def wrapped_quarters(centres: Sequence[Centre], size: Size, margin: int) -> list[Box]:
    """The same as the authors' program has them: a box that would begin before the image begins before its end."""
    starts = [min(at) - margin for at in zip(*centres, strict=True)]
    top, left = (max(0, start + side) if start < 0 else start for start, side in zip(starts, size, strict=True))
    boxes = quarters(centres, size, margin)
    return [(top if n >= 2 else 0, left if n % 2 else 0, *box[2:]) for n, box in enumerate(boxes)]


def split_boxes(maps: np.ndarray, size: Size) -> list[Box]:
    """The patches of an image with maps [C, h, w]: four for one or two classes, four for each of three and more."""
    centres = [centre_of_mass(values, size) for values in maps]
    if len(centres) <= 2:
        return quarters(centres, size, MARGIN_OF_ONE if len(centres) == 1 else MARGIN_OF_SEVERAL) if centres else []
    return [box for centre in centres for box in quarters([centre], size, MARGIN_OF_ONE)]

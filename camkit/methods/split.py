"""Where InferCam cuts an image into four overlapping patches: around the centre of mass of what was seen in it.

Papers: InferCam, section 3.2. Boxes are (top, left, bottom, right) in pixels, the last two exclusive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camkit.types import Size

Centre = tuple[int, int]
Box = tuple[int, int, int, int]

MARGIN_OF_ONE = 10
MARGIN_OF_SEVERAL = 20


def centre_of_mass(values: np.ndarray, size: Size) -> Centre:
    """Of a map [h, w] ≥ 0, as (y, x) in an image of `size`, truncated; of a map that is 0 everywhere the middle."""
    mass = float(values.sum(dtype=np.float64))
    if mass <= 0:
        return size[0] // 2, size[1] // 2
    rows, columns = values.sum(axis=1, dtype=np.float64), values.sum(axis=0, dtype=np.float64)
    y, x = (float(np.arange(len(sums)) @ sums) / mass for sums in (rows, columns))
    # the middle of a cell of the map is the middle of the pixels it stands for
    return tuple(
        int(min(max((at + 0.5) * pixels / cells - 0.5, 0), pixels - 1))
        for at, pixels, cells in zip((y, x), size, values.shape, strict=True)
    )  # type: ignore[return-value]


def quarters(centres: Sequence[Centre], size: Size, margin: int) -> list[Box]:
    """Four boxes that all hold the rectangle spanned by the centres, and `margin` pixels around it."""
    height, width = size
    ys, xs = zip(*centres, strict=True)
    rows = ((0, min(height, max(ys) + margin)), (max(0, min(ys) - margin), height))
    columns = ((0, min(width, max(xs) + margin)), (max(0, min(xs) - margin), width))
    return [(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def split_boxes(maps: np.ndarray, size: Size) -> list[Box]:
    """The patches of an image with maps [C, h, w]: four for one or two classes, four for each of three and more."""
    centres = [centre_of_mass(values, size) for values in maps]
    if len(centres) <= 2:
        return quarters(centres, size, MARGIN_OF_ONE if len(centres) == 1 else MARGIN_OF_SEVERAL) if centres else []
    return [box for centre in centres for box in quarters([centre], size, MARGIN_OF_ONE)]

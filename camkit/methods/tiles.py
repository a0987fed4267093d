"""Squares that a photo is cut into where it is too large to be seen at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from camkit.types import Box, Size


class Tile(NamedTuple):
    """read: what is seen; keep: the part of it that is taken over. Every pixel is kept once."""

    read: Box
    keep: Box


class Span(NamedTuple):
    read: tuple[int, int]
    keep: tuple[int, int]


def tiles_of(size: Size, side: int, overlap: int) -> Iterator[Tile]:
    """Of a photo of this size: squares of `side` pixels, seen with `overlap` pixels around them."""
    for rows, columns in product(*(_spans(length, side, overlap) for length in size)):
        read, keep = ((down[0], across[0], down[1], across[1]) for down, across in zip(rows, columns, strict=True))
        yield Tile(read, keep)


def _spans(length: int, side: int, overlap: int) -> Iterator[Span]:
    for start in range(0, length, side):
        end = min(length, start + side)
        yield Span((max(0, start - overlap), min(length, end + overlap)), (start, end))


def scaled_box(box: Box, size: Size, to: Size) -> Box:
    """The same box of a photo that becomes `to` pixels large."""
    (down, across), (height, width) = size, to
    top, left, bottom, right = box
    return (
        round(top * height / down), round(left * width / across),
        round(bottom * height / down), round(right * width / across),
    )  # fmt: skip

"""Squares of large photos: each pixel is kept once, and seen with what lies around it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from camkit.methods.tiles import scaled_box, tiles_of

LENGTHS = st.integers(1, 200)


@given(LENGTHS, LENGTHS, st.integers(8, 64), st.integers(0, 40))
def test_every_pixel_is_kept_once(height: int, width: int, side: int, overlap: int) -> None:
    times = np.zeros((height, width), int)
    for read, keep in tiles_of((height, width), side, overlap):
        times[keep[0] : keep[2], keep[1] : keep[3]] += 1
        for first, last, low, high, length in (
            (read[0], read[2], keep[0], keep[2], height),
            (read[1], read[3], keep[1], keep[3], width),
        ):
            assert (first, last) == (max(0, low - overlap), min(length, high + overlap))
            assert high - low <= side
    assert (times == 1).all()


@given(LENGTHS, LENGTHS, st.integers(1, 300), st.integers(1, 300))
def test_boxes_cover_the_photo_at_every_size(height: int, width: int, new_height: int, new_width: int) -> None:
    times = np.zeros((new_height, new_width), int)
    for _, keep in tiles_of((height, width), 16, 4):
        top, left, bottom, right = scaled_box(keep, (height, width), (new_height, new_width))
        times[top:bottom, left:right] += 1
    assert (times == 1).all()

"""Patches of photos, and the picture of a class's prototypes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camkit.view.prototypes import LABEL, MARGIN, PrototypeRow, Side, class_size, draw_class, patch, stack


def photo(height: int, width: int) -> np.ndarray:
    """Red tells the row, green the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def test_a_patch_shows_the_surroundings_of_its_cell() -> None:
    found = np.asarray(patch(photo(200, 250), (96, 64, 112, 80), 96))
    assert found.shape == (96, 96, 3)
    assert found[0, 0] == pytest.approx((104 - 24, 72 - 24, 0), abs=1)
    assert found[-1, -1] == pytest.approx((104 + 23, 72 + 23, 0), abs=1)
    white = np.argwhere((found == 255).all(axis=-1))
    assert white.min(axis=0).tolist() == [32, 32]
    assert white.max(axis=0).tolist() == [63, 63]


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_every_cell_of_every_photo_has_a_patch(height: int, width: int, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    assert patch(photo(height, width), (top, left, bottom, right), 40).size == (40, 40)


def row(kept: bool, colour: tuple[int, int, int], count: int | None = 7) -> PrototypeRow:
    return PrototypeRow(kept, 0.5, count, [Image.new("RGB", (40, 40), colour), None])


def test_prototypes_come_first_and_the_others_are_paler() -> None:
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    sides = [Side("foreground", [row(False, red, 99), row(True, green, 3), row(True, blue, 5)]), Side("context", [])]
    picture = draw_class("naïve chair", sides, 2, 40)
    assert picture.size == class_size([3, 0], 2, 40)[::-1]
    colours = [picture.getpixel((MARGIN + LABEL + 20, 60 + 20 + 43 * n)) for n in range(3)]
    assert colours[:2] == [blue, green]
    faded = np.array(colours[2])
    assert faded[0] == 255
    assert 100 < faded[1] == faded[2] < 200


def test_what_is_not_known_is_not_shown() -> None:
    unknown = PrototypeRow(True, None, None, [None])
    draw_class("cat", [Side("foreground", [unknown]), Side("context", [])], 1, 40)


def test_classes_stand_below_each_other() -> None:
    sheet = stack([Image.new("RGB", (10, 20), "red"), Image.new("RGB", (30, 5), "blue")])
    assert sheet.size == (30, 25)
    assert sheet.getpixel((20, 3)) == (255, 255, 255)
    assert sheet.getpixel((20, 22)) == (0, 0, 255)

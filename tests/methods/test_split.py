from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camkit.methods.split import centre_of_mass, quarters, split_boxes


def slow_centre(values: np.ndarray) -> tuple[int, int]:
    """Every pixel pulls with its value."""
    total = y = x = 0.0
    for (row, column), value in np.ndenumerate(values):
        total, y, x = total + float(value), y + row * float(value), x + column * float(value)
    return int(y / total), int(x / total)


@given(arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.floats(0, 1, width=16)))
def test_the_centre_is_where_the_slow_sum_finds_it(values: np.ndarray) -> None:
    height, width = values.shape
    if values.sum() == 0:
        assert centre_of_mass(values, (height, width)) == (height // 2, width // 2)
        return
    found, expected = centre_of_mass(values, (height, width)), slow_centre(values)
    assert all(abs(a - b) <= 1 for a, b in zip(found, expected, strict=True))
    if not np.isclose([values.sum(1) @ np.arange(height) / values.sum() % 1], [0, 1], atol=1e-4).any():
        assert found[0] == expected[0]


def test_a_coarse_map_has_its_centre_where_the_fine_one_has() -> None:
    fine = np.zeros((40, 60), np.float32)
    fine[8:16, 40:56] = 1
    coarse = fine.reshape(10, 4, 15, 4).mean(axis=(1, 3))
    assert centre_of_mass(fine, (40, 60)) == centre_of_mass(coarse, (40, 60)) == (11, 47)


def test_a_point_in_the_corner_stays_inside_the_image() -> None:
    corner = np.zeros((5, 5), np.float32)
    corner[4, 4] = 1
    assert centre_of_mass(corner, (200, 300)) == (179, 269)
    assert centre_of_mass(corner, (1, 1)) == (0, 0)


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)), margin=st.integers(0, 30),
    at=st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), min_size=1, max_size=3),
)  # fmt: skip
def test_four_boxes_cover_the_image_and_all_hold_the_rectangle(
    size: tuple[int, int], margin: int, at: list[tuple[float, float]]
) -> None:
    centres = [(int(y * size[0]), int(x * size[1])) for y, x in at]
    covered = np.zeros(size, int)
    for top, left, bottom, right in quarters(centres, size, margin):
        assert 0 <= top <= bottom <= size[0]
        assert 0 <= left <= right <= size[1]
        covered[top:bottom, left:right] += 1
        ys, xs = zip(*centres, strict=True)
        if margin:
            assert top <= min(ys) <= max(ys) < bottom
            assert left <= min(xs) <= max(xs) < right
    if margin:
        assert (covered >= 1).all()
        assert covered[centres[0]] == 4


@pytest.mark.parametrize(("classes", "boxes"), [(0, 0), (1, 4), (2, 4), (3, 12)])
def test_patches_of_so_many_classes(classes: int, boxes: int) -> None:
    maps = np.random.default_rng(0).random((classes, 8, 8), dtype=np.float32)
    found = split_boxes(maps, (64, 64))
    assert len(found) == boxes
    if classes == 1:
        centre = centre_of_mass(maps[0], (64, 64))
        assert found[0] == (0, 0, centre[0] + 10, centre[1] + 10)

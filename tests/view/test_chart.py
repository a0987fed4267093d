from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camkit.errors import OutputError
from camkit.view.chart import BLUE, VERMILION, Axis, Canvas, Chart, Frame, Line, round_above, spread, ticks

FRAME = Frame(60, 80, 300, 200)


def drawn(chart: Chart, path: Path) -> np.ndarray:
    canvas = Canvas(400, 260)
    canvas.chart(chart, FRAME)
    canvas.save(path, "the chart")
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def of_colour(picture: np.ndarray, colour: str) -> np.ndarray:
    return np.abs(picture - [int(colour[at : at + 2], 16) for at in (1, 3, 5)]).max(axis=-1) < 12


def test_lines_go_where_their_points_are(tmp_path: Path) -> None:
    flat = Line("flat", [(0, 5), (10, 5)], BLUE, 3)
    step = Line("step", [(0, 0), (5, 0), (5, 10)], VERMILION, 3)
    picture = drawn(Chart(Axis("x", 0, 10), Axis("y", 0, 10), [flat, step]), tmp_path / "chart.png")
    inside = picture[: FRAME.bottom + 2, FRAME.left : FRAME.right]
    rows, columns = np.nonzero(of_colour(inside, BLUE))
    assert set(rows) <= {139, 140, 141}
    assert len(set(columns)) == FRAME.right - FRAME.left
    rows, columns = np.nonzero(of_colour(inside[: FRAME.bottom - 5], VERMILION))
    assert set(columns) <= {119, 120, 121}
    assert rows.min() in (79, 80, 81)


def test_one_point_is_a_dot(tmp_path: Path) -> None:
    picture = drawn(Chart(Axis("x", 0, 10), Axis("y", 0, 10), [Line("dot", [(5, 5)], BLUE)]), tmp_path / "chart.png")
    rows, columns = np.nonzero(of_colour(picture[:, : FRAME.right], BLUE))
    assert abs(rows.mean() - 139.5) < 1
    assert abs(columns.mean() - 179.5) < 1
    assert 5 <= np.ptp(rows) <= 9


@given(st.lists(st.floats(0, 300), min_size=1, max_size=10))
def test_names_do_not_overlap(places: list[float]) -> None:
    moved = spread(sorted(places), gap=20, highest=300)
    assert len(moved) == len(places)
    assert all(b - a >= 20 - 1e-6 for a, b in itertools.pairwise(moved))
    assert moved[-1] <= 300


def test_names_with_room_stay() -> None:
    assert spread([10, 50, 90], gap=20, highest=100) == [10, 50, 90]
    assert spread([], gap=20, highest=100) == []


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_even_and_inside(lowest: float, length: float) -> None:
    axis = Axis("", lowest, lowest + length)
    if axis.highest <= lowest:
        return
    places = list(ticks(axis))
    assert len(places) <= 11
    slack = 1e-5 * length + 1e-9
    assert all(lowest - slack <= place <= axis.highest + slack for place in places)
    if len(places) > 2:
        steps = np.diff(places)
        np.testing.assert_allclose(steps, steps[0], rtol=1e-3, atol=1e-9)


def test_ticks_of_whole_numbers() -> None:
    assert list(ticks(Axis("epoch", 1, 3, least_step=1))) == [1, 2, 3]
    assert list(ticks(Axis("epoch", 0.5, 1.5, least_step=1))) == [1]
    assert list(ticks(Axis("", 0, 1))) == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]


@given(st.floats(1e-9, 1e9))
def test_round_numbers_are_just_above(value: float) -> None:
    assert value * (1 - 1e-8) <= round_above(value) <= value * 1.7


def test_a_failed_picture_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "chart.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write the chart .*chart\.png"):
        Canvas(10, 10).save(tmp_path / "chart.png", "the chart")
    assert [path.name for path in tmp_path.iterdir()] == ["chart.png"]

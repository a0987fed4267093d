"""Overlays show what they should, where they should: judged by the colours of their pixels."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camkit.view.colours import class_colour, heat_table, signed_table
from camkit.view.overlay import (
    OVERSAMPLING,
    classes_tile,
    empty_tile,
    heat_tile,
    mask_tile,
    nearest,
    photo_tile,
    signed_tile,
    tile_size,
)
from camkit.view.text import shortened, text_width

NAMES = ("ant", "bee", "cat")
GREY = np.full((240, 320, 3), 128, np.uint8)


def pixels(tile: Image.Image) -> np.ndarray:
    return np.asarray(tile).astype(int)


def half(low: float, high: float) -> np.ndarray:
    """[240, 320] float32: low on the left, high on the right."""
    values = np.full(GREY.shape[:2], low, np.float32)
    values[:, 160:] = high
    return values


def test_a_tile_is_half_as_large_as_its_photo() -> None:
    assert photo_tile(GREY).size == (160, 120)
    assert OVERSAMPLING == 2
    np.testing.assert_array_equal(pixels(photo_tile(GREY)), 128)


def test_heat_grows_with_the_value_and_zero_shows_the_photo() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 320, dtype=np.float32), GREY.shape[:2])
    row = pixels(heat_tile(GREY, ramp, "x"))[60]
    distance = np.abs(row - 128).sum(axis=1)
    assert distance[0] <= 2
    assert distance[-1] > 150
    brightness = row[80:] @ [0.3, 0.59, 0.11]
    assert (np.diff(brightness) > -1.5).all()


def test_the_line_stands_where_the_threshold_is_crossed() -> None:
    without = pixels(heat_tile(GREY, half(0.2, 0.6), "x"))
    drawn = pixels(heat_tile(GREY, half(0.2, 0.6), "x", 0.4))
    assert (drawn[40:80, 79:81].max(axis=1) > 240).all()
    changed = np.abs(drawn - without)[40:80].max(axis=(0, 2)) > 8
    assert set(np.flatnonzero(changed)) <= set(range(75, 85))
    unmoved = pixels(heat_tile(GREY, half(0.2, 0.6), "x", 0.7))
    np.testing.assert_array_equal(unmoved[40:80], without[40:80])


def test_signed_scores_are_orange_above_zero_and_blue_below() -> None:
    tile = pixels(signed_tile(GREY, half(-0.3, 0.3), "x"))
    left, right = tile[40:80, 20:70].mean(axis=(0, 1)), tile[40:80, 90:140].mean(axis=(0, 1))
    assert left[2] > left[0] + 40
    assert right[0] > right[2] + 40
    nothing = pixels(signed_tile(GREY, half(0, 0), "x"))
    assert np.abs(nothing[40:80] - 128).max() <= 2


def test_a_mask_paints_classes_and_leaves_the_background() -> None:
    mask = np.zeros(GREY.shape[:2], np.uint8)
    mask[:, 200:] = 2
    tile = pixels(mask_tile(GREY, mask, NAMES))
    assert np.abs(tile[:, :95] - 128).max() <= 1
    np.testing.assert_allclose(tile[5, 120], (128 + np.array(class_colour(1))) / 2, atol=3)
    np.testing.assert_allclose(tile[5, 100], class_colour(1), atol=40)  # the edge is opaque


def test_the_name_lies_within_its_region() -> None:
    mask = np.zeros(GREY.shape[:2], np.uint8)
    mask[100:200, 40:300] = 1
    tile = pixels(mask_tile(GREY, mask, ("w" * 6, "bee", "cat")))
    white = np.argwhere((tile > 190).all(axis=2))
    assert len(white) > 40
    assert white[:, 0].min() > 50
    assert white[:, 0].max() < 100
    assert abs(white[:, 1].mean() - 85) < 5


def test_names_do_not_overlap_and_stay_inside() -> None:
    mask = np.zeros(GREY.shape[:2], np.uint8)
    mask[100:104, 150:154], mask[104:108, 150:154], mask[96:100, 150:154] = 1, 2, 3
    apart = pixels(mask_tile(GREY, mask, ("mmmm", "mmmm ", "mmmm  ")))
    white = (apart > 235).all(axis=2)
    lines = np.flatnonzero(white.any(axis=1))
    assert len(np.split(lines, np.flatnonzero(np.diff(lines) > 3) + 1)) == 3
    corner = np.zeros(GREY.shape[:2], np.uint8)
    corner[:3, :3] = 1
    with_name = (pixels(mask_tile(GREY, corner, ("mmmmmm",))) > 235).all(axis=2)
    reference = (pixels(mask_tile(GREY, np.ones_like(corner), ("mmmmmm",))) > 235).all(axis=2)
    assert with_name.sum() == pytest.approx(reference.sum(), rel=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_undecided_pixels_are_hatched_in_grey(dtype: type) -> None:
    mask = np.full(GREY.shape[:2], np.iinfo(dtype).max, dtype)
    tile = pixels(mask_tile(GREY, mask, NAMES))
    assert np.ptp(tile, axis=2).max() == 0
    assert len(np.unique(tile)) > 1
    assert not np.array_equal(tile, pixels(photo_tile(GREY)))


def test_several_maps_take_the_colour_of_the_largest() -> None:
    maps = np.stack([half(1, 0.1), half(0.2, 1)])
    tile = pixels(classes_tile(GREY, maps, [0, 2], NAMES, 0.5))
    left, right = tile[100:, 5:60].mean(axis=(0, 1)), tile[100:, 100:155].mean(axis=(0, 1))
    for found, index in ((left, 0), (right, 2)):
        wanted = 0.8 * np.array(class_colour(index)) + 0.2 * 128
        np.testing.assert_allclose(found, wanted, atol=12)


def test_what_there_is_to_say_is_written_small_enough() -> None:
    tile = empty_tile(GREY, "no class")
    assert (pixels(tile)[:24, :70] > 235).all(axis=2).any()
    narrow = np.full((240, 24, 3), 128, np.uint8)
    assert heat_tile(narrow, np.zeros((240, 24), np.float32), "a very long name", 0.5).size == (12, 120)
    assert mask_tile(narrow[:1], np.ones((1, 24), np.uint8), ("a very long name",)).size == (12, 1)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(32, 700))
def test_the_size_of_a_tile_is_foretold(height: int, width: int, longest: int) -> None:
    tall, wide = tile_size((height, width), longest)
    assert max(tall, wide) == longest
    assert abs(tall / longest - height / max(height, width)) <= 1 / longest


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 90), st.integers(1, 90))
def test_nearest_takes_values_that_are_there(height: int, width: int, tall: int, wide: int) -> None:
    mask = np.random.default_rng(height * width).integers(0, 256, (height, width)).astype(np.uint8)
    small = nearest(mask, (tall, wide))
    assert small.shape == (tall, wide)
    assert np.isin(small, mask).all()
    np.testing.assert_array_equal(nearest(mask, mask.shape), mask)
    np.testing.assert_array_equal(nearest(np.repeat(mask, 3, axis=0), mask.shape), mask)


def test_lightness_of_heat_rises_and_signs_differ() -> None:
    lightness = heat_table().astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -0.01).all()
    assert (signed_table()[127:129] > 245).all()
    assert signed_table()[20, 2] > signed_table()[20, 0] + 80
    assert signed_table()[235, 0] > signed_table()[235, 2] + 80


def test_twenty_one_classes_have_colours_of_their_own() -> None:
    colours = np.array([class_colour(index) for index in range(21)])
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1000 * np.eye(21)
    assert distance.min() > 25
    assert class_colour(21) == class_colour(0)
    assert all(colorsys.rgb_to_hsv(*(colour / 255))[2] > 0.4 for colour in colours)


@pytest.mark.parametrize("text", ["2007_000032", "a/b/" + "c" * 2000, "Kätzchen", "犬 🐕", "", "\u202e x"])
def test_texts_of_any_kind_are_shortened_to_fit(text: str) -> None:
    short = shortened(text, 100, 11)
    assert text_width(short, 11) <= 100
    assert short[:1] == text[:1]
    assert short[-1:] == text[-1:]
    assert mask_tile(GREY, np.ones(GREY.shape[:2], np.uint8), (text,)).size == (160, 120)


def test_letters_that_no_font_has_become_question_marks() -> None:
    drawn = {text: pixels(empty_tile(GREY, text)) for text in ("Kä", "Ka", "K\uffff", "K?")}
    np.testing.assert_array_equal(drawn["K\uffff"], drawn["K?"])
    assert not np.array_equal(drawn["Kä"], drawn["K?"])
    assert not np.array_equal(drawn["Ka"], drawn["K?"])

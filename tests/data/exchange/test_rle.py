"""Run lengths against a slow version, written from COCO's description character by character."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from camkit.data.exchange import rle

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


def slow_counts(mask: np.ndarray) -> list[int]:
    counts, value = [0], False
    for x in range(mask.shape[1]):
        for y in range(mask.shape[0]):
            if mask[y, x] != value:
                value = not value
                counts.append(0)
            counts[-1] += 1
    return counts


def slow_text(counts: list[int]) -> str:
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        while True:
            digit, number = number & 31, number >> 5
            ends = number == (-1 if digit & 16 else 0)
            text += chr(48 + digit + (0 if ends else 32))
            if ends:
                break
    return text


def slow_mask(text: str, height: int, width: int) -> np.ndarray:
    counts: list[int] = []
    number = place = 0
    for character in text:
        code = ord(character) - 48
        number |= (code & 31) << (5 * place)
        place += 1
        if not code & 32:
            if code & 16:
                number -= 1 << (5 * place)
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = place = 0
    flat = [n % 2 == 1 for n, count in enumerate(counts) for _ in range(count)]
    return np.array(flat).reshape(width, height).T


@given(MASKS)
def test_there_and_back(mask):
    counts = rle.encode(mask)
    text = rle.to_text(counts)
    assert counts.tolist() == slow_counts(mask)
    assert text == slow_text(counts.tolist())
    np.testing.assert_array_equal(slow_mask(text, *mask.shape), mask)
    assert rle.from_text(text).tolist() == counts.tolist()
    np.testing.assert_array_equal(rle.decode(rle.from_text(text), mask.shape), mask)


@given(st.lists(st.integers(0, 400_000_000), min_size=1, max_size=30))
def test_counts_of_any_size(counts):
    text = rle.to_text(np.array(counts))
    assert text == slow_text(counts)
    assert rle.from_text(text).tolist() == counts


def test_strings_of_pycocotools():
    """What `pycocotools.mask.encode` gives for one rectangle in 6 x 5 pixels, and for two in 100 x 90."""
    small, large = np.zeros((6, 5), bool), np.zeros((100, 90), bool)
    small[2:5, 1:4] = True
    large[20:90, 10:40] = large[40:45, 60:89] = True
    for mask, text in ((small, "8330004"), (large, f"lo0V2n{'0' * 58}To1oMmRN{'0' * 55}l1")):
        assert rle.to_text(rle.encode(mask)) == text
        np.testing.assert_array_equal(rle.decode(rle.from_text(text), mask.shape), mask)


def test_all_and_nothing():
    assert rle.encode(np.zeros((3, 4), bool)).tolist() == [12]
    assert rle.encode(np.ones((3, 4), bool)).tolist() == [0, 12]
    assert rle.decode(np.array([0, 12]), (3, 4)).all()


@settings(max_examples=300)
@given(st.text(st.characters(max_codepoint=300), max_size=30))
def test_any_text_is_refused_or_read(text):
    try:
        counts = rle.from_text(text)
        mask = rle.decode(counts, (6, 5))
    except ValueError:
        return
    assert mask.shape == (6, 5)


@pytest.mark.parametrize(
    "text", ["8330", "83300041", "", "P", "8330004P", "833000\x7f", "ü", "p" * 9 + "0", "8330004 "]
)
def test_damaged_text(text):
    with pytest.raises(ValueError, match="run lengths"):
        rle.decode(rle.from_text(text), (6, 5))


def test_negative_runs():
    with pytest.raises(ValueError, match="run lengths"):
        rle.decode(np.array([40, -10]), (6, 5))

"""Superpixels against slow loops over pixels."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camkit.errors import UsageError
from camkit.methods.superpixels import average, renumber, segment, vote
from camkit.settings.superpixels import Felzenszwalb

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def slow_average(values: np.ndarray, superpixels: np.ndarray) -> np.ndarray:
    members = defaultdict(list)
    for at, number in np.ndenumerate(superpixels):
        members[number].append(at)
    result = np.zeros(values.shape, np.float64)
    for c in range(len(values)):
        for pixels in members.values():
            mean = sum(float(values[c, y, x]) for y, x in pixels) / len(pixels)
            for y, x in pixels:
                result[c, y, x] = mean
    return result


def slow_vote(mask: np.ndarray, superpixels: np.ndarray, undecided: int) -> np.ndarray:
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for at, number in np.ndenumerate(superpixels):
        if mask[at] != undecided:
            votes[number][int(mask[at])] += 1
    result = np.full(mask.shape, undecided, mask.dtype)
    for at, number in np.ndenumerate(superpixels):
        if votes[number]:
            result[at] = min(votes[number], key=lambda label: (-votes[number][label], label))
    return result


def slow_renumber(regions: np.ndarray) -> np.ndarray:
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(int(region), len(numbers)) for region in regions.flat]).reshape(regions.shape)


@st.composite
def superpixels(draw: st.DrawFn, size: tuple[int, int]) -> np.ndarray:
    return renumber(draw(arrays(np.int64, size, elements=st.integers(-3, 6))))


@st.composite
def maps_on_superpixels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(SIZES)
    planes = arrays(np.float32, (draw(st.integers(0, 3)), *size), elements=st.floats(-1, 1, width=32))
    return draw(planes), draw(superpixels(size))


@st.composite
def masks_on_superpixels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    size = draw(SIZES)
    undecided, dtype = draw(st.sampled_from([(255, np.uint8), (255, np.uint16), (65_535, np.uint16)]))
    labels = st.sampled_from([0, 1, 2, 20, undecided])
    return draw(arrays(dtype, size, elements=labels)), draw(superpixels(size)), undecided


@given(maps_on_superpixels())
def test_averages_are_those_of_the_slow_loop_and_change_no_more(case: tuple[np.ndarray, np.ndarray]) -> None:
    values, numbers = case
    once = average(values, numbers)
    assert once.dtype == np.float32
    np.testing.assert_allclose(once, slow_average(values, numbers), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(average(once, numbers), once)
    np.testing.assert_allclose(once.sum(axis=(1, 2)), values.sum(axis=(1, 2)), atol=1e-4)
    for number in np.unique(numbers):
        assert (np.ptp(once[:, numbers == number], axis=1) == 0).all()


def test_averages_of_ones_are_ones() -> None:
    assert (average(np.ones((1, 301, 307), np.float32), np.zeros((301, 307), np.uint16)) == 1).all()


@given(masks_on_superpixels())
def test_votes_are_those_of_the_slow_loop_and_change_no_more(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    mask, numbers, undecided = case
    once = vote(mask, numbers, undecided)
    assert once.dtype == mask.dtype
    np.testing.assert_array_equal(once, slow_vote(mask, numbers, undecided))
    np.testing.assert_array_equal(vote(once, numbers, undecided), once)
    for number in np.unique(numbers):
        assert len(np.unique(once[numbers == number])) == 1


def test_on_ties_the_smallest_label_wins_and_undecided_pixels_do_not_vote() -> None:
    numbers = np.repeat(np.arange(3, dtype=np.uint16), 4)[None]
    mask = np.array([[7, 7, 3, 3, 255, 255, 255, 0, 255, 255, 255, 255]], np.uint8)
    assert vote(mask, numbers, 255).ravel()[::4].tolist() == [3, 0, 255]
    assert vote(mask.astype(np.uint16), numbers, 65_535).ravel()[::4].tolist() == [3, 255, 255]


@given(arrays(np.int64, SIZES, elements=st.integers(-4, 4)))
def test_numbers_are_given_as_regions_first_appear(regions: np.ndarray) -> None:
    numbers = renumber(regions)
    assert numbers.dtype == np.uint16
    np.testing.assert_array_equal(numbers, slow_renumber(regions))


@pytest.mark.parametrize(("count", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 2, np.uint32)])
def test_many_superpixels_take_a_wider_type(count: int, dtype: type) -> None:
    numbers = renumber(np.arange(count)[::-1].reshape(2, -1))
    assert numbers.dtype == dtype
    np.testing.assert_array_equal(numbers.ravel(), np.arange(count))


def two_halves(height: int, width: int) -> np.ndarray:
    """Red on the left, blue on the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = image[:, width // 2 :, 2] = 255
    return image


@pytest.mark.parametrize("size", [(40, 60), (20, 30), (80, 121), (13, 7)])
def test_superpixels_follow_colours_and_are_as_large_as_the_photo(size: tuple[int, int]) -> None:
    found = segment(two_halves(40, 60), size, Felzenszwalb(sigma=0))
    assert found.shape == size
    assert found.dtype == np.uint16
    expected = np.broadcast_to((np.arange(size[1]) + 0.5) * 60 / size[1] >= 30, size)
    np.testing.assert_array_equal(found, expected)


def test_larger_scales_and_minimal_sizes_give_fewer_superpixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    counts = [int(segment(image, (60, 80), Felzenszwalb(scale)).max()) + 1 for scale in (1, 100, 3000)]
    assert counts[0] > counts[1] > counts[2] >= 1
    large = segment(image, (60, 80), Felzenszwalb(1, min_size=300))
    assert np.bincount(large.ravel()).min() >= 300
    np.testing.assert_array_equal(large, slow_renumber(large))
    np.testing.assert_array_equal(large, segment(image, (60, 80), Felzenszwalb(1, min_size=300)))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_the_smallest_photos_are_one_superpixel(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert not segment(image, size, Felzenszwalb()).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": -1.0}, "--scale -1.0: give a number from 0 to 1e9"),
        ({"scale": np.nan}, "--scale nan"),
        ({"sigma": np.inf}, "--sigma inf: give a number from 0 to 100"),
        ({"min_size": 0}, "--min-size 0: give a number from 1 to 1e9"),
    ],
)
def test_settings_without_meaning_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Felzenszwalb(**wrong)  # type: ignore[arg-type]

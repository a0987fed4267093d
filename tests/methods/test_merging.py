"""Merging of superpixels against a program that compares two at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camkit.errors import ImageError, UsageError
from camkit.methods import merging as module
from camkit.methods.merging import adjacent_pairs, merge, region_features
from camkit.methods.superpixels import renumber, segment
from camkit.settings.superpixels import Felzenszwalb, Merging, Pairs
from camkit.upsample import upsample
from tests.reference.merging import mean_features, merge_slowly, neighbours

PAIRS: tuple[Pairs, ...] = ("adjacent", "all")
REGIONS = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda size: arrays(np.int64, size, elements=st.integers(0, 8)).map(renumber)
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Merging]:
    regions = draw(REGIONS)
    # few different numbers: ties, equal and empty features are frequent
    features = arrays(np.float64, (int(regions.max()) + 1, 3), elements=st.sampled_from([0.0, 1.0, 2.0, 0.3]))
    return regions, draw(features), Merging(draw(st.integers(1, 6)), draw(st.sampled_from(PAIRS)))


@given(cases())
@settings(max_examples=300)
def test_merging_is_that_of_the_slow_program(case: tuple[np.ndarray, np.ndarray, Merging]) -> None:
    regions, features, merging = case
    merged = merge(regions, features, merging)
    slow = merge_slowly(regions, features, merging.most, merging.pairs == "adjacent")
    np.testing.assert_array_equal(merged, slow)


def photo(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (-(-height // 12), -(-width // 12), 3))
    return np.kron(coarse, np.ones((12, 12, 1), int))[:height, :width].astype(np.uint8)


@pytest.mark.parametrize("pairs", PAIRS)
def test_superpixels_of_a_photo(pairs: Pairs) -> None:
    regions = segment(photo(110, 150), (110, 150), Felzenszwalb())
    maps = np.maximum(np.random.default_rng(1).standard_normal((40, 7, 10)), 0).astype(np.float32)
    features = region_features(maps, regions)
    merged = merge(regions, features, Merging(16, pairs))
    assert int(regions.max()) + 1 > 100
    assert merged.dtype == np.uint16
    assert np.unique(merged).tolist() == list(range(16))
    np.testing.assert_array_equal(merged, merge_slowly(regions, features, 16, pairs == "adjacent"))
    for number in np.unique(regions):
        assert len(np.unique(merged[regions == number])) == 1


def test_alike_neighbours_go_first_and_equals_in_the_order_of_their_numbers() -> None:
    regions = np.array([[0, 1, 2, 3]])
    features = np.array([[1.0, 0], [0, 1], [1, 0], [1, 0.1]])
    assert merge(regions, features, Merging(3)).tolist() == [[0, 1, 2, 2]]
    assert merge(regions, features, Merging(3, "all")).tolist() == [[0, 1, 0, 2]]
    assert merge(regions, np.ones((4, 2)), Merging(3)).tolist() == [[0, 0, 1, 2]]


def test_small_ones_go_first() -> None:
    regions = np.repeat(np.arange(4), [5, 3, 1, 2])[None]
    assert merge(regions, np.ones((4, 1)), Merging(3)).tolist() == [[0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2]]


def test_a_merged_superpixel_has_the_mean_feature_of_its_pixels() -> None:
    regions = np.repeat(np.arange(4), [9, 1, 9, 9])[None]
    features = np.array([[1.0, 0], [1, 0.2], [0, 1], [0.9, 0.3]])
    first = merge(regions, features, Merging(3, "all"))
    means = np.stack([features[regions[0]][first[0] == n].mean(axis=0) for n in range(3)])
    np.testing.assert_array_equal(merge(regions, features, Merging(2, "all")), merge(first, means, Merging(2, "all")))


@pytest.mark.parametrize("most", [1, 2, 9])
@pytest.mark.parametrize("pairs", PAIRS)
def test_never_more_than_asked_and_few_stay_as_they_are(most: int, pairs: Pairs) -> None:
    regions = np.arange(6).reshape(2, 3)
    merged = merge(regions, np.zeros((6, 2)), Merging(most, pairs))
    assert len(np.unique(merged)) == min(most, 6)
    assert np.isin(merged, np.arange(min(most, 6))).all()


@given(REGIONS)
def test_adjacent_pairs_are_those_of_the_slow_loop(regions: np.ndarray) -> None:
    low, high = adjacent_pairs(regions)
    found = list(zip(low.tolist(), high.tolist(), strict=True))
    assert found == sorted(pair for pair in neighbours(regions) if pair[0] < pair[1])


@pytest.mark.parametrize("size", [(13, 17), (1, 1), (4, 40), (3, 2)])
@pytest.mark.parametrize("grid", [(4, 5), (1, 1), (1, 6)])
def test_features_are_means_of_upsampled_ones(size: tuple[int, int], grid: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    regions = renumber(rng.integers(0, 5, size))
    features = rng.standard_normal((3, *grid)).astype(np.float32)
    expected = mean_features(upsample(features, size), regions)
    np.testing.assert_allclose(region_features(features, regions), expected, atol=1e-5)


def test_too_many_to_compare_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FOR_ALL", 8)
    regions = np.arange(9).reshape(3, 3)
    with pytest.raises(ImageError, match="9 superpixels are too many to compare all with all"):
        merge(regions, np.ones((9, 1)), Merging(2, "all"))
    assert merge(regions, np.ones((9, 1)), Merging(2)).max() == 1


@pytest.mark.parametrize("wrong", [{"most": 0}, {"pairs": "some"}])
def test_settings_without_meaning_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--merge"):
        Merging(**wrong)  # type: ignore[arg-type]

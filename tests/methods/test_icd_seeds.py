"""Seeds of signed scores against a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camkit.methods.icd_seeds import jointly_normalised, positive_part, seeds_of_scores
from tests.reference.icd_seeds import seeds_slowly

VALUES = st.sampled_from([-3.0, -0.5, 0.0, 0.25, 0.5, 2.0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    count, size = draw(st.integers(0, 3)), (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    scores = draw(arrays(np.float32, (count, *size), elements=VALUES))
    classes = np.array(sorted(draw(st.sets(st.integers(0, 19), min_size=count, max_size=count))), np.int64)
    cams = draw(st.none() | arrays(np.float32, (count, *size), elements=st.sampled_from([0.0, 0.5, 1.0])))
    saliency = draw(st.none() | arrays(np.float32, size, elements=st.sampled_from([0.0, 0.009, 0.01, 0.8])))
    return scores, classes, cams, saliency


@given(cases())
def test_seeds_are_those_of_the_slow_loop(
    case: tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None],
) -> None:
    scores, classes, cams, saliency = case
    found = seeds_of_scores(scores, classes, 20, cams, saliency)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, seeds_slowly(scores, classes, 255, cams, saliency))


@given(arrays(np.float32, (3, 2, 4), elements=st.sampled_from([-9.0, -0.5, 0.0, 0.25, 0.5, 20.0])))
def test_cams_of_all_classes_are_normalised_together(cams: np.ndarray) -> None:
    found = jointly_normalised(cams)
    assert found.min() >= 0
    assert found.max() == (1 if cams.max() > 0 else 0)
    np.testing.assert_array_equal(found > 0, cams > 0)
    np.testing.assert_allclose(found * max(cams.max(), 0), np.maximum(cams, 0), rtol=1e-6)


def row(*scores: tuple[float, ...]) -> np.ndarray:
    """A class per argument, a pixel per number: [C, 1, W]."""
    return np.array(scores, np.float32)[:, None]


def test_one_class_is_where_its_score_is_above_zero() -> None:
    assert seeds_of_scores(row((-1, 0, 0.1)), np.array([6]), 20).tolist() == [[0, 0, 7]]


def test_several_classes_leave_undecided_what_neither_claims_nor_denies() -> None:
    scores = row((-1, 0, 0.4, 0.4, -1), (-1, -1, -1, 0.3, 0))
    classes = np.array([2, 9])
    assert seeds_of_scores(scores, classes, 20).tolist() == [[0, 255, 3, 3, 255]]
    cams = row((1, 1, 1, 0.1, 1), (1, 1, 1, 0.9, 1))
    assert seeds_of_scores(scores, classes, 20, cams).tolist() == [[0, 255, 3, 10, 255]]
    assert seeds_of_scores(scores, classes, 20, np.zeros_like(cams)).tolist() == [[0, 255, 3, 255, 255]]


@pytest.mark.parametrize(("factor", "winner"), [(1, 2), (100, 1)])
def test_scores_count_as_they_are_with_cams_as_without(factor: float, winner: int) -> None:
    """That of the first class is larger elsewhere, which does not matter."""
    scores, cams = row((0.5 * factor, 1 * factor), (0.9, -1)), row((0.6, 1), (0.5, 1))
    for witness in (None, cams):
        assert seeds_of_scores(scores, np.array([0, 1]), 20, witness).tolist() == [[winner, 1]]


def test_a_class_that_is_weak_everywhere_does_not_win_by_its_share() -> None:
    scores, cams = row((0.2, 0), (0.3, 0.9)), row((0.5, 1), (0.5, 1))
    assert seeds_of_scores(scores, np.array([0, 1]), 20, cams).tolist() == [[2, 2]]


def test_saliency_says_what_is_background_and_leaves_foreground_alone() -> None:
    scores, saliency = row((-1, -1, 1, 1)), np.array([[0.0, 0.5, 0.5, 0.0]], np.float32)
    assert seeds_of_scores(scores, np.array([4]), 20, saliency=saliency).tolist() == [[0, 255, 5, 255]]


def test_many_classes_have_a_larger_number_for_undecided() -> None:
    found = seeds_of_scores(row((0, 1), (0, -1)), np.array([254, 299]), 300)
    assert found.dtype == np.uint16
    assert found.tolist() == [[65_535, 255]]


@given(arrays(np.int16, (2, 3, 3), elements=st.integers(-500, 500)))
def test_the_positive_part_lies_in_0_1_and_vanishes_with_the_claim(hundredths: np.ndarray) -> None:
    scores = hundredths.astype(np.float32) / 100
    maps = positive_part(scores)
    assert maps.min() >= 0
    assert maps.max() <= 1
    np.testing.assert_array_equal(maps > 0, scores > 0)
    small = np.clip(scores, -1, 1)
    np.testing.assert_array_equal(positive_part(small), small.clip(0))


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 1, 1)])
def test_no_classes_and_single_pixels(shape: tuple[int, int, int]) -> None:
    classes = np.arange(shape[0])
    assert not seeds_of_scores(np.full(shape, -1, np.float32), classes, 20).any()
    assert positive_part(np.zeros(shape, np.float32)).shape == shape

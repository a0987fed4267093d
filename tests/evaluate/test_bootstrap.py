"""Intervals of mean IoU over photos, against a loop that draws photo by photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import InputError
from camkit.evaluate import ConfusionAccumulator, metrics
from camkit.evaluate.bootstrap import Tallies, TallyAccumulator, difference, interval, mean_iou

CLASSES = 3


def masks(seed: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    """A truth with void pixels, and a prediction that is right on about that share of the pixels, else drawn."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 3, 255], size=(9, 11)).astype(np.uint8)
    drawn = rng.choice([0, 1, 2, 3, 255], size=truth.shape).astype(np.uint8)
    kept = (rng.random(truth.shape) < right) & (truth != 255)
    return np.where(kept, truth, drawn).astype(np.uint8), truth


def tallies_of(right: float, count: int = 30) -> Tallies:
    made = TallyAccumulator(CLASSES)
    for seed in range(count):
        made.update(f"id{seed:02}", *masks(seed, right))
    return made.compute()


def matrix_of(seeds: list[int], right: float) -> np.ndarray:
    counts = ConfusionAccumulator(CLASSES)
    for seed in seeds:
        counts.update(*masks(seed, right))
    return counts.compute().matrix


@given(st.lists(st.integers(0, 29), min_size=1, max_size=40))
def test_mean_iou_of_drawn_photos_is_that_of_their_confusion_matrix(seeds: list[int]) -> None:
    drawn = tallies_of(0.5).counts[seeds].sum(axis=0)
    expected = metrics.iou(matrix_of(seeds, 0.5))
    assert mean_iou(drawn) == pytest.approx(float(metrics.mean(expected)), abs=1e-12)
    assert mean_iou(drawn, [0, 2]) == pytest.approx(float(metrics.mean(expected[[0, 2]])), abs=1e-12)


def slow_draws(seed: int, photos: int, draws: int) -> list[list[int]]:
    """The photos of each draw, one after the other."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, photos, size=photos).tolist() for _ in range(draws)]


def test_an_interval_equals_that_of_a_slow_loop() -> None:
    """Draws differ, so the ends agree within what 2,000 draws leave open."""
    values = [float(metrics.mean(metrics.iou(matrix_of(drawn, 0.6)))) for drawn in slow_draws(5, 30, 600)]
    low, high = np.quantile(values, [0.025, 0.975])
    found = interval(tallies_of(0.6))
    assert found is not None
    assert found.low == pytest.approx(low, abs=0.15 * (high - low))
    assert found.high == pytest.approx(high, abs=0.15 * (high - low))


def test_an_interval_holds_the_figure_and_is_the_same_again() -> None:
    tallies = tallies_of(0.6)
    found = interval(tallies)
    assert found is not None
    assert found.low < float(mean_iou(tallies.counts.sum(axis=0))) < found.high
    assert found == interval(tallies)
    assert found != interval(tallies, seed=1)


def test_a_difference_is_drawn_on_the_same_photos() -> None:
    """Photos that are hard for both do not blur it: its interval is narrower than the methods' own."""
    worse, better = tallies_of(0.55), tallies_of(0.6)
    found, own = difference(worse, better), interval(better)
    assert found is not None
    assert own is not None
    assert found.low < float(mean_iou(better.counts.sum(axis=0)) - mean_iou(worse.counts.sum(axis=0))) < found.high
    same = difference(better, better)
    assert same is not None
    assert (same.low, same.high) == (0, 0)
    with pytest.raises(InputError, match="same photos"):
        difference(worse, better.of(better.ids[:-1]))


def test_too_few_photos_have_no_interval() -> None:
    assert interval(tallies_of(0.5, count=1)) is None
    assert interval(tallies_of(0.5, count=0)) is None
    assert difference(tallies_of(0.5, count=1), tallies_of(0.6, count=1)) is None


def test_a_class_that_a_draw_does_not_have_is_left_out_of_it() -> None:
    empty, dog = np.zeros((4, 4), np.uint8), np.full((4, 4), 2, np.uint8)
    made = TallyAccumulator(CLASSES)
    for number in range(6):
        made.update(f"{number}", dog if number == 0 else empty, dog if number == 0 else empty)
    found = interval(made.compute())
    assert found is not None
    assert (found.low, found.high) == (1, 1)

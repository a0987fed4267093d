import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import InputError
from camkit.evaluate import PixelPrecisionAccumulator, average_precision, mean_average_precision
from camkit.evaluate.precision import half_ranks
from tests.evaluate.cases import NUM_CLASSES, Image, images, random_image
from tests.reference import average_precision as reference

LEVELS = np.array([-1.0, -0.25, -0.0, 0.0, 1e-7, 0.1, 0.5, 1.0])


def accumulate(data: list[Image]) -> PixelPrecisionAccumulator:
    accumulator = PixelPrecisionAccumulator(NUM_CLASSES)
    for image in data:
        accumulator.update(*image)
    return accumulator


def rank_all_pixels(data: list[Image], index: int) -> float:
    """Average precision of one class with every pixel held."""
    scores: list[float] = []
    positive: list[bool] = []
    for maps, classes, truth in data:
        known = (truth != 255) & (truth != 65535)
        for scored in maps[np.asarray(classes) == index]:
            scores += scored[known].astype(np.float16).tolist()
            positive += (truth[known] == index + 1).tolist()
    return reference.average_precision(scores, positive)


@given(st.lists(images(LEVELS), max_size=4))
def test_equals_ranking_all_pixels(data: list[Image]) -> None:
    expected = [rank_all_pixels(data, index) for index in range(NUM_CLASSES)]
    np.testing.assert_allclose(accumulate(data).compute(), expected, rtol=1e-12)


def test_many_different_scores() -> None:
    data = [random_image(seed, count=3) for seed in range(3)]
    data = [(maps - 0.5, classes, truth) for maps, classes, truth in data]
    expected = [rank_all_pixels(data, index) for index in range(NUM_CLASSES)]
    np.testing.assert_allclose(accumulate(data).compute(), expected, rtol=1e-12)


@given(st.lists(images(LEVELS), max_size=4), st.integers(0, 4))
def test_workers_can_share(data: list[Image], cut: int) -> None:
    first, second = accumulate(data[:cut]), accumulate(data[cut:])
    kept = second.compute()
    first.merge(second)
    first.update(*random_image(0))
    np.testing.assert_array_equal(first.compute(), accumulate([*data, random_image(0)]).compute())
    np.testing.assert_array_equal(second.compute(), kept)


def test_ranks_keep_the_order_of_all_half_precision_values() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = np.sort(halves[~np.isnan(halves)].astype(np.float32))
    ranks = half_ranks(values)
    np.testing.assert_array_equal(np.diff(ranks) > 0, np.diff(values) > 0)
    assert 0 <= ranks.min() <= ranks.max() < 1 << 16
    assert half_ranks(np.array([1e9], dtype=np.float32)) == half_ranks(np.array([np.inf], dtype=np.float32))


@given(st.lists(st.tuples(st.sampled_from([-2.0, 0.0, 0.1, 0.5]) | st.floats(-1, 1), st.booleans()), max_size=30))
def test_average_precision_of_images(pairs: list[tuple[float, bool]]) -> None:
    scores, truth = [score for score, _ in pairs], [positive for _, positive in pairs]
    found = average_precision(np.array(scores), np.array(truth, dtype=bool))
    np.testing.assert_allclose(found, reference.average_precision(scores, truth), rtol=1e-12)


def test_known_values() -> None:
    assert average_precision(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])) == pytest.approx(5 / 6)
    assert average_precision(np.array([3, 2, 1], dtype=np.uint8), np.array([1, 1, 0])) == 1
    assert average_precision(np.full(4, 0.5), np.array([1, 0, 0, 0])) == 0.25


def test_classes_without_positives_are_left_out() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.1, 0.6, 0.2]])
    mean, per_class = mean_average_precision(scores, np.array([[1, 0, 1], [0, 0, 0]]))
    np.testing.assert_array_equal(per_class, [1, np.nan, 0.5])
    assert mean == 0.75
    assert np.isnan(mean_average_precision(scores, np.zeros((2, 3)))[0])


def test_unusable_scores() -> None:
    with pytest.raises(InputError, match="do not fit"):
        average_precision(np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match="do not fit"):
        mean_average_precision(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(InputError, match="nan"):
        average_precision(np.array([np.nan, 1]), np.zeros(2))
    with pytest.raises(InputError, match="size mismatch"):
        accumulate([(np.zeros((1, 2, 2)), np.array([0]), np.zeros((3, 3), dtype=np.uint8))])
    with pytest.raises(InputError, match="3 classes"):
        accumulate([]).merge(PixelPrecisionAccumulator(3))

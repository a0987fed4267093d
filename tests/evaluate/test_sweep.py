import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import InputError, UsageError
from camkit.evaluate import DEFAULT_THRESHOLDS, Confusion, SweepAccumulator, metrics
from camkit.evaluate.histogram import ThresholdBins
from tests.evaluate.cases import NUM_CLASSES, Image, images, random_image
from tests.reference import sweep as reference

THRESHOLDS = np.array([0.0, 0.1, 0.3, 0.30000004, 0.5, 0.99])
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def accumulate(data: list[Image], thresholds: np.ndarray = THRESHOLDS) -> SweepAccumulator:
    accumulator = SweepAccumulator(NUM_CLASSES, thresholds)
    for image in data:
        accumulator.update(*image)
    return accumulator


def check_confusion(found: Confusion, masks: list[np.ndarray], truths: list[np.ndarray]) -> None:
    """Everything in `found` against counting pixel by pixel, for all images and for each group of images."""
    matrix, undecided, ignored = reference.confusion(masks, truths, NUM_CLASSES)
    np.testing.assert_array_equal(found.matrix, matrix)
    np.testing.assert_array_equal(found.undecided, undecided)
    assert found.ignored == ignored
    for group in range(4):
        chosen = [index for index, truth in enumerate(truths) if min(reference.classes_in(truth), 3) == group]
        matrix, undecided, _ = reference.confusion(
            [masks[index] for index in chosen], [truths[index] for index in chosen], NUM_CLASSES
        )
        np.testing.assert_array_equal(found.counts[group, :, :-1], matrix)
        np.testing.assert_array_equal(found.counts[group, :, -1], undecided)
        assert found.images[group] == len(chosen)


@given(st.lists(images(THRESHOLDS), max_size=4))
def test_equals_masks_made_at_every_threshold(data: list[Image]) -> None:
    sweep = accumulate(data).compute()
    truths = [truth for _, _, truth in data]
    for index, threshold in enumerate(THRESHOLDS):
        masks = [reference.threshold_mask(maps, classes, threshold, truth.shape) for maps, classes, truth in data]
        check_confusion(sweep.at(index), masks, truths)
        np.testing.assert_array_equal(sweep.matrices[index], sweep.at(index).matrix)


def test_photo_taller_than_one_block() -> None:
    maps, classes, truth = random_image(3, size=(300, 400))
    sweep = accumulate([(maps, classes, truth)], DEFAULT_THRESHOLDS).compute()
    for index in (0, 30, 99):
        mask = reference.threshold_mask(maps, classes, DEFAULT_THRESHOLDS[index], truth.shape)
        matrix, _, ignored = reference.confusion([mask], [truth], NUM_CLASSES)
        np.testing.assert_array_equal(sweep.matrices[index], matrix)
        assert sweep.at(index).ignored == ignored


@given(st.lists(images(THRESHOLDS), max_size=4), st.integers(0, 4))
def test_workers_can_share(data: list[Image], cut: int) -> None:
    first, second = accumulate(data[:cut]), accumulate(data[cut:])
    first.merge(second)
    merged, whole = first.compute(), accumulate(data).compute()
    np.testing.assert_array_equal(merged.matrices, whole.matrices)
    np.testing.assert_array_equal(merged.at(2).counts, whole.at(2).counts)
    np.testing.assert_array_equal(merged.at(2).images, whole.at(2).images)
    assert merged.at(2).ignored == whole.at(2).ignored


def test_best_threshold_is_the_one_with_the_highest_miou() -> None:
    truth = np.array([[0, 0, 1, 1]], dtype=np.uint8)
    maps = np.array([[[0.1, 0.4, 0.6, 0.9]]], dtype=np.float32)
    sweep = accumulate([(maps, np.array([0]), truth)]).compute()
    assert THRESHOLDS[sweep.best] == 0.5
    assert metrics.mean(metrics.iou(sweep.matrices[sweep.best])) == 1


def test_results_do_not_change_with_later_images() -> None:
    accumulator = accumulate([random_image(0)])
    early = accumulator.compute()
    before = early.at(1).counts
    accumulator.update(*random_image(1))
    np.testing.assert_array_equal(early.at(1).counts, before)


@given(st.lists(finite, min_size=1, max_size=60, unique=True), st.lists(finite, max_size=60))
def test_bins_are_searchsorted(thresholds: list[float], values: list[float]) -> None:
    ascending = np.unique(np.array(thresholds, dtype=np.float32))
    with np.errstate(over="ignore"):
        beside = np.concatenate([np.nextafter(ascending, np.float32(side)) for side in (-np.inf, np.inf)])
    tried = np.concatenate([np.array(values, dtype=np.float32), ascending, beside, np.float32([-np.inf, np.inf])])
    np.testing.assert_array_equal(ThresholdBins(ascending)(tried), np.searchsorted(ascending, tried))


def test_evenly_spaced_bins_over_all_half_precision_values() -> None:
    thresholds = DEFAULT_THRESHOLDS.astype(np.float32)
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = values[~np.isnan(values)].astype(np.float32)
    np.testing.assert_array_equal(ThresholdBins(thresholds)(values), np.searchsorted(thresholds, values))


@pytest.mark.parametrize("thresholds", [[], [0.5, 0.1], [0.1, 0.1], [np.nan], [np.inf], [[0.1, 0.2]]])
def test_unusable_thresholds(thresholds: list[float]) -> None:
    with pytest.raises(UsageError, match="ascending"):
        SweepAccumulator(3, thresholds)


TRUTH = np.zeros((2, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "classes", "truth", "message"),
    [
        ((1, 3, 2), [0], TRUTH, "size mismatch"),
        ((2, 2, 3), [0], TRUTH, "do not fit 1 classes"),
        ((2, 2, 3), [0, 0], TRUTH, "once"),
        ((1, 2, 3), [4], TRUTH, "0 … 3"),
        ((1, 2, 3), [-1], TRUTH, "0 … 3"),
        ((1, 2, 3), [0], np.full((2, 3), 9, dtype=np.uint8), "value 9"),
        ((1, 2, 3), [0], np.full((2, 3), -1), "outside"),
        ((1, 2, 3), [0], TRUTH.astype(np.float32), "integers"),
        ((1, 2, 3), [0], TRUTH[None], r"\[H, W\]"),
    ],
)
def test_unusable_images(shape: tuple[int, ...], classes: list[int], truth: np.ndarray, message: str) -> None:
    accumulator = SweepAccumulator(NUM_CLASSES, THRESHOLDS)
    with pytest.raises(InputError, match=message):
        accumulator.update(np.zeros(shape, dtype=np.float32), np.array(classes), truth)
    assert not accumulator.compute().matrices.any()


def test_maps_that_are_not_numbers() -> None:
    maps = np.array([[[0.5, np.nan]]], dtype=np.float32)
    with pytest.raises(InputError, match="nan"):
        accumulate([(maps, np.array([0]), np.zeros((1, 2), dtype=np.uint8))])


def test_counts_of_other_thresholds_cannot_be_joined() -> None:
    with pytest.raises(InputError, match="thresholds"):
        accumulate([]).merge(accumulate([], THRESHOLDS / 2))

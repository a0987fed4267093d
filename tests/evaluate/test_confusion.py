import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import InputError
from camkit.evaluate import ConfusionAccumulator
from tests.evaluate.cases import NUM_CLASSES
from tests.evaluate.test_sweep import check_confusion

Pair = tuple[np.ndarray, np.ndarray]


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Prediction and truth, both with 255, of any integer type that can hold them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    labels = [0, 255, *draw(st.sets(st.integers(1, NUM_CLASSES)))]
    truth = rng.choice(labels, size=shape).astype(draw(st.sampled_from([np.uint8, np.int64])))
    prediction = rng.choice([*range(NUM_CLASSES + 1), 255], size=shape)
    return prediction.astype(draw(st.sampled_from([np.uint8, np.uint16, np.int32]))), truth


def accumulate(data: list[Pair]) -> ConfusionAccumulator:
    accumulator = ConfusionAccumulator(NUM_CLASSES)
    for prediction, truth in data:
        accumulator.update(prediction, truth)
    return accumulator


@given(st.lists(pairs(), max_size=4))
def test_equals_counting_pixel_by_pixel(data: list[Pair]) -> None:
    found = accumulate(data).compute()
    check_confusion(found, [prediction for prediction, _ in data], [truth for _, truth in data])
    pixels = sum(truth.size for _, truth in data)
    known = sum(int((truth != 255).sum()) for _, truth in data)
    assert found.ignored_share == (pixels - known) / max(pixels, 1)
    assert found.undecided_share == found.undecided.sum() / max(known, 1)


@given(st.lists(pairs(), max_size=4), st.integers(0, 4))
def test_workers_can_share(data: list[Pair], cut: int) -> None:
    first = accumulate(data[:cut])
    first.merge(accumulate(data[cut:]))
    merged, whole = first.compute(), accumulate(data).compute()
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_array_equal(merged.images, whole.images)
    assert merged.ignored == whole.ignored


def test_photo_taller_than_one_block() -> None:
    rng = np.random.default_rng(0)
    prediction, truth = (rng.choice([0, 1, 2, 255], size=(300, 400)).astype(np.uint8) for _ in range(2))
    check_confusion(accumulate([(prediction, truth)]).compute(), [prediction], [truth])


def test_more_classes_than_eight_bits() -> None:
    accumulator = ConfusionAccumulator(300)
    truth = np.array([[0, 255, 300, 65535]], dtype=np.uint16)
    accumulator.update(truth, truth)
    found = accumulator.compute()
    assert found.matrix[255, 255] == found.matrix[300, 300] == 1
    assert found.ignored == 1


def test_sixteen_bits_with_few_classes_leave_out_255_too() -> None:
    truth = np.array([[0, 255, 65535]], dtype=np.uint16)
    assert accumulate([(np.zeros((1, 3), dtype=np.uint8), truth)]).compute().ignored == 2


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        ([[0, 5]], [[0, 0]], "the prediction holds the value 5, but there are 4 classes"),
        ([[0, 0]], [[0, 254]], "the ground truth holds the value 254"),
        ([[0, 0]], [[0, -1]], "the ground truth holds values outside"),
        ([[0, 70000]], [[0, 0]], "the prediction holds values outside"),
        ([[0.0, 0.5]], [[0, 0]], "integers"),
        ([[0, 0]], [[0], [0]], "the prediction is 1 x 2 pixels .*, the ground truth 2 x 1"),
        ([[[0, 0]]], [[0, 0]], "size mismatch"),
    ],
)
def test_unusable_masks(prediction: list, truth: list, message: str) -> None:
    accumulator = ConfusionAccumulator(NUM_CLASSES)
    with pytest.raises(InputError, match=message):
        accumulator.update(np.array(prediction), np.array(truth))
    assert not accumulator.compute().counts.any()


def test_counts_over_other_classes_cannot_be_joined() -> None:
    with pytest.raises(InputError, match="3 classes"):
        accumulate([]).merge(ConfusionAccumulator(3))

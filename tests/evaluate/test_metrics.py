import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camkit.evaluate import metrics

# Class 1 is partly missed, class 2 is predicted but not there, class 3 is there but never predicted, class 4 is absent.
MATRIX = np.array(
    [
        [50, 5, 5, 0, 0],
        [10, 20, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [10, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
)


def test_hand_made_matrix() -> None:
    np.testing.assert_allclose(metrics.iou(MATRIX), [50 / 80, 20 / 35, 0, 0, np.nan])
    np.testing.assert_allclose(metrics.precision(MATRIX), [50 / 70, 20 / 25, 0, 0, np.nan])
    np.testing.assert_allclose(metrics.recall(MATRIX), [50 / 60, 20 / 30, 0, 0, np.nan])
    np.testing.assert_allclose(metrics.fp_rate(MATRIX), [20 / 80, 5 / 35, 1, 0, np.nan])
    np.testing.assert_allclose(metrics.fn_rate(MATRIX), [10 / 80, 10 / 35, 0, 1, np.nan])


def test_means_leave_out_what_is_absent() -> None:
    assert metrics.mean(metrics.iou(MATRIX)) == pytest.approx((50 / 80 + 20 / 35) / 4)
    assert metrics.mean_foreground(metrics.fp_rate(MATRIX)) == pytest.approx((5 / 35 + 1) / 3)
    assert np.isnan(metrics.mean(metrics.iou(np.zeros((3, 3), dtype=int))))


def test_undecided_pixels_are_misses_for_recall_only() -> None:
    undecided = np.array([40, 30, 0, 0, 7])
    np.testing.assert_allclose(metrics.recall(MATRIX, undecided), [50 / 100, 20 / 60, 0, 0, 0])
    assert np.isnan(metrics.iou(MATRIX)[4])


matrices = hnp.arrays(np.int64, (2, 4, 4), elements=st.integers(0, 1000))


@given(matrices)
def test_rates_and_iou_share_the_union(both: np.ndarray) -> None:
    total = metrics.iou(both) + metrics.fp_rate(both) + metrics.fn_rate(both)
    np.testing.assert_allclose(total[~np.isnan(total)], 1)
    np.testing.assert_array_equal(metrics.iou(both)[1], metrics.iou(both[1]))


def test_lpcam_table_1_averages_fp_and_fn_over_foreground() -> None:
    """Its three rows give a plausible background IoU only so: 78.8, 80.1 and 82.9 %."""
    for fp, fn, miou, background in [(26.5, 26.2, 48.8, 78.8), (33.1, 16.2, 52.1, 80.1), (29.8, 16.7, 54.9, 82.9)]:
        foreground = 100 - fp - fn
        assert (21 * miou - 20 * foreground) == pytest.approx(background, abs=0.05)

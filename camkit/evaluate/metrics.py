"""Figures from a confusion matrix: rows are the true class, columns the predicted one, background first.

Every function takes matrices [..., K + 1, K + 1] and gives float64 [..., K + 1] in [0, 1]. A class that neither the
ground truth nor the prediction has is nan, and left out of the means. A class that only one of them has is 0 in all
of IoU, precision and recall, so all means are over the same classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def iou(matrix: np.ndarray) -> np.ndarray:
    """TP / (TP + FP + FN) per class."""
    return _ratio(_hits(matrix), _union(matrix), _union(matrix))


def precision(matrix: np.ndarray) -> np.ndarray:
    """TP / (TP + FP) per class."""
    return _ratio(_hits(matrix), matrix.sum(axis=-2), _union(matrix))


def recall(matrix: np.ndarray, undecided: np.ndarray | int = 0) -> np.ndarray:
    """TP / (TP + FN) per class.

    `undecided` [..., K + 1] are true pixels for which the prediction says nothing: misses (ICD, Table 2).
    """
    return _ratio(_hits(matrix), matrix.sum(axis=-1) + undecided, _union(matrix) + undecided)


def fp_rate(matrix: np.ndarray) -> np.ndarray:
    """FP / (TP + FP + FN) per class, so that FP rate + FN rate + IoU = 1 (LPCAM, Table 1)."""
    return _ratio(matrix.sum(axis=-2) - _hits(matrix), _union(matrix), _union(matrix))


def fn_rate(matrix: np.ndarray) -> np.ndarray:
    """FN / (TP + FP + FN) per class."""
    return _ratio(matrix.sum(axis=-1) - _hits(matrix), _union(matrix), _union(matrix))


def mean(values: np.ndarray, rows: Sequence[int] | None = None) -> np.ndarray:
    """Mean over the last axis, or the places `rows` of it, of what is not nan; nan where nothing is left."""
    values = values if rows is None else values[..., list(rows)]
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return _ratio(total, known.sum(axis=-1), known.sum(axis=-1))


def mean_foreground(values: np.ndarray, rows: Sequence[int] | None = None) -> np.ndarray:
    """Mean over the classes without background, as IRN's and so LPCAM's evaluation averages FP and FN.

    In LPCAM's Table 1 FP + FN + mIoU is 101.5, not 100, because there mIoU alone counts background.
    """
    return mean(values[..., 1:], None if rows is None else [row - 1 for row in rows if row])


def _hits(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _union(matrix: np.ndarray) -> np.ndarray:
    return matrix.sum(axis=-1) + matrix.sum(axis=-2) - _hits(matrix)


def _ratio(part: np.ndarray, whole: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """part / whole; 0 where only whole is 0, nan where the class was not seen at all."""
    ratio = np.asarray(part / np.maximum(whole, 1), dtype=np.float64)
    return np.where(seen > 0, ratio, np.nan)

"""Which classes masks hold."""

from __future__ import annotations

import numpy as np
import pytest

from camkit.methods.seeds import classes_of_mask


@pytest.mark.parametrize(("num_classes", "dtype", "undecided"), [(3, np.uint8, 255), (300, np.uint16, 65_535)])
def test_classes_of_a_mask(num_classes: int, dtype: type, undecided: int) -> None:
    mask = np.array([[0, undecided, 3], [num_classes, 1, 0]], dtype)
    assert classes_of_mask(mask, num_classes).tolist() == sorted({0, 2, num_classes - 1})

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camkit.errors import InputError
from camkit.evaluate.parts import PartRecallAccumulator

PIXELS = arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 1, 2, 3, 255]))


def slow_recall(images: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> dict[int, tuple[float, int]]:
    found: dict[int, list[bool]] = {}
    for mask, truth, parts in images:
        for made, true, part in zip(mask.flat, truth.flat, parts.flat, strict=True):
            if true not in (0, 255) and part not in (0, 255):
                found.setdefault(int(part), []).append(bool(made == true))
    return {part: (sum(hits) / len(hits), len(hits)) for part, hits in found.items()}


@given(st.lists(st.tuples(PIXELS, PIXELS, PIXELS), max_size=3))
def test_recall_is_what_counting_pixel_by_pixel_finds(images: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    counts = PartRecallAccumulator()
    for image in images:
        counts.update(*image)
    found = {part: (recall, pixels) for part, recall, pixels in counts.compute()}
    expected = slow_recall(images)
    assert found.keys() == expected.keys()
    for part, (recall, pixels) in expected.items():
        assert found[part] == (pytest.approx(recall), pixels)


def test_a_part_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="does not fit"):
        PartRecallAccumulator().update(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 3)))

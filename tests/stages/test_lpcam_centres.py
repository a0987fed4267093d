"""Centres and what is near them, without photos."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from camkit.errors import InputError
from camkit.settings.lpcam import Hyperparameters
from camkit.stages.lpcam_centres import EXAMPLES, box_of, cluster_sample, nearest
from camkit.stages.lpcam_sample import Budget, Features, Sample
from camkit.store.sample import SeenImage


class Largest(TorchDispatchMode):
    """Of all tensors that are made the most numbers in one."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        made = function(*arguments, **(options or {}))
        self.numbers = max([self.numbers, *(one.numel() for one in [made] if isinstance(one, torch.Tensor))])
        return made


def test_the_nearest_of_many_centres_are_found_without_all_cosines_at_once() -> None:
    rng = np.random.default_rng(0)
    values, centres = rng.normal(size=(3000, 4)).astype(np.float32), rng.normal(size=(200, 4)).astype(np.float32)
    seen = [SeenImage(str(n), (40, 60), (4, 6), {}) for n in range(50)]
    images, cells = rng.integers(0, 50, 3000), rng.integers(0, 24, 3000)
    features = Features(values, images, cells, seen, 3000)
    with Largest() as largest:
        nearest(torch.from_numpy(values), torch.from_numpy(centres[:1]), features)  # imports what it needs
        tracemalloc.start()
        found = nearest(torch.from_numpy(values), torch.from_numpy(centres), features)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert largest.numbers <= 3000 * 12
    assert peak < 3000 * 200 * 4 / 2
    cosines = (values @ centres.T) / np.linalg.norm(values, axis=1)[:, None] / np.linalg.norm(centres, axis=1)
    for centre in range(200):
        best = {n: cosines[images == n, centre].max() for n in range(50)}
        expected = sorted(best, key=lambda n: -best[n])[:EXAMPLES]
        assert found.ids[centre].tolist() == [str(n) for n in expected]
        np.testing.assert_allclose(found.similarities[centre], [best[n] for n in expected], atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60), st.data())
def test_a_cell_is_a_pixel_at_least_and_within_the_photo(
    rows: int, columns: int, height: int, width: int, data: st.DataObject
) -> None:
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    top, left, bottom, right = box_of(row * columns + column, (rows, columns), (height, width))
    assert 0 <= top < bottom <= height
    assert 0 <= left < right <= width
    assert top <= row * height / rows < top + 1
    assert left <= column * width / columns < left + 1
    if height >= rows:
        assert abs(bottom - (row + 1) * height / rows) <= 1


def test_where_nothing_could_be_seen_the_failures_are_told() -> None:
    sample = Sample([], Budget(1 << 20, 4))
    sample.failures.update(b="b.jpg is empty", a="a.jpg is no image")
    with pytest.raises(InputError, match=r"^all 2 images failed: a: a\.jpg is no image$"):
        cluster_sample(sample, torch.ones(3, 4), ["x", "y", "z"], Hyperparameters(), 300, 0)
    sample.failures.clear()
    with pytest.raises(InputError, match="no image has a class"):
        cluster_sample(sample, torch.ones(3, 4), ["x", "y", "z"], Hyperparameters(), 300, 0)

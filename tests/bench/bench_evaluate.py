"""Run by hand: `pytest tests/bench/bench_evaluate.py`. One VOC-sized photo with two classes, in one thread."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from camkit.evaluate import (
    DEFAULT_THRESHOLDS,
    ConfusionAccumulator,
    PixelPrecisionAccumulator,
    SweepAccumulator,
    upsample,
)

SIZE, STORED, NUM_CLASSES = (375, 500), (94, 125), 20
CLASSES = np.array([7, 14])
MAPS = np.random.default_rng(0).random((2, *STORED), dtype=np.float32)
TRUTH = np.kron(np.random.default_rng(1).choice([0, 0, 8, 15, 255], size=(75, 100)), np.ones((5, 5))).astype(np.uint8)


@pytest.mark.benchmark(group="sweep, upsampling included")
@pytest.mark.parametrize("count", [1, 100])
def test_sweep(benchmark: Callable[..., Any], count: int) -> None:
    accumulator = SweepAccumulator(NUM_CLASSES, DEFAULT_THRESHOLDS if count == 100 else [0.3])
    benchmark(lambda: accumulator.update(upsample(MAPS, SIZE), CLASSES, TRUTH))


@pytest.mark.benchmark(group="sweep, upsampling included")
@pytest.mark.parametrize("count", [1, 100])
def test_a_mask_per_threshold(benchmark: Callable[..., Any], count: int) -> None:
    """What other programs do: argmax over the threshold and the maps, then a confusion matrix, for each threshold."""
    known = TRUTH != 255
    truth = TRUTH[known].astype(np.int64)

    def sweep() -> None:
        maps = upsample(MAPS, SIZE)
        for threshold in DEFAULT_THRESHOLDS[-count:]:
            stack = np.concatenate([np.full((1, *SIZE), threshold, dtype=np.float32), maps])
            mask = np.array([0, *(CLASSES + 1)])[stack.argmax(axis=0)]
            np.bincount(truth * (NUM_CLASSES + 1) + mask[known], minlength=(NUM_CLASSES + 1) ** 2)

    benchmark(sweep)


@pytest.mark.benchmark(group="upsample")
def test_upsample(benchmark: Callable[..., Any]) -> None:
    benchmark(upsample, MAPS, SIZE)


@pytest.mark.benchmark(group="upsample")
def test_upsample_torch(benchmark: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    maps = torch.from_numpy(MAPS)[None]
    benchmark(lambda: torch.nn.functional.interpolate(maps, size=SIZE, mode="bilinear"))
    torch.set_num_threads(threads)


@pytest.mark.benchmark(group="one photo")
def test_confusion(benchmark: Callable[..., Any]) -> None:
    prediction = np.where(TRUTH == 8, 15, TRUTH).astype(np.uint8)
    benchmark(ConfusionAccumulator(NUM_CLASSES).update, prediction, TRUTH)


@pytest.mark.benchmark(group="one photo")
def test_pixel_precision(benchmark: Callable[..., Any]) -> None:
    benchmark(PixelPrecisionAccumulator(NUM_CLASSES).update, upsample(MAPS, SIZE), CLASSES, TRUTH)

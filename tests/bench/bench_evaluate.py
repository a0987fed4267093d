"""What judging costs: `python -m tests.bench.bench_evaluate`. One VOC-sized photo with two classes, in one thread.

The pass over every threshold stands beside what other programs do: a mask, then a confusion matrix, for each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from camkit.evaluate import (
    DEFAULT_THRESHOLDS,
    ConfusionAccumulator,
    PixelPrecisionAccumulator,
    SweepAccumulator,
)
from camkit.upsample import upsample

SIZE, STORED, NUM_CLASSES = (375, 500), (94, 125), 20
CLASSES = np.array([7, 14])
MAPS = np.random.default_rng(0).random((2, *STORED), dtype=np.float32)
TRUTH = np.kron(np.random.default_rng(1).choice([0, 0, 8, 15, 255], size=(75, 100)), np.ones((5, 5))).astype(np.uint8)
ROUNDS = 7


def milliseconds(*works: Callable[[], Any]) -> list[float]:
    """Of each the minimum; they take turns, so that a busy machine is unfair to none."""
    best = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for number, work in enumerate(works):
            start = time.perf_counter()
            work()
            best[number] = min(best[number], 1e3 * (time.perf_counter() - start))
    return best


def a_mask_per_threshold(count: int) -> None:
    """Argmax over the threshold and the maps, then a confusion matrix, for each threshold."""
    known = TRUTH != 255
    truth = TRUTH[known].astype(np.int64)
    maps = upsample(MAPS, SIZE)
    for threshold in DEFAULT_THRESHOLDS[-count:]:
        stack = np.concatenate([np.full((1, *SIZE), threshold, dtype=np.float32), maps])
        mask = np.array([0, *(CLASSES + 1)])[stack.argmax(axis=0)]
        np.bincount(truth * (NUM_CLASSES + 1) + mask[known], minlength=(NUM_CLASSES + 1) ** 2)


def main() -> None:
    torch.set_num_threads(1)
    for count in (1, 100):
        sweep = SweepAccumulator(NUM_CLASSES, DEFAULT_THRESHOLDS if count == 100 else [0.3])
        own, others = milliseconds(
            lambda sweep=sweep: sweep.update(upsample(MAPS, SIZE), CLASSES, TRUTH),
            lambda count=count: a_mask_per_threshold(count),
        )
        print(f"{count:3} thresholds: {own:.1f} ms, a mask for each {others:.1f} ms: {others / own:.2f} times as long")
    maps = torch.from_numpy(MAPS)[None]
    own, theirs = milliseconds(
        lambda: upsample(MAPS, SIZE), lambda: torch.nn.functional.interpolate(maps, size=SIZE, mode="bilinear")
    )
    print(f"upsample: {own:.2f} ms, torch {theirs:.2f} ms")
    large, prediction = upsample(MAPS, SIZE), np.where(TRUTH == 8, 15, TRUTH).astype(np.uint8)
    confusion, precision = ConfusionAccumulator(NUM_CLASSES), PixelPrecisionAccumulator(NUM_CLASSES)
    counted, ranked = milliseconds(
        lambda: confusion.update(prediction, TRUTH), lambda: precision.update(large, CLASSES, TRUTH)
    )
    print(f"one photo: confusion {counted:.2f} ms, average precision of pixels {ranked:.2f} ms")


if __name__ == "__main__":
    main()

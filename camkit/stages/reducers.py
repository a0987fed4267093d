"""What `evaluate` counts, by the kind of the predictions: each is fed records with an upstream activation and truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from camkit.errors import InputError, UsageError
from camkit.evaluate.bootstrap import Tallies, TallyAccumulator
from camkit.evaluate.confusion import Confusion, ConfusionAccumulator
from camkit.evaluate.precision import PixelPrecisionAccumulator
from camkit.evaluate.seeds import SignedSeedAccumulator
from camkit.evaluate.sweep import Sweep, SweepAccumulator
from camkit.methods.seeds import mask_of_probs
from camkit.pipeline.run import Mergeable
from camkit.stages.mask_rules import masks_of_batch
from camkit.store.schema import in_words, kind_of, kinds_that
from camkit.types import Activation, Record
from camkit.upsample import upsample


@dataclass(frozen=True)
class Measures:
    """Counts over the data set, and how the threshold was found."""

    confusion: Confusion
    average_precision: np.ndarray | None = None
    threshold: float | None = None
    threshold_choice: str = ""
    sweep: Sweep | None = None
    seeds: Mapping[float, Confusion] | None = None


def reducer_for(
    kind: str,
    num_classes: int,
    thresholds: Sequence[float] | np.ndarray,
    margins: Sequence[float],
    rows: Sequence[int] | None = None,
) -> Mergeable[Measures]:
    """rows: the classes whose mean is to be highest at the best threshold; None: all."""
    rule = kind_of(kind).mask
    if rule is None:
        takes = in_words(kinds_that(lambda kind: kind.mask))
        raise UsageError(f"a {kind} store says nothing about pixels; evaluate takes {takes}")
    if rule == "threshold":
        return MapsReducer(num_classes, thresholds, rows)
    return SignedReducer(num_classes, margins) if rule == "sign" else MasksReducer(num_classes)


class MapsReducer:
    """Every threshold at once, and the average precision of pixels."""

    def __init__(
        self, num_classes: int, thresholds: Sequence[float] | np.ndarray, rows: Sequence[int] | None = None
    ) -> None:
        self.rows = rows
        self.thresholds = [float(threshold) for threshold in thresholds]
        self.sweep = SweepAccumulator(num_classes, thresholds)
        self.precision = PixelPrecisionAccumulator(num_classes)

    def update(self, record: Record) -> None:
        activation, truth = judged(record)
        maps = upsample(activation.values, activation.size)
        self.sweep.update(maps, activation.classes, truth)
        self.precision.update(maps, activation.classes, truth)

    def merge(self, other: MapsReducer) -> None:
        self.sweep.merge(other.sweep)
        self.precision.merge(other.precision)

    def compute(self) -> Measures:
        sweep = self.sweep.compute()
        best = sweep.best_over(self.rows)
        count = len(self.thresholds)
        choice = "fixed" if count == 1 else f"best of {count} by mIoU on this ground truth"
        return Measures(
            confusion=sweep.at(best),
            average_precision=self.precision.compute(),
            threshold=self.thresholds[best],
            threshold_choice=choice,
            sweep=sweep if count > 1 else None,
        )


class MasksReducer:
    """Masks as they are; probabilities by their most probable class."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.confusion = ConfusionAccumulator(num_classes)

    def update(self, record: Record) -> None:
        activation, truth = judged(record)
        mask = activation.values
        if mask.ndim == 3:
            probs = upsample(mask, activation.size)
            mask = mask_of_probs(probs, activation.classes, self.num_classes)
        self.confusion.update(mask, truth)

    def merge(self, other: MasksReducer) -> None:
        self.confusion.merge(other.confusion)

    def compute(self) -> Measures:
        return Measures(self.confusion.compute())


class SignedReducer:
    """Seeds at each margin, and the average precision of pixels. The report's own figures are those of margin 0."""

    def __init__(self, num_classes: int, margins: Sequence[float]) -> None:
        self.margins = [0.0, *(margin for margin in margins if margin != 0)]
        self.seeds = SignedSeedAccumulator(num_classes, self.margins)
        self.precision = PixelPrecisionAccumulator(num_classes)

    def update(self, record: Record) -> None:
        activation, truth = judged(record)
        scores = upsample(activation.values, activation.size)
        self.seeds.update(scores, activation.classes, truth)
        self.precision.update(scores, activation.classes, truth)

    def merge(self, other: SignedReducer) -> None:
        self.seeds.merge(other.seeds)
        self.precision.merge(other.precision)

    def compute(self) -> Measures:
        seeds = dict(zip(self.margins, self.seeds.compute(), strict=True))
        return Measures(
            confusion=seeds[0.0],
            average_precision=self.precision.compute(),
            threshold=0.0,
            threshold_choice="the sign of the score",
            seeds=seeds,
        )


class TallyReducer:
    """What each image adds to mIoU, as a mask at a threshold."""

    def __init__(self, kind: str, threshold: float, num_classes: int) -> None:
        self.tallies = TallyAccumulator(num_classes)
        self._masks = partial(masks_of_batch, kind=kind_of(kind), threshold=threshold, num_classes=num_classes)

    def update(self, record: Record) -> None:
        _, truth = judged(record)
        (mask,) = self._masks([record])
        self.tallies.update(record.id, mask.values, truth)

    def merge(self, other: TallyReducer) -> None:
        self.tallies.merge(other.tallies)

    def compute(self) -> Tallies:
        return self.tallies.compute()


def judged(record: Record) -> tuple[Activation, np.ndarray]:
    """The prediction and the truth of a record; they must be of one size."""
    if record.upstream is None or record.truth is None:
        raise ValueError(f"{record.id}: evaluate needs a prediction and its ground truth")
    size, truth = record.upstream.size, record.truth
    if size != truth.shape:
        raise InputError(
            f"size mismatch: the prediction is for a photo of {size[1]}x{size[0]}, "
            f"the ground truth is {truth.shape[1]}x{truth.shape[0]}"
        )
    return record.upstream, truth

"""`camkit review`: which masks are most doubtful, by what the stores themselves say."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camkit.data.reading import examples
from camkit.defaults import MASK_THRESHOLD
from camkit.errors import InputError, UsageError
from camkit.pipeline.progress import show_progress
from camkit.stages.mask_rules import masks_of_batch
from camkit.store.reader import Reader, open_store
from camkit.store.schema import in_words, kinds_that
from camkit.types import Activation, Doubt, Record

log = logging.getLogger("camkit")


@dataclass(frozen=True)
class Doubtful:
    """An image and how doubtful its mask is, from 0 to 1."""

    id: str
    doubt: float


def review(
    stores: Sequence[Path | str], *, by: Doubt | None = None, threshold: float = MASK_THRESHOLD, top: int | None = None
) -> list[Doubtful]:
    """The most doubtful first.

    by  entropy: of pixels' probabilities, the mean over pixels that are not surely background; margin: the share of
        pixels whose value is within a tenth of the threshold, of those above it or near; disagreement: 1 - the mean
        IoU of two stores' masks. None: disagreement of two stores, entropy of probabilities, margin of maps
    """
    readers = [open_store(store) for store in stores]
    try:
        chosen = by or _usual(readers)
        _check(readers, chosen, [str(store) for store in stores])
        common = sorted(set.intersection(*(set(reader.ids) for reader in readers)))
        if not common:
            raise InputError(f"the stores have no image in common: {examples(readers[0].ids)}")
        found = []
        with show_progress("review", len(common)) as progress:
            for id in common:
                found.append(Doubtful(id, _doubt(readers, id, chosen, threshold)))
                progress.advance()
    finally:
        for reader in readers:
            reader.close()
    return sorted(found, key=lambda one: (-one.doubt, one.id))[:top]


def _usual(readers: Sequence[Reader]) -> Doubt:
    if len(readers) == 2:
        return "disagreement"
    return "entropy" if readers[0].header.holds.background else "margin"


def _check(readers: Sequence[Reader], by: Doubt, names: Sequence[str]) -> None:
    kinds = [reader.header.holds for reader in readers]
    if len(readers) != (2 if by == "disagreement" else 1):
        raise UsageError(f"--by {by} takes {'two stores' if by == 'disagreement' else 'one store'}")
    if by == "disagreement":
        for kind, name in zip(kinds, names, strict=True):
            if not kind.masks_in_passing:
                takes = in_words(kinds_that(lambda kind: kind.masks_in_passing))
                raise UsageError(f"{name} holds {kind.name}; --by disagreement takes {takes}")
        if readers[0].header.classes != readers[1].header.classes:
            raise InputError(f"{names[0]} and {names[1]} are about other classes")
    elif by == "entropy" and not kinds[0].background:
        raise UsageError(f"{names[0]} holds {kinds[0].name}; --by entropy takes probabilities (camkit crf, segment)")
    elif by == "margin" and not kinds[0].thresholded:
        raise UsageError(f"{names[0]} holds {kinds[0].name}; --by margin takes maps")


def _doubt(readers: Sequence[Reader], id: str, by: Doubt, threshold: float) -> float:
    first = readers[0].read(id)
    if by == "entropy":
        return entropy(first.values)
    if by == "margin":
        return margin(first.values, threshold)
    masks = [_mask(reader, reader.read(id), threshold) for reader in readers]
    return disagreement(*masks)


def entropy(probs: np.ndarray) -> float:
    """[1 + C, h, w] → mean over the pixels that are not background beyond doubt, as a share of the largest possible."""
    unsure = probs[0] < 0.99
    if len(probs) < 2 or not unsure.any():
        return 0.0
    chosen = np.clip(probs[:, unsure], 1e-6, 1)
    return float(-(chosen * np.log(chosen)).sum(axis=0).mean() / np.log(len(probs)))


def margin(maps: np.ndarray, threshold: float, reach: float = 0.1) -> float:
    """[C, h, w] → of the pixels above the threshold or near it, the share of those near. Nothing above is all doubt."""
    if not len(maps):
        return 0.0
    largest = maps.max(axis=0)
    near = np.abs(largest - threshold) < reach
    relevant = near | (largest > threshold)
    return float(near.sum() / relevant.sum()) if relevant.any() else 1.0


def disagreement(one: np.ndarray, other: np.ndarray) -> float:
    """1 - mean IoU of two masks [H, W] over the classes that either has; undecided pixels are left out."""
    known = (one < np.iinfo(one.dtype).max) & (other < np.iinfo(other.dtype).max)
    a, b = one[known], other[known]
    ious: Mapping[int, float] = {
        value: float(((a == value) & (b == value)).sum() / ((a == value) | (b == value)).sum())
        for value in np.union1d(a, b).tolist()
    }
    return 1 - float(np.mean([*ious.values()])) if ious else 1.0


def _mask(reader: Reader, activation: Activation, threshold: float) -> np.ndarray:
    record = Record(activation.id, activation.size, upstream=activation)
    classes = len(reader.header.classes)
    (made,) = masks_of_batch([record], kind=reader.header.holds, threshold=threshold, num_classes=classes)
    return made.values

"""How masks are made of what a store of any kind holds: by a threshold, by the largest probability, by ICD's rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from camkit.data.saliency import read_saliency
from camkit.errors import InputError, StoreError, UsageError
from camkit.methods.icd_seeds import jointly_normalised, seeds_of_scores
from camkit.methods.seeds import mask_of_maps, mask_of_probs
from camkit.pipeline.run import Step
from camkit.store.reader import Reader
from camkit.store.schema import Kind, in_words, kinds_that
from camkit.types import Activation, Record, no_classes
from camkit.upsample import upsample


@dataclass(frozen=True)
class Witnesses:
    """What ICD's rule asks besides the scores: a classifier's signed CAMs or maps, and saliency maps by id."""

    cams: Reader | None = None
    saliency: Mapping[str, Path] = field(default_factory=dict)


NO_WITNESSES = Witnesses()


def step_for(store: Reader, threshold: float, witnesses: Witnesses = NO_WITNESSES) -> Step:
    """How masks are made of what the store holds."""
    kind, classes = store.header.holds, len(store.header.classes)
    if kind.mask is None:
        takes = in_words(kinds_that(lambda kind: kind.mask))
        raise UsageError(f"a {kind.name} store has nothing to make masks of; camkit mask takes {takes}")
    return partial(masks_of_batch, kind=kind, threshold=threshold, num_classes=classes, witnesses=witnesses)


def masks_of_batch(
    batch: Sequence[Record], *, kind: Kind, threshold: float, num_classes: int, witnesses: Witnesses = NO_WITNESSES
) -> list[Activation]:
    masks = []
    for record in batch:
        assert record.upstream is not None
        values, classes, size = record.upstream.values, record.upstream.classes, record.size
        if kind.thresholded:
            values = mask_of_maps(upsample(values, size), classes, threshold, num_classes)
        elif kind.is_signed:
            values = seeds_of(record.upstream, num_classes, witnesses)
        elif not kind.is_mask:
            values = mask_of_probs(upsample(values, size), classes, num_classes)
        masks.append(Activation(record.id, values, no_classes(), size))
    return masks


def seeds_of(scores: Activation, num_classes: int, witnesses: Witnesses = NO_WITNESSES) -> np.ndarray:
    """[H, W] by ICD's rule; StoreError or InputError where a witness has nothing to say of this image."""
    size, cams, saliency = scores.size, None, None
    if witnesses.cams is not None and len(scores.classes) > 1:
        cams = _cams_of(scores, witnesses.cams)
    if witnesses.saliency:
        if scores.id not in witnesses.saliency:
            raise InputError("there is no saliency map of it")
        saliency = upsample(read_saliency(witnesses.saliency[scores.id])[None], size)[0]
    return seeds_of_scores(upsample(scores.values, size), scores.classes, num_classes, cams, saliency)


def _cams_of(scores: Activation, store: Reader) -> np.ndarray:
    """Those of the classes of the scores: [C_i, H, W]."""
    found = store.read(scores.id)
    missing = set(scores.classes.tolist()) - set(found.classes.tolist())
    if missing or found.size != scores.size:
        what = "a photo of another size" if found.size != scores.size else "other classes"
        raise StoreError(f"{store.path_of(scores.id)} is about {what}; make scores and maps of the same photos")
    chosen = np.searchsorted(found.classes, scores.classes)
    cams = upsample(found.values[chosen], scores.size)
    return jointly_normalised(cams) if store.header.holds.is_signed else cams

"""What a segmentation network learns from: photos, pseudo masks, saliency; what can be wrong is told before."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.data.images import ImageSet, pick_images
from camkit.data.reading import examples
from camkit.data.saliency import find_saliency
from camkit.defaults import MASK_THRESHOLD
from camkit.errors import CamkitError, InputError, LabelError, UsageError
from camkit.pipeline.load import Failure
from camkit.pipeline.upstream import photos_at
from camkit.settings.segmentation import Bright, Teaching
from camkit.stages.predictions import Predictions, open_predictions
from camkit.store.schema import in_words, kind_of, kinds_that

if TYPE_CHECKING:
    from camkit.training.segmentation import Lessons, Reading

log = logging.getLogger("camkit")

MOST_CLASSES = 254
LOOKED_AT = 200
"""So many photos, spread evenly, tell whether labels are there and which way round saliency is."""
LONGEST = 160
"""Pixels that they are looked at with."""


@dataclass(frozen=True)
class Photos:
    """Which photos are learned from. images: None: where those of the store were; classes: of a folder of PNGs."""

    images: Path | None = None
    list: str | None = None
    limit: int | None = None
    classes: str | None = None


@dataclass(frozen=True)
class Pictures:
    """Saliency maps: where they are, and what bright means."""

    folder: Path
    bright: Bright


@dataclass(frozen=True, eq=False)
class PseudoMasks:
    """ids: of the photos with a label; saliency: the map of each of these that has one."""

    source: Predictions
    photos: ImageSet
    ids: tuple[str, ...]
    saliency: Mapping[str, Path]
    reading: Reading

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    def lessons(self, ids: Sequence[str]) -> Lessons:
        from camkit.training.classify import Item
        from camkit.training.segmentation import Lessons

        items = [Item(id, self.photos.paths[id], ()) for id in ids]
        return Lessons(items, self.source.read, self.saliency)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for id in self.ids:
            digest.update(json.dumps([id, id in self.saliency]).encode() + b"\n")
        return {"count": len(self.ids), "sha256": digest.hexdigest(), "images": str(self.photos.root.resolve())}


@contextmanager
def open_pseudo_masks(
    sources: Sequence[Path], wanted: Photos, teaching: Teaching, pictures: Pictures | None
) -> Iterator[PseudoMasks]:
    from camkit.training.segmentation import Reading

    with open_predictions(sources, wanted.classes) as source:
        _check_source(source, teaching)
        photos = find_labelled(source, wanted)
        ids = tuple(photos.paths)
        threshold = MASK_THRESHOLD if teaching.threshold is None else teaching.threshold
        dark = pictures is not None and pictures.bright == "background"
        reading = Reading(kind_of(source.kind), len(source.classes), threshold, teaching.soft, dark)
        maps = {} if pictures is None else find_saliency(pictures.folder)
        found = PseudoMasks(source, photos, ids, {id: maps[id] for id in ids if id in maps}, reading)
        _look(found, pictures)
        yield found


def find_labelled(source: Predictions, wanted: Photos) -> ImageSet:
    """The photos that have a label."""
    photos = photos_at(source.image_root, wanted.images, source.source, wanted.list, beside=source.beside)
    known = frozenset(source.ids)
    ids = [id for id in photos.paths if id in known]
    if not ids:
        raise InputError(
            f"{source.source} has a label of none of the {len(photos.paths)} photos in {photos.root}: "
            f"{examples(sorted(known))} against {examples([*photos.paths])}"
        )
    if len(ids) < len(photos.paths):
        log.warning("%d of %d photos have no label and are left out", len(photos.paths) - len(ids), len(photos.paths))
    return pick_images(photos, ids[: wanted.limit])


def _check_source(source: Predictions, teaching: Teaching) -> None:
    kind, there = kind_of(source.kind), f"{source.source} holds {source.kind}"
    if not kind.masks_in_passing:
        takes = in_words(kinds_that(lambda kind: kind.masks_in_passing))
        raise UsageError(f"{there}; take {takes} (camkit mask makes masks)")
    if teaching.threshold is not None and not kind.thresholded:
        raise UsageError(f"--threshold is for maps, but {there}")
    if teaching.soft and not kind.background:
        raise UsageError(f"--soft is for probs (camkit crf), but {there}")
    if len(source.classes) > MOST_CLASSES:
        raise LabelError(f"{source.source} has {len(source.classes)} classes; at most {MOST_CLASSES} can be learned")


def _look(found: PseudoMasks, pictures: Pictures | None) -> None:
    """At some of the photos: is anything labelled, and does saliency fit labels the right way round?"""
    step = max(1, len(found.ids) // LOOKED_AT)
    right, wrong, agreements, labelled, seen = 0, 0, [], 0, 0
    for id in found.ids[::step]:
        try:
            mask = _mask(found, id)
            saliency = _saliency(found, id, mask)
        except CamkitError:
            continue  # it fails in the training, and is told there
        seen += 1
        labelled += bool((mask != 255).any())
        if saliency is None or not ((mask != 0) & (mask != 255)).any():
            continue
        straight, turned = (_agreement(mask, plane) for plane in (saliency, 1 - saliency))
        right, wrong = right + (straight >= turned), wrong + (straight < turned)
        agreements.append(straight)
    if seen and not labelled:
        raise InputError(f"{found.source.source} has no label in any of {seen} masks: all is 255, undecided")
    if pictures is not None:
        _check_polarity(found, pictures, right, wrong, agreements)


def _mask(found: PseudoMasks, id: str) -> np.ndarray:
    from camkit.training.segmentation import shrunk

    labels = found.source.read(id)
    if isinstance(labels, Failure):
        raise labels.error
    return shrunk(found.reading.mask(labels), LONGEST)


def _saliency(found: PseudoMasks, id: str, mask: np.ndarray) -> np.ndarray | None:
    if id not in found.saliency:
        return None
    return found.reading.saliency(found.saliency[id], (mask.shape[0], mask.shape[1]))


def _agreement(mask: np.ndarray, saliency: np.ndarray) -> float:
    import torch

    from camkit.methods.segmentation import agreement

    return float(agreement(torch.tensor(mask)[None].long(), torch.tensor(saliency)[None])[0])


def _check_polarity(
    found: PseudoMasks, pictures: Pictures, right: int, wrong: int, agreements: Sequence[float]
) -> None:
    if not found.saliency:
        raise InputError(f"{pictures.folder} has no saliency map of any of the {len(found.ids)} photos")
    other = "foreground" if pictures.bright == "background" else "background"
    if wrong > right:
        raise UsageError(
            f"{pictures.folder}: taken as bright {pictures.bright}, saliency fits the background of the labels better "
            f"than their objects on {wrong} of {right + wrong} photos\n"
            f"give --saliency-is {other}, or better saliency"
        )
    without = len(found.ids) - len(found.saliency)
    fits = f", as it fits the labels of {right} of {right + wrong} photos" if agreements else ""
    mean = f", agreement {np.mean(agreements):.2f} on average" if agreements else ""
    log.info("saliency: bright is %s%s%s", pictures.bright, fits, mean)
    if without:
        log.warning("%d of %d photos have no saliency map: they learn from their labels alone", without, len(found.ids))

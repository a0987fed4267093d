"""Which images, with which labels: listing, labels, sharding. Everything a user can get wrong is found here, before
any computing begins."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.data.classes import default_classes, read_classes
from camkit.data.images import ImageSet, find_images, pick_images
from camkit.data.labels import Labels, find_labels, missing_labels, read_labels
from camkit.data.reading import HDF5_SIGNATURE, is_file
from camkit.defaults import SCORE_THRESHOLD
from camkit.errors import LabelError, UsageError
from camkit.store.reader import open_store
from camkit.store.schema import shard_ids
from camkit.types import Unlabelled

log = logging.getLogger("camkit")

Shard = tuple[int, int]

PREDICTED = "predicted"
"""As `labels`: the classes that the classifier predicts, whatever labels are there."""
SCORES = "scores above"


@dataclass(frozen=True)
class Inputs:
    """What the user brought.

    images   a folder, a VOC root, one image, a pattern, a text file of paths, or several; `-`: a list on standard input
    list     a file of ids, or the name of a VOC split: only these
    labels   where the image-level labels are, or `predicted`; None: a VOC root's own, else predicted
    classes  voc, coco or a file of names; None: what the checkpoint says
    limit    only the first so many images
    shard    (i, n): every n-th image, beginning with the i-th
    score_threshold  a class is predicted present when its score is above; at least the best one is
    unlabelled  images that the labels do not speak of: stop with an error, skip them, or predict their classes
    """

    images: Path | tuple[Path, ...]
    list: str | None = None
    labels: Path | None = None
    classes: str | None = None
    limit: int | None = None
    shard: Shard | None = None
    score_threshold: float = SCORE_THRESHOLD
    unlabelled: Unlabelled = "stop"

    if TYPE_CHECKING:  # paths may be given as text, and are always read as paths

        def __init__(
            self,
            images: Path | str | Sequence[Path | str],
            list: str | None = None,
            labels: Path | str | None = None,
            classes: str | None = None,
            limit: int | None = None,
            shard: Shard | None = None,
            score_threshold: float = SCORE_THRESHOLD,
            unlabelled: Unlabelled = "stop",
        ) -> None: ...

    def __post_init__(self) -> None:
        named = (self.images,) if isinstance(self.images, str | Path) else self.images
        paths = tuple(map(Path, named))
        object.__setattr__(self, "images", paths[0] if len(paths) == 1 else paths)
        object.__setattr__(self, "labels", None if self.labels is None else Path(self.labels))

    @property
    def places(self) -> tuple[Path, ...]:
        """Where the images are."""
        return (self.images,) if isinstance(self.images, Path) else self.images

    @property
    def files(self) -> tuple[Path, ...]:
        """What it names on disk; a split and a well-known set of classes are names, too."""
        named = (Path(name) for name in (self.list, self.classes) if name is not None)
        return (*self.places, *([self.labels] if self.labels else []), *(path for path in named if is_file(path)))


@dataclass(frozen=True)
class Selection:
    """The images to work on and what is known of their classes (labels None: to be predicted)."""

    images: ImageSet
    classes: tuple[str, ...]
    labels: Labels | None
    shard: Shard

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.images.paths)

    @property
    def own_ids(self) -> tuple[str, ...]:
        """The ids of this shard."""
        return tuple(shard_ids(self.ids, self.shard))

    def classes_of(self, id: str) -> np.ndarray | None:
        if self.labels is None or id not in self.labels.present:
            return None
        return np.asarray(self.labels.present[id], dtype=np.int64)

    @property
    def predicts(self) -> bool:
        """Whether the classifier has to say which classes some images have."""
        return self.labels is None or any(id not in self.labels.present for id in self.images.paths)

    def describe(self) -> dict[str, Any]:
        """For the provenance: where the images are, and a digest of ids and labels, tell whether a run is the same.

        Not the files themselves: a broken photo may be mended between a run and the next.
        """
        digest = hashlib.sha256()
        for id in self.ids:
            known = None if self.labels is None else self.labels.present.get(id)
            present = None if known is None else list(known)
            digest.update(json.dumps([id, present]).encode() + b"\n")
        return {
            "count": len(self.ids),
            "sha256": digest.hexdigest(),
            "images": str(self.images.root.resolve()),
            "labels": PREDICTED if self.labels is None else self.labels.source,
        }


def select(inputs: Inputs, classes: tuple[str, ...], *, need_labels: bool = True) -> Selection:
    """List the images and find their labels, in terms of the given classes."""
    images = find_images(inputs.images, inputs.list, inputs.limit)
    labels = resolve_labels(inputs, images, classes) if need_labels else None
    if labels is not None and inputs.unlabelled == "skip":
        images = pick_images(images, [id for id in images.paths if id in labels.present])
    return Selection(images, classes, labels, inputs.shard or shard_of_environment())


def resolve_classes(spec: str | None, known: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Class names for a classifier of `count` classes: the user's, the checkpoint's, or the usual ones."""
    if spec is None:
        return tuple(known) if known else default_classes(count)
    names = read_classes(spec)
    if len(names) != count:
        raise LabelError(
            f"--classes {spec} names {len(names)} classes, but the classifier has {count}; "
            "give one name per classifier output, without background"
        )
    return names


def resolve_labels(inputs: Inputs, images: ImageSet, classes: tuple[str, ...]) -> Labels | None:
    """The user's labels, or a VOC root's own; None where there are none, or the classifier is to predict them."""
    ids = images.paths.keys()
    if wants_predicted(inputs):
        return None
    if inputs.labels is None:
        labels = find_labels(images, classes, ids)
    elif is_hdf5(inputs.labels):
        labels = _labels_from_scores(inputs.labels, classes, inputs.score_threshold)
    else:
        labels = read_labels(inputs.labels, classes, ids)
    if labels is not None:
        labels = _complete(labels, ids, inputs.unlabelled)
        log.info("labels: %s", labels.source)
    return labels


def _complete(labels: Labels, ids: Collection[str], unlabelled: Unlabelled) -> Labels:
    """With a word about images without labels, in the source if the classifier is to predict theirs."""
    missing = missing_labels(labels, ids)
    if not missing:
        return labels
    if unlabelled == "stop":
        raise LabelError(
            f"{missing}\nlabel them, leave them out with --unlabelled skip, or take what the classifier sees with "
            "--unlabelled predict"
        )
    what = "they are left out" if unlabelled == "skip" else "the classifier predicts theirs"
    log.warning("%s; %s", missing, what)
    if unlabelled == "skip":
        return labels
    count = sum(id not in labels.present for id in ids)
    return replace(labels, source=f"{labels.source}, {count} of {len(ids)} images {PREDICTED} by the classifier")


def _labels_from_scores(path: Path, classes: tuple[str, ...], threshold: float) -> Labels:
    with open_store(path) as store:
        if not store.header.holds.per_photo:
            raise LabelError(f"{path} is a {store.header.kind} store; --labels takes a scores store (camkit classify)")
        if store.header.classes != classes:
            raise LabelError(f"{path} scores other classes than the classifier has; run camkit classify with it")
        present = {a.id: tuple(int(c) for c in predicted_classes(a.values, threshold)) for a in store}
    return Labels(f"{SCORES} {threshold:g} ({path})", present)


def wants_predicted(inputs: Inputs) -> bool:
    """A file of that name would have to be given as ./predicted."""
    return inputs.labels is not None and str(inputs.labels) == PREDICTED


def say_predicted(inputs: Inputs) -> None:
    """What a user is told whose photos get the classes that the classifier predicts."""
    given = "" if wants_predicted(inputs) else "no labels given: "
    log.info("%sthe classes are those the classifier predicts", given)


def tag_words(sources: Iterable[str]) -> str:
    """'predicted by the classifier', 'given (VOC XML)'; "" where nothing is known."""
    predicted = {source: source == PREDICTED or source.startswith(SCORES) for source in sources}
    return ", ".join(
        "predicted by the classifier" if by_classifier else f"given ({source})"
        for source, by_classifier in predicted.items()
    )


def predicted_classes(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Classes scoring above the threshold, at least the best one: [num_classes] → ascending indices."""
    present = np.flatnonzero(scores > threshold)
    return present if present.size else np.asarray([int(np.argmax(scores))])


def parse_shard(text: str | None) -> Shard | None:
    """'i/n', counted from 0 or from 1: i is taken modulo n, so 0/3, 1/3, 2/3 cover all, and so do 1/3, 2/3, 3/3."""
    if text is None:
        return None
    first, slash, second = text.partition("/")
    if not slash or not first.isdecimal() or not second.isdecimal() or not 0 <= int(first) <= int(second) != 0:
        raise UsageError(f"--shard {text}: give it as i/n, for example 1/3, 2/3 and 3/3")
    return int(first) % int(second), int(second)


def shard_of_environment(environment: Mapping[str, str] = os.environ) -> Shard:
    """Under torchrun every rank takes its share; else one process takes all."""
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return 0, 1
    return int(environment["RANK"]), int(environment["WORLD_SIZE"])


def is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except OSError:
        return False

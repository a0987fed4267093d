"""What is judged: a store, or a folder of PNGs, and the ground truth beside each image of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from camkit.data.classes import VOC_CLASSES, read_classes
from camkit.data.exchange.source import MEMO
from camkit.data.masks import find_masks, read_mask
from camkit.errors import CamkitError, StoreError, UsageError
from camkit.pipeline.load import Failure, load_ahead, usable_cores
from camkit.pipeline.output import Runtime
from camkit.pipeline.progress import show_progress
from camkit.pipeline.run import Mergeable, fold_records
from camkit.pipeline.upstream import folders_of_input, name_of_input, open_input
from camkit.stages.ground_truth import GroundTruth
from camkit.store.reader import Reader
from camkit.types import Activation, Record, no_classes

log = logging.getLogger("camkit")

Result = TypeVar("Result")
MOST_THREADS = 8


@dataclass(frozen=True)
class Predictions:
    """What is to be judged: where it comes from, its kind, its classes, and how to read that of one image."""

    source: str
    kind: str
    classes: tuple[str, ...]
    ids: Collection[str]
    read: Callable[[str], Activation | Failure]
    history: Mapping[str, Any] = field(default_factory=dict)
    image_root: str = ""
    beside: tuple[Path, ...] = ()


@contextmanager
def open_predictions(sources: Sequence[Path], classes: str | None) -> Iterator[Predictions]:
    """A folder of PNGs, or a store of any kind that says something about pixels."""
    if len(sources) == 1 and sources[0].is_dir():
        yield _folder_predictions(sources[0], classes)
        return
    with _open_shards(sources) as store:
        names = store.header.classes
        if classes is not None and read_classes(classes) != names:
            raise UsageError(f"--classes {classes} differs from the classes of the store; a store knows its own")
        history = store.header.provenance
        yield Predictions(
            name_of_input(sources), store.header.kind, names, store.ids, _catching(store.read), history,
            store.header.image_root, folders_of_input(store),
        )  # fmt: skip


@contextmanager
def _open_shards(sources: Sequence[Path]) -> Iterator[Reader]:
    """Of several stores that are no shards of one, a word on how several are judged."""
    with ExitStack() as stack:
        try:
            store = stack.enter_context(open_input(sources))
        except StoreError as error:
            if len(sources) < 2:
                raise
            each = " ".join(map(str, sources))
            raise StoreError(f"{error}\nto judge each of them: camkit evaluate {each} --gt … --compare") from None
        yield store


def _folder_predictions(folder: Path, classes: str | None) -> Predictions:
    masks = find_masks(folder)

    def read(id: str) -> Activation:
        mask = read_mask(masks[id])
        return Activation(id, mask, no_classes(), (mask.shape[0], mask.shape[1]))

    memo = _memo_of_folder(folder)
    history = memo.get("provenance")
    return Predictions(
        str(folder), "masks", _classes_of_folder(folder, classes, memo), masks.keys(), _catching(read),
        history if isinstance(history, dict) else {},
    )  # fmt: skip


def _memo_of_folder(folder: Path) -> Mapping[str, Any]:
    """What camkit wrote beside its PNGs; empty for the masks of another program."""
    try:
        memo = json.loads((folder / MEMO).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return memo if isinstance(memo, dict) else {}


def _classes_of_folder(folder: Path, classes: str | None, memo: Mapping[str, Any]) -> tuple[str, ...]:
    if classes is not None:
        return read_classes(classes)
    names = memo.get("classes")
    if isinstance(names, list) and names:
        return tuple(map(str, names))
    log.info("masks in %s: taken to hold the 20 VOC classes (see --classes)", folder)
    return VOC_CLASSES


def _catching(read: Callable[[str], Activation]) -> Callable[[str], Activation | Failure]:
    def attempt(id: str) -> Activation | Failure:
        try:
            return read(id)
        except CamkitError as error:
            return Failure(id, error)

    return attempt


def _with_truth(prediction: Activation | Failure, masks: GroundTruth) -> Record | Failure:
    if isinstance(prediction, Failure):
        return prediction
    try:
        truth = masks.read(prediction.id)
    except CamkitError as error:
        return Failure(prediction.id, error)
    return Record(prediction.id, prediction.size, upstream=prediction, truth=truth)


def fold_predictions(
    predictions: Predictions,
    ids: Sequence[str],
    masks: GroundTruth,
    make: Callable[[], Mergeable[Result]],
    runtime: Runtime,
) -> tuple[Result, Mapping[str, str]]:
    """Predictions and truths of these images into reducers, one for each core: the result, and failures by id.

    NumPy lets go of the interpreter lock where it counts.
    """
    threads = min(usable_cores(), MOST_THREADS, len(ids)) if runtime.workers else 0
    others = [make() for _ in range(threads if threads > 1 else 0)]
    requests = (predictions.read(id) for id in ids)
    records = load_ahead(requests, partial(_with_truth, masks=masks), workers=runtime.workers)
    with show_progress("evaluate", len(ids)) as progress:
        return fold_records(records, make(), progress=progress, on_error=runtime.on_error, others=others)

"""`camkit evaluate`: how well maps, probabilities, masks or signed scores agree with the ground truth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from camkit.data.classes import VOC_CLASSES, read_classes
from camkit.data.exchange.source import noted_names
from camkit.data.images import list_file
from camkit.data.lists import list_lines, read_id_list
from camkit.data.masks import find_masks, read_mask
from camkit.data.reading import examples
from camkit.data.voc import find_voc
from camkit.defaults import MASK_THRESHOLD, SEED_MARGINS
from camkit.errors import CamkitError, InputError, UsageError
from camkit.evaluate.parts import PartRecallAccumulator
from camkit.evaluate.report import PartRow, Report, make_report
from camkit.evaluate.sweep import DEFAULT_THRESHOLDS
from camkit.pipeline.load import Failure, load_ahead
from camkit.pipeline.output import Runtime
from camkit.pipeline.progress import show_progress
from camkit.pipeline.run import fold_records
from camkit.pipeline.upstream import Sources, name_of_input, open_input, paths_of
from camkit.stages.mask import masks_of_batch
from camkit.stages.reducers import reducer_for
from camkit.store.schema import kind_of
from camkit.types import Activation, Record, no_classes

log = logging.getLogger("camkit")


@dataclass(frozen=True)
class Predictions:
    """What is to be judged: where it comes from, its kind, its classes, and how to read that of one image."""

    source: str
    kind: str
    classes: tuple[str, ...]
    ids: Collection[str]
    read: Callable[[str], Activation | Failure]


def evaluate_predictions(
    sources: Sources,
    truth: Path | str,
    runtime: Runtime = Runtime(),
    *,
    list: str | None = None,
    classes: str | None = None,
    thresholds: Sequence[float] | None = None,
    margins: Sequence[float] | None = None,
    curve: bool = False,
    parts: Path | None = None,
) -> tuple[Report, Mapping[str, str]]:
    """Compare a store, or a folder of PNGs, with the masks of a folder or a VOC root: the report, and failures by id.

    thresholds  of a maps store: one is used as it is, of several (None: 0.00 … 0.99) the best by mIoU
    margins     of a store of signed scores: seeds are foreground above T and background below −T; None: 0 … 0.5
    curve       the report is to hold the figures at every threshold: UsageError where it cannot
    parts       a folder of masks of the objects' parts: 0 none, part + 1; the recall of each is reported
    """
    truth = Path(truth)
    masks = find_masks(truth)
    with open_predictions(paths_of(sources), classes) as predictions:
        _check_options(predictions, thresholds, margins, curve)
        wanted = _wanted_ids(list, truth, masks)
        known = masks.keys() if wanted is None else wanted
        ids = sorted(id for id in predictions.ids if id in known)
        if not ids:
            raise InputError(
                f"{predictions.source} and {truth} have no image in common: "
                f"{examples(sorted(predictions.ids))} against {examples(sorted(known))}"
            )
        reducer = reducer_for(
            predictions.kind,
            len(predictions.classes),
            DEFAULT_THRESHOLDS if thresholds is None else thresholds,
            SEED_MARGINS if margins is None else margins,
        )
        requests = (predictions.read(id) for id in ids)
        records = load_ahead(requests, partial(_with_truth, masks=masks), workers=runtime.workers)
        with show_progress("evaluate", len(ids)) as progress:
            measures, failures = fold_records(records, reducer, progress=progress, on_error=runtime.on_error)
        threshold = MASK_THRESHOLD if measures.threshold is None else measures.threshold
        found = () if parts is None else recall_of_parts(predictions, ids, masks, parts, threshold)
    report = make_report(
        measures.confusion,
        predictions.classes,
        average_precision=measures.average_precision,
        threshold=measures.threshold,
        threshold_choice=measures.threshold_choice,
        sweep=measures.sweep,
        seeds=measures.seeds,
        missing_predictions=set(known) - set(predictions.ids),
        missing_truth=set() if list else set(predictions.ids) - set(masks),
        split=list or "",
        truth=str(truth),
        sources=(predictions.source,),
    )
    return replace(report, parts=found), failures


def recall_of_parts(
    predictions: Predictions, ids: Sequence[str], masks: Mapping[str, Path], folder: Path, threshold: float
) -> tuple[PartRow, ...]:
    """In a second pass, for the best threshold is known after the first only."""
    names = [*list_lines(folder / "names.txt")] if (folder / "names.txt").is_file() else []
    parts = find_masks(folder)
    missing = [id for id in ids if id not in parts]
    if missing:
        raise InputError(f"{folder} has no part mask of {len(missing)} of {len(ids)} images: {examples(missing)}")
    counts = PartRecallAccumulator()
    classes = len(predictions.classes)
    for id in ids:
        activation = predictions.read(id)
        if isinstance(activation, Activation):
            record = Record(id, activation.size, upstream=activation)
            (made,) = masks_of_batch([record], kind=kind_of(predictions.kind), threshold=threshold, num_classes=classes)
            counts.update(made.values, read_mask(masks[id]), read_mask(parts[id]))
    return tuple(
        PartRow(names[number - 1] if number <= len(names) else str(number), recall, pixels)
        for number, recall, pixels in counts.compute()
    )


def _check_options(
    predictions: Predictions, thresholds: Sequence[float] | None, margins: Sequence[float] | None, curve: bool
) -> None:
    """UsageError for what has no effect on predictions of this kind."""
    kind, there = kind_of(predictions.kind), f"{predictions.source} holds {predictions.kind}"
    if thresholds is not None and not kind.thresholded:
        raise UsageError(f"--threshold is for maps, but {there}")
    if margins is not None and not kind.is_signed:
        raise UsageError(f"--margins is for signed scores, but {there}")
    if curve and not kind.thresholded:
        raise UsageError(f"--curve is for maps, which are judged at every threshold, but {there}")
    if curve and thresholds is not None and len(thresholds) < 2:
        raise UsageError("--curve needs more than the one --threshold")


def _wanted_ids(list: str | None, truth: Path, masks: Mapping[str, Path]) -> set[str] | None:
    if list is None:
        return None
    return read_id_list(list_file(list, find_voc(truth)), masks, str(truth))


@contextmanager
def open_predictions(sources: Sequence[Path], classes: str | None) -> Iterator[Predictions]:
    """A folder of PNGs, or a store of any kind that says something about pixels."""
    if len(sources) == 1 and sources[0].is_dir():
        yield _folder_predictions(sources[0], classes)
        return
    with open_input(sources) as store:
        names = store.header.classes
        if classes is not None and read_classes(classes) != names:
            raise UsageError(f"--classes {classes} differs from the classes of the store; a store knows its own")
        yield Predictions(name_of_input(sources), store.header.kind, names, store.ids, _catching(store.read))


def _folder_predictions(folder: Path, classes: str | None) -> Predictions:
    masks = find_masks(folder)

    def read(id: str) -> Activation:
        mask = read_mask(masks[id])
        return Activation(id, mask, no_classes(), (mask.shape[0], mask.shape[1]))

    return Predictions(str(folder), "masks", _classes_of_folder(folder, classes), masks.keys(), _catching(read))


def _classes_of_folder(folder: Path, classes: str | None) -> tuple[str, ...]:
    if classes is not None:
        return read_classes(classes)
    noted = noted_names(folder)
    if noted is None:
        log.info("masks in %s: taken to hold the 20 VOC classes (see --classes)", folder)
    return noted or VOC_CLASSES


def _catching(read: Callable[[str], Activation]) -> Callable[[str], Activation | Failure]:
    def attempt(id: str) -> Activation | Failure:
        try:
            return read(id)
        except CamkitError as error:
            return Failure(id, error)

    return attempt


def _with_truth(prediction: Activation | Failure, masks: Mapping[str, Path]) -> Record | Failure:
    if isinstance(prediction, Failure):
        return prediction
    try:
        truth = read_mask(masks[prediction.id])
    except CamkitError as error:
        return Failure(prediction.id, error)
    return Record(prediction.id, prediction.size, upstream=prediction, truth=truth)

"""How predictions are measured against the ground truth: figures over the data set, of parts, and photo by photo."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from camkit.data.classes import ClassIndex, is_background
from camkit.data.images import list_file
from camkit.data.lists import list_lines, read_id_list
from camkit.data.masks import find_masks, read_mask
from camkit.data.reading import examples
from camkit.data.voc import find_voc
from camkit.defaults import MASK_THRESHOLD, SEED_MARGINS
from camkit.errors import InputError, UsageError
from camkit.evaluate import bootstrap
from camkit.evaluate.bootstrap import Tallies
from camkit.evaluate.parts import PartRecallAccumulator
from camkit.evaluate.report import PartRow, Report, make_report
from camkit.evaluate.sweep import DEFAULT_THRESHOLDS
from camkit.pipeline.output import Runtime
from camkit.pipeline.select import tag_words
from camkit.pipeline.upstream import Sources, paths_of
from camkit.stages.ground_truth import GroundTruth, find_truth, say_if_foreign
from camkit.stages.mask_rules import masks_of_batch
from camkit.stages.predictions import Predictions, fold_predictions, open_predictions
from camkit.stages.reducers import TallyReducer, reducer_for
from camkit.store.provenance import tag_sources
from camkit.store.schema import kind_of
from camkit.types import Activation, Record

log = logging.getLogger("camkit")


@dataclass(frozen=True, eq=False)
class Judged:
    """A report, failures by id, and photo by photo what its mean IoU is made of, if that was asked for."""

    report: Report
    failures: Mapping[str, str]
    tallies: Tallies | None = None


def judge_predictions(
    sources: Sources,
    truth: Path | str,
    runtime: Runtime,
    *,
    list: str | None = None,
    classes: str | None = None,
    thresholds: Sequence[float] | None = None,
    margins: Sequence[float] | None = None,
    curve: bool = False,
    parts: Path | None = None,
    mean_over: Sequence[str] | None = None,
    interval: bool = False,
    truth_classes: str | None = None,
    only: Collection[str] | None = None,
) -> Judged:
    """See camkit.stages.evaluate.evaluate_predictions; only: no other images than these."""
    truth = Path(truth)
    with open_predictions(paths_of(sources), classes) as predictions:
        masks = find_truth(truth, truth_classes, predictions.classes)
        _check_options(predictions, thresholds, margins, curve)
        wanted = _wanted_ids(list, truth, masks)
        known = masks.keys() if wanted is None else wanted
        ids = sorted(id for id in predictions.ids if id in known and (only is None or id in only))
        rows = None if mean_over is None else rows_of(mean_over, predictions.classes)
        if not ids:
            raise InputError(
                f"{predictions.source} and {truth} have no image in common: "
                f"{examples(sorted(predictions.ids))} against {examples(sorted(known))}"
            )
        make = partial(
            reducer_for,
            predictions.kind,
            len(predictions.classes),
            DEFAULT_THRESHOLDS if thresholds is None else thresholds,
            SEED_MARGINS if margins is None else margins,
            rows,
        )
        measures, failures = fold_predictions(predictions, ids, masks, make, runtime)
        if not failures:
            say_if_foreign(measures.confusion, predictions.classes)
        threshold = MASK_THRESHOLD if measures.threshold is None else measures.threshold
        found = () if parts is None else recall_of_parts(predictions, ids, masks, parts, threshold)
        tallies = None
        if interval:
            sure = [id for id in ids if id not in failures]
            counter = partial(TallyReducer, predictions.kind, threshold, len(predictions.classes))
            tallies, _ = fold_predictions(predictions, sure, masks, counter, runtime)
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
        tags=tag_words(tag_sources(predictions.history)),
        rows=rows,
        interval=None if tallies is None else bootstrap.interval(tallies, rows),
    )
    return Judged(replace(report, parts=found), failures, tallies)


def rows_of(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Background and these classes, by their place in the confusion matrix."""
    index = ClassIndex(classes)
    found = {name: index.find(name) for name in names if not is_background(name)}
    unknown = [name for name, place in found.items() if place is None]
    if unknown:
        told = f"{len(unknown)} of them are not among the classes {examples(classes)}: {examples(unknown)}"
        raise UsageError(f"--mean-over {','.join(names)}: {told}")
    if not found:
        raise UsageError("--mean-over: name at least one class; background is always counted")
    return [0, *sorted(place + 1 for place in found.values() if place is not None)]


def recall_of_parts(
    predictions: Predictions, ids: Sequence[str], masks: GroundTruth, folder: Path, threshold: float
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
            counts.update(made.values, masks.read(id), read_mask(parts[id]))
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

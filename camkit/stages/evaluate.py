"""`camkit evaluate`: how well maps, probabilities, masks or signed scores agree with the ground truth."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from camkit.errors import InputError, UsageError
from camkit.evaluate.comparison import Comparison, compare
from camkit.evaluate.report import Report
from camkit.pipeline.output import Runtime
from camkit.pipeline.upstream import Sources
from camkit.stages.measuring import Judged, judge_predictions, rows_of
from camkit.stages.predictions import open_predictions

log = logging.getLogger("camkit")


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
    mean_over: Sequence[str] | None = None,
    interval: bool = False,
    truth_classes: str | None = None,
) -> tuple[Report, Mapping[str, str]]:
    """Compare a store, or a folder of PNGs, with the masks of a folder or a VOC root: the report, and failures by id.

    thresholds  of a maps store: one is used as it is, of several (None: 0.00 … 0.99) the best by mIoU
    margins     of a store of signed scores: seeds are foreground above T and background below −T; None: 0 … 0.5
    curve       the report is to hold the figures at every threshold: UsageError where it cannot
    parts       a folder of masks of the objects' parts: 0 none, part + 1; the recall of each is reported
    mean_over   names of classes that the means are over, with background; None: all
    interval    how sure mIoU is, by a bootstrap over photos at the threshold that is reported
    truth_classes  what the numbers in the ground truth mean: voc, coco or a file that names them; None: class + 1
    """
    judged = judge_predictions(
        sources, truth, runtime, list=list, classes=classes, thresholds=thresholds, margins=margins, curve=curve,
        parts=parts, mean_over=mean_over, interval=interval, truth_classes=truth_classes,
    )  # fmt: skip
    return judged.report, judged.failures


def compare_predictions(
    sources: Sequence[Path | str],
    truth: Path | str,
    runtime: Runtime = Runtime(),
    *,
    list: str | None = None,
    classes: str | None = None,
    thresholds: Sequence[float] | None = None,
    mean_over: Sequence[str] | None = None,
    truth_classes: str | None = None,
) -> tuple[Comparison, Mapping[str, str]]:
    """Judge each of several stores, or folders of PNGs, and the differences to the first; and failures by id.

    The others are as for `evaluate_predictions`. Only photos that all of them have, and none failed on, are counted.
    """
    paths = [Path(source) for source in sources]
    if len(paths) < 2:
        raise UsageError("--compare takes two stores or more, each of one method")
    ids, names = _common(paths, classes)
    judged_on = partial(
        _judge_each, paths, truth, runtime, list=list, classes=classes, thresholds=thresholds, mean_over=mean_over,
        truth_classes=truth_classes,
    )  # fmt: skip
    everything = judged_on(only=ids)
    failures = {id: why for judged in everything for id, why in judged.failures.items()}
    if failures:
        everything = judged_on(only=ids - failures.keys())
    rows = None if mean_over is None else rows_of(mean_over, names)
    tallies = [judged.tallies for judged in everything if judged.tallies is not None]
    return compare(_titles(paths), [judged.report for judged in everything], tallies, rows), failures


def _judge_each(
    paths: Sequence[Path], truth: Path | str, runtime: Runtime, *, only: Collection[str], **asked: Any
) -> list[Judged]:
    return [judge_predictions([path], truth, runtime, **asked, interval=True, only=only) for path in paths]


def _common(paths: Sequence[Path], classes: str | None) -> tuple[set[str], tuple[str, ...]]:
    """The ids that all have, and their classes, which must be the same."""
    found: dict[Path, tuple[set[str], tuple[str, ...]]] = {}
    for path in paths:
        with open_predictions([path], classes) as predictions:
            found[path] = (set(predictions.ids), predictions.classes)
    first, *others = found
    for path in others:
        if found[path][1] != found[first][1]:
            raise InputError(f"{first} and {path} are about other classes; compare stores of the same ones")
    common = set.intersection(*(ids for ids, _ in found.values()))
    if not common:
        raise InputError(f"{first} and {others[0]} have no image in common")
    for path, (ids, _) in found.items():
        if ids - common:
            log.warning("%s: %d images are left out, which another method has not", path, len(ids - common))
    return common, found[first][1]


def _titles(paths: Sequence[Path]) -> list[str]:
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]

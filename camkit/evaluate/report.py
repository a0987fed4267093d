"""Everything `camkit evaluate` found, as one value that can be printed, kept as JSON and used as a baseline."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TextIO

import numpy as np

from camkit.errors import InputError
from camkit.evaluate import metrics
from camkit.evaluate.bootstrap import Interval
from camkit.evaluate.confusion import GROUP_NAMES, Confusion
from camkit.evaluate.sweep import Sweep

FORMAT = "camkit evaluation"
VERSION = 1
BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class. Figures in [0, 1]; None where there is nothing to measure. `pixels` of it in the ground truth."""

    name: str
    iou: float | None
    precision: float | None
    recall: float | None
    fp_rate: float | None
    fn_rate: float | None
    average_precision: float | None
    pixels: int


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The images whose ground truth holds this many classes: "0", "1", "2" or "3+"."""

    classes: str
    images: int
    miou: float | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Means over the classes at one threshold."""

    threshold: float
    miou: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class SeedRow:
    """Signed seeds at ±margin: mIoU and precision on the `decided` share of the pixels, recall on all."""

    margin: float
    miou: float | None
    precision: float | None
    recall: float | None
    decided: float


@dataclass(frozen=True, slots=True)
class PartRow:
    """How much of one part of the objects (heads, bodies …) carries the right class."""

    name: str
    recall: float
    pixels: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Ids that only one side has: how many, and the first few."""

    count: int = 0
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, ids: Iterable[str], examples: int = 5) -> Missing:
        """Count ids and keep the first few in order."""
        ordered = sorted(ids)
        return cls(len(ordered), tuple(ordered[:examples]))


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, on what, and how.

    Means are over classes: all but FP and FN rate with background. `absent` are the classes left out of them: no
    pixel in the ground truth or the prediction. `threshold_choice` says in words where the threshold comes from.
    `undecided` is a share of the pixels with a ground truth, `ignored` one of all pixels.
    `tags` says where the classes of each image come from; `mean_over` which classes the means are over, all if empty;
    `interval` how sure mIoU is, if that was asked for.
    """

    miou: float | None
    precision: float | None
    recall: float | None
    fp_rate: float | None
    fn_rate: float | None
    mean_average_precision: float | None
    classes: tuple[ClassRow, ...]
    absent: tuple[str, ...]
    by_class_count: tuple[GroupRow, ...]
    images: int
    ignored: float
    undecided: float
    threshold: float | None = None
    threshold_choice: str = ""
    curve: tuple[CurvePoint, ...] = ()
    seeds: tuple[SeedRow, ...] = ()
    parts: tuple[PartRow, ...] = ()
    missing_predictions: Missing = Missing()
    missing_truth: Missing = Missing()
    split: str = ""
    truth: str = ""
    sources: tuple[str, ...] = ()
    tags: str = ""
    mean_over: tuple[str, ...] = ()
    interval: Interval | None = None

    def to_json(self) -> str:
        """The report as JSON: fractions in [0, 1], null where nothing could be measured."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read back what `to_json` wrote."""
        try:
            return report_from(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise InputError(f"not JSON: {error}") from error


def make_report(
    confusion: Confusion,
    class_names: Sequence[str],
    *,
    average_precision: np.ndarray | None = None,
    threshold: float | None = None,
    threshold_choice: str = "",
    sweep: Sweep | None = None,
    seeds: Mapping[float, Confusion] | None = None,
    missing_predictions: Iterable[str] = (),
    missing_truth: Iterable[str] = (),
    split: str = "",
    truth: str = "",
    sources: Sequence[str] = (),
    tags: str = "",
    rows: Sequence[int] | None = None,
    interval: Interval | None = None,
) -> Report:
    """Turn counts into a report. `class_names` [K] without background; `average_precision` [K].

    rows  the classes that means are over, 0 background; None: all
    """
    names = (BACKGROUND, *class_names)
    averages = np.full(len(names), np.nan)
    if average_precision is not None:
        averages[1:] = average_precision
    table = _class_rows(confusion, names, averages)
    matrix, undecided = confusion.matrix, confusion.undecided
    return Report(
        miou=_number(metrics.mean(metrics.iou(matrix), rows)),
        precision=_number(metrics.mean(metrics.precision(matrix), rows)),
        recall=_number(metrics.mean(metrics.recall(matrix, undecided), rows)),
        fp_rate=_number(metrics.mean_foreground(metrics.fp_rate(matrix), rows)),
        fn_rate=_number(metrics.mean_foreground(metrics.fn_rate(matrix), rows)),
        mean_average_precision=_number(metrics.mean(averages, rows)),
        classes=table,
        absent=tuple(row.name for row in table if row.iou is None and (rows is None or names.index(row.name) in rows)),
        by_class_count=_group_rows(confusion, rows),
        images=int(confusion.images.sum()),
        ignored=confusion.ignored_share,
        undecided=confusion.undecided_share,
        threshold=None if threshold is None else _readable(threshold),
        threshold_choice=threshold_choice,
        curve=curve_of(sweep, rows) if sweep is not None else (),
        seeds=tuple(_seed_row(margin, counts, rows) for margin, counts in (seeds or {}).items()),
        missing_predictions=Missing.of(missing_predictions),
        missing_truth=Missing.of(missing_truth),
        split=split,
        truth=truth,
        sources=tuple(sources),
        tags=tags,
        mean_over=() if rows is None else tuple(names[row] for row in rows),
        interval=interval,
    )


def curve_of(sweep: Sweep, rows: Sequence[int] | None = None) -> tuple[CurvePoint, ...]:
    """Mean IoU, precision and recall at every threshold."""
    figures = (metrics.iou, metrics.precision, metrics.recall)
    means = [metrics.mean(figure(sweep.matrices), rows) for figure in figures]
    points = zip(sweep.thresholds, *means, strict=True)
    return tuple(CurvePoint(_readable(threshold), *map(_number, point)) for threshold, *point in points)


def write_csv(report: Report, stream: TextIO) -> None:
    """One line per class and a last line of means, fractions in [0, 1], empty where nothing could be measured."""
    columns = [field.name for field in fields(ClassRow)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["class", *columns[1:]])
    for row in report.classes:
        writer.writerow([getattr(row, column) for column in columns])
    means = [report.miou, report.precision, report.recall, report.fp_rate, report.fn_rate]
    writer.writerow(["mean", *means, report.mean_average_precision, sum(row.pixels for row in report.classes)])


def report_from(data: Any) -> Report:
    """A report from parsed JSON; anything else is an error."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError("not a report of `camkit evaluate --json`")
    if data.get("version") != VERSION:
        raise InputError(f"a report of version {data.get('version')}; this camkit reads version {VERSION}")
    known = {key: value for key, value in data.items() if key not in ("format", "version")}
    try:
        report = Report(**(known | _rows_from(known)))
    except (TypeError, KeyError) as error:
        raise InputError(f"a damaged report of `camkit evaluate --json`: {error}") from error
    _check_figures(report)
    return report


def _rows_from(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "classes": tuple(ClassRow(**row) for row in data["classes"]),
        "by_class_count": tuple(GroupRow(**row) for row in data["by_class_count"]),
        "curve": tuple(CurvePoint(**row) for row in data["curve"]),
        "seeds": tuple(SeedRow(**row) for row in data["seeds"]),
        "parts": tuple(PartRow(**row) for row in data.get("parts", ())),
        "missing_predictions": _missing_from(data["missing_predictions"]),
        "missing_truth": _missing_from(data["missing_truth"]),
        "absent": tuple(data["absent"]),
        "sources": tuple(data["sources"]),
        "mean_over": tuple(data.get("mean_over", ())),
        "interval": None if data.get("interval") is None else Interval(**data["interval"]),
    }


def _missing_from(data: Mapping[str, Any]) -> Missing:
    return Missing(data["count"], tuple(data["examples"]))


def _check_figures(report: Report) -> None:
    for name in ("miou", "precision", "recall", "fp_rate", "fn_rate", "mean_average_precision"):
        value = getattr(report, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"a damaged report of `camkit evaluate --json`: {name} is {value!r}, not a fraction")


def _class_rows(confusion: Confusion, names: Sequence[str], averages: np.ndarray) -> tuple[ClassRow, ...]:
    matrix, undecided = confusion.matrix, confusion.undecided
    columns = {
        "iou": metrics.iou(matrix),
        "precision": metrics.precision(matrix),
        "recall": metrics.recall(matrix, undecided),
        "fp_rate": metrics.fp_rate(matrix),
        "fn_rate": metrics.fn_rate(matrix),
        "average_precision": averages,
    }
    pixels = (matrix.sum(axis=1) + undecided).tolist()
    return tuple(
        ClassRow(name=name, pixels=pixels[row], **{key: _number(column[row]) for key, column in columns.items()})
        for row, name in enumerate(names)
    )


def _group_rows(confusion: Confusion, over: Sequence[int] | None) -> tuple[GroupRow, ...]:
    means = metrics.mean(metrics.iou(confusion.counts[..., :-1]), over)
    rows = zip(GROUP_NAMES, confusion.images.tolist(), means, strict=True)
    return tuple(GroupRow(name, images, _number(miou)) for name, images, miou in rows if images)


def _seed_row(margin: float, confusion: Confusion, over: Sequence[int] | None) -> SeedRow:
    matrix = confusion.matrix
    return SeedRow(
        _readable(margin),
        _number(metrics.mean(metrics.iou(matrix), over)),
        _number(metrics.mean(metrics.precision(matrix), over)),
        _number(metrics.mean(metrics.recall(matrix, confusion.undecided), over)),
        1 - confusion.undecided_share,
    )


def _readable(threshold: float) -> float:
    """0.3 for float32's 0.30000001192…, the precision thresholds are compared in."""
    return float(str(np.float32(threshold)))


def _number(value: np.ndarray | float) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number

"""A report as tables for people: percent with one decimal, as in the papers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from camkit.evaluate.report import Missing, Report
from camkit.text import line_of, lines_of

if TYPE_CHECKING:
    from rich.console import Console

    from camkit.evaluate.bootstrap import Interval

Row = list[str]

NAME_WIDTH, NARROW_NAME_WIDTH = 30, 10
LEFT_OUT_FIRST = ("threshold", "FN", "FP", "pixel AP", "decided", "images", "recall", "precision")
"""Where the console is too narrow for all columns."""


def render_table(report: Report, console: Console) -> None:
    """Print the report as wide as the console: classes, images by number of classes, seeds, then what to know.

    In a narrow one names are cut and whole columns left out, but never are figures cut.
    """
    print_table(console, *_class_rows(report))
    if report.by_class_count:
        print_table(console, *_group_rows(report))
    if report.seeds:
        print_table(console, *_seed_rows(report))
    if report.parts:
        print_table(console, ["part", "recall"], [[row.name, percent(row.recall)] for row in report.parts])
    for line in summary_lines(report):
        console.print(lines_of(line), markup=False, highlight=False, soft_wrap=True)


def summary_lines(report: Report, *, rates: bool = True) -> Iterator[str]:
    """On what and how the figures were measured, and everything left out of them; rates: FP and FN are among them."""
    yield f"{report.images:,} image{'' if report.images == 1 else 's'}" + _where(report)
    if report.tags:
        yield f"classes of each image: {report.tags}"
    if report.mean_over:
        yield f"means are over {', '.join(report.mean_over)}"
    if report.interval is not None:
        level = f"{100 * report.interval.level:g} %"
        yield f"mIoU {percent(report.miou)}, {level} interval {interval_words(report.interval)} (bootstrap over images)"
    if report.threshold is not None:
        choice = f" ({report.threshold_choice})" if report.threshold_choice else ""
        yield f"threshold {report.threshold:g}{choice}"
    if rates:
        yield "FP, FN: shares of a class's union, so that IoU + FP + FN = 100; their means leave out background"
    yield f"ignored in the ground truth: {percent(report.ignored)} % of the pixels"
    if report.undecided:
        yield f"undecided: {percent(report.undecided)} % of the pixels; only recall counts them, as misses"
    if report.absent:
        yield f"left out of the means, in neither ground truth nor prediction: {', '.join(report.absent)}"
    yield from _missing_lines(report.missing_predictions, "no prediction")
    yield from _missing_lines(report.missing_truth, "no ground truth")


def _class_rows(report: Report) -> tuple[Row, list[Row], Row]:
    """Headings, a row per class, and their means."""
    count = 7 if report.mean_average_precision is not None else 6
    rows = []
    for row in report.classes:
        if row.iou is None and not row.pixels:
            continue
        figures = [row.iou, row.precision, row.recall, row.fp_rate, row.fn_rate, row.average_precision]
        rows.append([row.name, *map(percent, figures)][:count])
    means = [report.miou, report.precision, report.recall, report.fp_rate, report.fn_rate]
    means.append(report.mean_average_precision)
    headings = ["class", "IoU", "precision", "recall", "FP", "FN", "pixel AP"]
    return headings[:count], rows, ["mean", *map(percent, means)][:count]


def _group_rows(report: Report) -> tuple[Row, list[Row]]:
    rows = [[row.classes, f"{row.images:,}", percent(row.miou)] for row in report.by_class_count]
    return ["classes in the image", "images", "mIoU"], rows


def _seed_rows(report: Report) -> tuple[Row, list[Row]]:
    rows = [
        [f"{row.margin:g}", *map(percent, (row.miou, row.precision, row.recall, row.decided))] for row in report.seeds
    ]
    return ["seeds at ±", "mIoU", "precision", "recall", "decided"], rows


def print_table(console: Console, headings: Row, rows: list[Row], mean: Row | None = None) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [*rows, *([mean] if mean else [])]
    fit = _fit(headings, cells, console.width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, fit.padding))
    table.add_column(Text(headings[0]), overflow="ellipsis", no_wrap=True, max_width=fit.name_width)
    for column in fit.columns[1:]:
        table.add_column(headings[column], justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(line_of(row[column])) for column in fit.columns))
    if mean:
        table.add_section()
        table.add_row(*(mean[column] for column in fit.columns), style="bold")
    console.print(table)
    left_out = [heading for column, heading in enumerate(headings) if column not in fit.columns]
    if left_out:
        line = f"no room for {', '.join(left_out)}; --json has all"
        console.print(lines_of(line), markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class _Fit:
    """The columns of a table that are shown, blanks beside each of their cells, and the room for names."""

    columns: list[int]
    padding: int
    name_width: int


def _fit(headings: Row, rows: list[Row], width: int) -> _Fit:
    from rich.cells import cell_len

    widths = [max(cell_len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    widths[0] = min(widths[0], NAME_WIDTH)
    columns = list(range(len(headings)))
    if _room(widths, columns, padding=1) <= width:
        return _Fit(columns, 1, widths[0])
    narrow = [min(widths[0], NARROW_NAME_WIDTH), *widths[1:]]
    for heading in LEFT_OUT_FIRST:
        if _room(narrow, columns, padding=0) > width and heading in headings:
            columns.remove(headings.index(heading))
    beside = _room([0, *widths[1:]], columns, padding=0)
    return _Fit(columns, 0, max(1, min(widths[0], width - beside)))


def _room(widths: list[int], columns: list[int], padding: int) -> int:
    """A blank at both ends, and one between two columns."""
    return 1 + sum(widths[column] + 2 * padding + 1 for column in columns)


def _where(report: Report) -> str:
    split = f" of {report.split}" if report.split else ""
    truth = f", ground truth: {report.truth}" if report.truth else ""
    sources = f", measured: {', '.join(report.sources)}" if report.sources else ""
    return split + truth + sources


def _missing_lines(missing: Missing, what: str) -> Iterator[str]:
    if missing.count:
        more = ", …" if missing.count > len(missing.examples) else ""
        yield f"{what} for {missing.count:,} ids, left out: {', '.join(missing.examples)}{more}"


def shared_lines(names: Sequence[str], reports: Sequence[Report]) -> Iterator[str]:
    """What to know of several reports: once where it is the same for all, else with the name before it."""
    told: dict[str, list[str]] = {}
    for name, report in zip(names, reports, strict=True):
        for line in summary_lines(replace(report, sources=(), interval=None), rates=False):
            told.setdefault(line, []).append(name)
    for line, who in told.items():
        yield line if len(who) == len(names) else f"{', '.join(who)}: {line}"


def difference_words(value: float | None, interval: Interval | None) -> str:
    """'+2.9 (+1.2 to +4.4)'"""
    if value is None:
        return "-"
    return f"{100 * value:+.1f}" + ("" if interval is None else f" ({interval_words(interval, signed=True)})")


def interval_words(interval: Interval | None, *, signed: bool = False) -> str:
    """'43.1 to 46.0'; signed: of a difference, '+1.2 to +3.4'."""
    if interval is None:
        return "-"
    low, high = (f"{100 * end:{'+' if signed else ''}.1f}" for end in (interval.low, interval.high))
    return f"{low} to {high}"


def percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"

"""A report as tables for people: percent with one decimal, as in the papers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from camkit.evaluate.report import Missing, Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def render_table(report: Report, console: Console) -> None:
    """Print the report in less than 100 columns: classes, images by number of classes, seeds, then what to know."""
    console.print(_class_table(report))
    if report.by_class_count:
        console.print(_group_table(report))
    if report.seeds:
        console.print(_seed_table(report))
    for line in summary_lines(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def summary_lines(report: Report) -> Iterator[str]:
    """On what and how the figures were measured, and everything left out of them."""
    yield f"{report.images:,} image{'' if report.images == 1 else 's'}" + _where(report)
    if report.threshold is not None:
        choice = f" ({report.threshold_choice})" if report.threshold_choice else ""
        yield f"threshold {report.threshold:g}{choice}"
    yield "FP, FN: shares of a class's union, so that IoU + FP + FN = 100; their means leave out background"
    yield f"ignored in the ground truth: {_percent(report.ignored)} % of the pixels"
    if report.undecided:
        yield f"undecided: {_percent(report.undecided)} % of the pixels; only recall counts them, as misses"
    if report.absent:
        yield f"left out of the means, in neither ground truth nor prediction: {', '.join(report.absent)}"
    yield from _missing_lines(report.missing_predictions, "no prediction")
    yield from _missing_lines(report.missing_truth, "no ground truth")


def _class_table(report: Report) -> Table:
    with_precision = report.mean_average_precision is not None
    headings = ["IoU", "precision", "recall", "FP", "FN", *(["pixel AP"] if with_precision else [])]
    table = _table("class", headings)
    for row in report.classes:
        if row.iou is None and not row.pixels:
            continue
        figures = [row.iou, row.precision, row.recall, row.fp_rate, row.fn_rate, row.average_precision]
        table.add_row(row.name, *map(_percent, figures[: len(headings)]))
    table.add_section()
    means = [report.miou, report.precision, report.recall, report.fp_rate, report.fn_rate]
    means.append(report.mean_average_precision)
    table.add_row("mean", *map(_percent, means[: len(headings)]), style="bold")
    return table


def _group_table(report: Report) -> Table:
    table = _table("classes in the image", ["images", "mIoU"])
    for row in report.by_class_count:
        table.add_row(row.classes, f"{row.images:,}", _percent(row.miou))
    return table


def _seed_table(report: Report) -> Table:
    table = _table("seeds at ±", ["mIoU", "precision", "recall", "decided"])
    for row in report.seeds:
        table.add_row(f"{row.margin:g}", *map(_percent, (row.miou, row.precision, row.recall, row.decided)))
    return table


def _table(first: str, others: list[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(first, overflow="ellipsis", no_wrap=True, max_width=30)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _where(report: Report) -> str:
    split = f" of {report.split}" if report.split else ""
    truth = f", ground truth: {report.truth}" if report.truth else ""
    sources = f", measured: {', '.join(report.sources)}" if report.sources else ""
    return split + truth + sources


def _missing_lines(missing: Missing, what: str) -> Iterator[str]:
    if missing.count:
        more = ", …" if missing.count > len(missing.examples) else ""
        yield f"{what} for {missing.count:,} ids, left out: {', '.join(missing.examples)}{more}"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"

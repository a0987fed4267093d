"""Two methods or more on the same photos: their figures, and how sure their differences are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from camkit.defaults import INTERVAL_LEVEL
from camkit.evaluate.bootstrap import DRAWS, Interval, Tallies, difference
from camkit.evaluate.render import difference_words, interval_words, percent, print_table, shared_lines
from camkit.evaluate.report import Report
from camkit.text import lines_of

if TYPE_CHECKING:
    from rich.console import Console

FORMAT = "camkit comparison"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Difference:
    """A method's mean IoU less that of the first one; `interval` of it over draws of photos, the same for both."""

    name: str
    miou: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Reports of the methods `names`, all over the same photos, and the differences of the others to the first."""

    names: tuple[str, ...]
    reports: tuple[Report, ...]
    differences: tuple[Difference, ...]

    def to_json(self) -> str:
        head = {"format": FORMAT, "version": VERSION, "draws": DRAWS}
        return json.dumps({**head, **asdict(self)}, indent=2, ensure_ascii=False)


def compare(
    names: Sequence[str], reports: Sequence[Report], tallies: Sequence[Tallies], rows: Sequence[int] | None = None
) -> Comparison:
    """rows: the classes that means are over; None: all. The tallies are of the same photos."""
    first, *others = zip(names, reports, tallies, strict=True)
    found = tuple(
        Difference(name, _less(report.miou, first[1].miou), difference(first[2], counts, rows))
        for name, report, counts in others
    )
    return Comparison(tuple(names), tuple(reports), found)


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def render_comparison(comparison: Comparison, console: Console) -> None:
    """A row per method, then what the figures are about."""
    differences = [None, *comparison.differences]
    rows = [
        [
            name,
            percent(report.miou),
            interval_words(report.interval),
            "" if one is None else difference_words(one.miou, one.interval),
            "-" if report.threshold is None else f"{report.threshold:g}",
        ]
        for name, report, one in zip(comparison.names, comparison.reports, differences, strict=True)
    ]
    print_table(console, ["method", "mIoU", "interval", "difference", "threshold"], rows)
    for line in comparison_lines(comparison):
        console.print(lines_of(line), markup=False, highlight=False, soft_wrap=True)


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    yield from shared_lines(comparison.names, comparison.reports)
    yield f"difference: to {comparison.names[0]}, with its interval"
    yield (
        f"{100 * INTERVAL_LEVEL:g} % intervals: {DRAWS:,} bootstrap draws of the images, the same for all methods; "
        "thresholds are not chosen anew in each draw"
    )

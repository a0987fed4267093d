"""Progress on stderr: a bar in a terminal, elsewhere a line every now and then."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger("camkit")

SECONDS_BETWEEN_LINES = 30.0


class Progress(Protocol):
    def advance(self) -> None: ...


class Silent:
    def advance(self) -> None:
        """Nobody is looking."""


class Lines:
    """A log line every half minute: what a batch job's log wants."""

    def __init__(self, description: str, total: int, unit: str) -> None:
        self.description, self.total, self.unit, self.count = description, total, unit, 0
        self.start = self.last = time.monotonic()

    def advance(self) -> None:
        self.count += 1
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = now
        per_unit = (now - self.start) / self.count
        left = (self.total - self.count) * per_unit
        log.info(
            "%s: %d of %d %s, %.2f s each, %s left",
            self.description, self.count, self.total, self.unit, per_unit, duration(left),
        )  # fmt: skip


def somebody_watches() -> bool:
    """In a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def verbose(on: bool = True) -> None:
    """What camkit's functions tell, as its commands do: notes, warnings, progress; `False`: nothing but warnings."""
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO if on else logging.WARNING)


@contextmanager
def show_progress(description: str, total: int, unit: str = "images") -> Iterator[Progress]:
    unasked = not log.hasHandlers() and somebody_watches()
    if not log.isEnabledFor(logging.INFO) and not unasked:
        yield Silent()
    elif not somebody_watches():
        yield Lines(description, total, unit)
    else:
        with _bar(description, total) as bar:
            yield bar


@contextmanager
def _bar(description: str, total: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("·"), TimeRemainingColumn(), TextColumn("left"),
    )  # fmt: skip
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as rich_progress:
        task = rich_progress.add_task(description, total=total)

        class Bar:
            def advance(self) -> None:
                rich_progress.advance(task)

        yield Bar()


def duration(seconds: float) -> str:
    """'42 s', '7 min', '3 h 20 min': what a person wants to know."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

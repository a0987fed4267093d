"""What a person sees on standard error, and how results get to standard output."""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from camkit.cli.streams import silence
from camkit.errors import OutputError, PartialFailure
from camkit.pipeline.progress import duration
from camkit.text import lines_of

if TYPE_CHECKING:
    from rich.console import Console

    from camkit.evaluate.comparison import Comparison
    from camkit.evaluate.report import Report
    from camkit.pipeline.output import Summary

log = logging.getLogger("camkit")


class CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes to whatever sys.stderr is now: a progress bar replaces it while it is drawn."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = lines_of(record.getMessage())
        if record.levelno == logging.INFO:
            return message
        return f"{coloured(record.levelname.lower() + ':', 33 if record.levelno == logging.WARNING else 2)} {message}"


def coloured(text: str, code: int) -> str:
    """On standard error, if that is a terminal."""
    shows = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\033[1;{code}m{text}\033[0m" if shows else text


class EachWarningOnce(logging.Filter):
    """What is found wrong in every epoch, or whenever images are listed, is said when it is found first."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        message = record.getMessage()
        new = message not in self.said
        self.said.add(message)
        return new


def set_up_logging(*, quiet: bool, verbose: bool) -> None:
    handler = CurrentStderr()
    handler.setFormatter(Plain())
    handler.addFilter(EachWarningOnce())
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


def print_lines(lines: Iterable[str], *, coloured: bool = False) -> None:
    """Results to standard output; a reader that closes it early (`| head`) gets what it asked for.

    coloured  with escape codes, which are camkit's own
    """
    try:
        for line in lines:
            sys.stdout.write((line if coloured else lines_of(line)) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What Python still holds back has to go somewhere, or it complains when it ends.
        silence(sys.stdout)
    except OSError as error:
        silence(sys.stdout)
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error


def print_report(report: Report, form: Literal["table", "json", "csv"]) -> None:
    from camkit.evaluate.render import render_table
    from camkit.evaluate.report import write_csv

    text = io.StringIO()
    if form == "json":
        text.write(report.to_json())
    elif form == "csv":
        write_csv(report, text)
    else:
        render_table(report, table_console(text))
    print_lines([text.getvalue().rstrip("\n")], coloured=form == "table")


def print_comparison(comparison: Comparison, *, json: bool) -> None:
    from camkit.evaluate.comparison import render_comparison

    text = io.StringIO(comparison.to_json() if json else "")
    if not json:
        render_comparison(comparison, table_console(text))
    print_lines([text.getvalue().rstrip("\n")], coloured=not json)


def table_console(stream: TextIO) -> Console:
    """As wide as the terminal, up to what is easily read."""
    from rich.console import Console

    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    return Console(file=stream, width=width, force_terminal=sys.stdout.isatty())


AGAIN = "run the same command again to try them again"


def close_with(summary: Summary, name: Path | None = None, advice: str = AGAIN) -> None:
    """The closing line; failures become exit code 3."""
    log.info("%s: %s", name or "-", sentence(summary))
    raise_for(summary.failures, summary.images, advice)


def images(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"


def sentence(summary: Summary) -> str:
    computed = summary.images - summary.already
    if computed == 0 and summary.complete:
        return f"already done, {images(summary.images)}"
    kept = f", {summary.already} were already done" if summary.already else ""
    failed = f", {len(summary.failures)} failed" if summary.failures else ""
    waiting = "" if summary.complete else "; the last shard to finish writes the store"
    return f"{images(computed)} in {duration(summary.seconds)}{kept}{failed}{waiting}"


def raise_for(failures: Iterable[str], total: int, advice: str) -> None:
    failed = sorted(failures)
    if not failed:
        return
    named = ", ".join(failed[:5]) + (", …" if len(failed) > 5 else "")
    raise PartialFailure(f"{len(failed)} of {images(total)} failed: {named}\n{advice}")

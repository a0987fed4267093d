"""Standard streams as camkit wants them: open, and able to take any text."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

FULL = 4  # the exit code of OutputError


def open_streams() -> None:
    """Where the shell has closed one (`2>&-`), the next file that is opened would take its number, and its messages.

    Characters that a terminal's encoding lacks are written as escapes.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        with suppress(AttributeError, OSError):  # a test's own stream
            getattr(sys, name).reconfigure(errors="backslashreplace")


def tell(message: str) -> None:
    """To standard error, if anybody can hear it."""
    with suppress(OSError, ValueError):
        print(message, file=sys.stderr, flush=True)


def close_streams(exit_code: Any) -> Any:
    """Python flushes what it holds back when it ends, and would complain in its own words where that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            silence(stream)
        except (OSError, ValueError) as error:
            silence(stream)
            if stream is sys.stdout:
                tell(f"error: standard output cannot be written: {getattr(error, 'strerror', None) or error}")
                exit_code = exit_code or FULL
    return exit_code


def silence(stream: Any) -> None:
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

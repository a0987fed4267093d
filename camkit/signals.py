"""Ctrl-C, and a batch system that takes its machine back (SIGTERM): heard from the first line of a command on.

A signal is noted. While a command works it also interrupts at once; where Python swallows that, as in a callback, the
note is found between two batches. Imports Python's own modules alone: it is the first thing that is loaded.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 30
"""Seconds after which the kernel ends a command that does not end itself. A kill loses no more than a part."""


class _Heard:
    any = False
    interrupts = False


def listen() -> None:
    """Signals that whoever started the command wants ignored (nohup) stay so."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _hear)


def _hear(number: int, frame: object) -> None:
    again, _Heard.any = _Heard.any, True
    if _Heard.interrupts and not again:
        signal.alarm(GRACE)
        raise KeyboardInterrupt


def heard() -> bool:
    return _Heard.any


def check() -> None:
    """KeyboardInterrupt if a signal was heard. To be asked between two batches."""
    if _Heard.any and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


@contextmanager
def interrupting() -> Iterator[None]:
    """While a command works: a signal interrupts at once, also one that came before. After that it is noted only."""
    _Heard.interrupts = True
    try:
        check()
        yield
    finally:
        _Heard.interrupts = False


@contextmanager
def held_back() -> Iterator[None]:
    """No signal arrives within, nor ever in processes that are started within: they end when this one does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

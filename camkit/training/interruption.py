"""Ctrl-C, and a batch system that wants its machine back, are heard between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from camkit import signals


class Interruption:
    """`wanted` once a signal came; a second one interrupts at once, and so does the first while `at_once`."""

    def __init__(self) -> None:
        self.wanted = self.at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.wanted = signals.heard()
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in signals.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        interrupts, self.wanted = self.wanted or self.at_once, True
        if interrupts:
            raise KeyboardInterrupt

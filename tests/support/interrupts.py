"""Ctrl-C at a chosen instant: before any single instruction of some functions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from camkit.store import locks

TOO_MANY = 1_000_000
EVERY = "CAMKIT_INTERRUPTS" in os.environ
"""Every instruction of all functions, which takes minutes."""


@dataclass
class Instants:
    """The instructions that ran (code, offset, line), and where the interrupt came."""

    seen: list[tuple[CodeType, int, int | None]] = field(default_factory=list)
    place: str = ""

    def worth_an_interrupt(self, closely: frozenset[CodeType]) -> list[int]:
        """The first time of every line; of some functions every instruction, the first time and the last."""
        lines: dict[Any, int] = {}
        first: dict[Any, int] = {}
        last: dict[Any, int] = {}
        for at, (code, offset, line) in enumerate(self.seen):
            if EVERY or code in closely:
                first.setdefault((code, offset), at)
                last[code, offset] = at
            else:
                lines.setdefault((code, line), at)
        return sorted({*lines.values(), *first.values(), *last.values()})


def codes_of(*owners: Any) -> frozenset[CodeType]:
    """Of functions, or of all functions that classes define."""
    functions = [one for owner in owners for one in (vars(owner).values() if isinstance(owner, type) else [owner])]
    return frozenset(one.__code__ for one in functions if hasattr(one, "__code__"))


@contextmanager
def interrupted(codes: frozenset[CodeType], at: int = TOO_MANY) -> Iterator[Instants]:
    """KeyboardInterrupt before the instruction `at` of those that run within the functions' own frames."""
    instants = Instants()

    def instruction(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            instants.seen.append((frame.f_code, frame.f_lasti, frame.f_lineno))
            if len(instants.seen) > at:
                sys.settrace(None)
                instants.place = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
                raise KeyboardInterrupt
        return instruction

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return instruction

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield instants
    finally:
        sys.settrace(before)
        if instants.place:
            locks._forget_locks()  # those that a process takes with it when it ends


def places_that_differ(
    run: Callable[[Any], object],
    fresh: Callable[[], Any],
    codes: frozenset[CodeType],
    closely: frozenset[CodeType] = frozenset(),
) -> tuple[int, list[str]]:
    """Interrupt `run` at every instant, run it again to its end; how often, and after which its result differs."""
    codes |= closely
    with interrupted(codes) as whole:
        expected = run(fresh())
    places = []
    instants = whole.worth_an_interrupt(closely)
    for at in instants:
        out = fresh()
        with suppress(KeyboardInterrupt), interrupted(codes, at) as instant:
            run(out)
        assert instant.place, f"there was no instant {at} of {len(whole.seen)}"
        if run(out) != expected:
            places.append(instant.place)
    return len(instants), places

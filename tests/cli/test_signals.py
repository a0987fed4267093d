"""A signal that comes in an unlucky moment is not lost, and tears nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from camkit import signals
from camkit.pipeline.load import load_ahead


@pytest.fixture
def listening() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in signals.SIGNALS]
    signals.listen()
    try:
        yield
    finally:
        signal.alarm(0)
        signals._Heard.any = signals._Heard.interrupts = False
        for number, handler in before:
            signal.signal(number, handler)


class Callback:
    """Python swallows what is raised when an object is let go of."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def see_all(seen: list[int], workers: int) -> None:
    for number in load_ahead(range(100), int, workers=workers):
        seen.append(number)
        if number == 3:
            Callback()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_signal_that_python_swallows_is_found_between_two_batches(listening: None, workers: int) -> None:
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt), signals.interrupting():
        see_all(seen, workers)
    assert seen[-1] <= 4


def test_a_signal_before_the_command_interrupts_it_and_one_after_it_only_is_noted(listening: None) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), signals.interrupting():
        pytest.fail("it began")
    os.kill(os.getpid(), signal.SIGINT)
    assert signals.heard()


def test_processes_hear_no_signal_while_they_are_started() -> None:
    with signals.held_back():
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.6)"])
    for _ in range(5):
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert child.wait(timeout=60) == 0


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_no_moment_from_the_first_line_of_main_gives_a_traceback(tmp_path: Path, number: signal.Signals) -> None:
    moments = random.Random(int(number))
    for _ in range(int(os.environ.get("CAMKIT_SIGNALS", "4")) // 2):
        run = subprocess.Popen(
            [sys.executable, "-m", "camkit", "info", "nowhere"],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(moments.uniform(0.1, 1.2))
        run.send_signal(number)
        text = run.communicate(timeout=60)[1].decode()
        assert "in main" not in text, text
        # of an interrupt inside exec(), as of a class that dataclasses makes, Python itself makes a death by SIGINT
        assert run.returncode in (130, 4, -number, -signal.SIGINT) or "in <module>" in text, text

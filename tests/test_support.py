"""What other tests rely on: a command behaves alike in a copy of a warm interpreter and in a new one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.warm import WarmInterpreter
from tests.support.world import camkit


@pytest.mark.parametrize(
    ("arguments", "input"),
    [
        (("--version",), None),
        (("info", "nowhere.h5"), None),
        (("info",), None),
        (("info",), b"no store" * 50_000),  # more than a pipe holds
        (("cam", "--ckpt", "toy", "--images", ".", "--scales", "huge", "--out", "a b.h5"), None),
        (("cam", "--ckpt", "toy", "--model", "mine:build", "--images", ".", "--out", "ü.h5"), None),
        (("nonsense", ""), None),
    ],
)
def test_a_copy_says_what_a_new_interpreter_says(
    tmp_path: Path, arguments: tuple[str, ...], input: bytes | None
) -> None:
    (tmp_path / "mine.py").write_text("import os, sys\nprint(os.getcwd(), sys.argv[1:])\nos.kill(os.getpid(), 9)\n")
    (tmp_path / "a.png").touch()
    new = camkit(*arguments, cwd=tmp_path, input=input, fresh=True)
    copy = camkit(*arguments, cwd=tmp_path, input=input)
    assert (copy.returncode, copy.stdout, copy.stderr) == (new.returncode, new.stdout, new.stderr)


def test_a_run_that_hangs_is_ended_and_the_next_one_works(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import time\ntime.sleep(1000)\n")
    (tmp_path / "a.png").touch()
    hang = ["cam", "--ckpt", "toy", "--model", "mine:build", "--images", ".", "--out", "o.h5"]
    interpreter, settings = WarmInterpreter(loaded=()), dict(os.environ)
    assert interpreter.run(["--version"], tmp_path, settings, None, 60).returncode == 0
    with pytest.raises(subprocess.TimeoutExpired):
        interpreter.run(hang, tmp_path, settings, None, 1)
    assert interpreter.run(["--version"], tmp_path, settings, None, 60).returncode == 0

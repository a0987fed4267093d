"""Standard streams that are closed, full, or know few characters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from camkit.text import line_of, lines_of


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    program = f"{sys.executable} -m camkit"
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        ["bash", "-c", line.replace("camkit", program)], cwd=cwd, env=settings, capture_output=True, check=False,
        stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose ids, notes and messages would speak to a terminal."""
    path = tmp_path_factory.mktemp("odd") / "odd.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "camkit", "version": 1, "kind": "scores", "complete": True})
        file.attrs["classes"] = ["cat", "naïve"]
        for id in ("a\x1b[31mred", "b\tc", "d\u202ee\u009b2J"):
            file[f"scores/{id}"] = np.array([0.9, 0.1], np.float32)
            file[f"scores/{id}"].attrs["size"] = [3, 4]
        file["failures/f\x1b]0;owned\x07"] = "told\x1b[2J\tand\nmore"
    return path


@pytest.mark.parametrize("command", ["--help", "info odd.h5"])
def test_a_full_standard_output(odd: Path, command: str) -> None:
    result = shell(f"camkit {command} >/dev/full", odd.parent)
    text = result.stderr.decode()
    assert result.returncode == 4, text
    assert text.count("error: ") == 1
    assert "No space left" in text
    assert "Traceback" not in text
    assert "Exception ignored" not in text


@pytest.mark.parametrize(
    ("line", "exit_code"),
    [
        ("camkit merge odd.h5 --out merged.h5 <&- >&- 2>&-", 0), ("camkit info nowhere.h5 2>/dev/full", 4),
        ("camkit info nowhere.h5 2>&-", 4), ("camkit info <&-", 2),
    ],
)  # fmt: skip
def test_closed_and_full_streams(odd: Path, line: str, exit_code: int) -> None:
    result = shell(line, odd.parent)
    assert result.returncode == exit_code, result.stderr.decode()
    assert b"Traceback" not in result.stderr + result.stdout


def test_a_terminal_that_knows_few_characters(odd: Path) -> None:
    for command in ("info odd.h5", "info nowhere-ü.h5"):
        result = shell(f"camkit {command}", odd.parent, PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
        assert result.returncode in (0, 4), result.stderr.decode()
        assert b"Traceback" not in result.stderr


def test_nothing_of_a_store_speaks_to_the_terminal(odd: Path) -> None:
    for command in ("info odd.h5 --failures", "info odd.h5 --json"):
        result = shell(f"camkit {command}", odd.parent)
        told = (result.stdout + result.stderr).decode()
        assert not any(mark in told for mark in "\x1b\x07\u009b\u202e"), command
        assert result.returncode == 0, told
        if "--failures" in command:
            assert [line.count("\t") for line in result.stdout.decode().splitlines()] == [1]


def test_text_on_a_line() -> None:
    assert line_of("naïve chair 5\u2009%") == "naïve chair 5\\u2009%"
    assert line_of("a\tb\nc\x1b[0m\ud800") == "a\\tb\\nc\\u001b[0m\\ud800"
    assert lines_of("a\tb\nc\x1b") == "a\tb\nc\\u001b"

"""`camkit toy-world` as people call it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from camkit.pipeline.output import Summary
from camkit.stages.toy_world import toy_world
from tests.support.world import camkit, said


def scenes(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("toy_*") if path.is_file()}


def is_gone(group: int) -> bool:
    """Whether every process of the group has ended, within a few seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_summary(tmp_path: Path) -> None:
    first = toy_world(tmp_path / "w", train=2, val=1, workers=0)
    assert (first.images, first.already, first.complete) == (3, 0, True)
    again = toy_world(tmp_path / "w", train=2, val=1, workers=0)
    assert again == Summary(3, already=3, seconds=again.seconds)


def test_the_command_draws_says_so_and_can_be_repeated(tmp_path: Path) -> None:
    command = ("toy-world", "toy", "--train", 3, "--val", 2, "--seed", 4)
    first = camkit(*command, cwd=tmp_path)
    assert first.returncode == 0, said(first)
    assert said(first).startswith("toy: 5 images in ")
    assert first.stdout == b""
    before = scenes(tmp_path / "toy")
    assert len(before) == 25
    again = camkit(*command, cwd=tmp_path)
    assert (again.returncode, said(again)) == (0, "toy: already done, 5 images\n")
    alone = camkit("toy-world", "alone", "--train", 3, "--val", 2, "--seed", 4, "--workers", 1, "-q", cwd=tmp_path)
    assert (alone.returncode, said(alone)) == (0, "")
    assert scenes(tmp_path / "alone") == before
    listed = (tmp_path / "toy/ImageSets/Segmentation/val.txt").read_text()
    assert listed == "toy_000003\ntoy_000004\n"
    unseen = camkit("toy-world", "unseen", "--train", 0, "--val", 2, cwd=tmp_path)
    assert said(unseen).startswith("unseen: 2 images in ")


def test_bad_input(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for arguments, told in (
        (("full",), "other things than a toy world"),
        (("full", "--overwrite"), "other things than a toy world"),
        (("full/mine.txt",), "is a file"),
        (("w", "--train", "0", "--val", "0"), "0 + 0 scenes"),
        (("w", "--train", "many"), "--train"),
        (("w", "--val", "-1"), "--val"),
        (("w", "--seed", "-1"), "--seed"),
        (("w", "--train", "2000000"), "1,000,000"),
        ((), "DIR"),
    ):
        result = camkit("toy-world", *arguments, cwd=tmp_path)
        assert result.returncode == 2, said(result)
        assert told in said(result)
        assert "Traceback" not in said(result)
    assert not (tmp_path / "w").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]


def test_the_drawing_uses_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    result = camkit("toy-world", "w", "--train", 2, cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 0, said(result)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupted_command_leaves_nobody_behind_and_goes_on(tmp_path: Path, workers: str) -> None:
    command = [sys.executable, "-m", "camkit", "toy-world", "w", "--train", "60", "--val", "0", "--workers", workers]
    run = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len([*tmp_path.glob("w/Annotations/*.xml")]) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)  # as Ctrl-C does: to the whole group
    text = run.communicate(timeout=60)[1].decode()
    assert run.returncode == 130, text
    assert "interrupted" in text
    assert "Traceback" not in text
    assert is_gone(run.pid), "a process went on drawing"
    drawn = len([*tmp_path.glob("w/Annotations/*.xml")])
    assert 3 <= drawn < 60
    again = camkit("toy-world", "w", "--train", 60, "--val", 0, cwd=tmp_path)
    assert f"{drawn} were already done" in said(again)
    assert len(scenes(tmp_path / "w")) == 60 * 5

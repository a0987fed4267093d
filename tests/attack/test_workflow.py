"""The workflow for Snakemake: jobs killed at random, started again, end in what the commands give by themselves."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.world import draw_world

SNAKEFILE = Path(__file__).parents[2] / "examples" / "workflow" / "Snakefile"
KILLS = 3


def kill_group(number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("snakemake") is None, reason="needs snakemake")
def test_killed_jobs(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    world = draw_world(tmp_path / "world", count=24)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "camkit").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m camkit "$@"\n')
    (programs / "camkit").chmod(0o755)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    settings = {"photos": world.root, "ckpt": world.ckpt, "shards": 2, "method": "cam"}
    words = ["snakemake", "--snakefile", str(SNAKEFILE), "--cores", "2", "--config", "options=--scales 1 --no-flip"]
    words += [f"{name}={value}" for name, value in settings.items()]

    def run(out: str, *more: str) -> subprocess.Popen[bytes]:
        started = subprocess.Popen(
            [*words, f"out={out}", *more], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        request.addfinalizer(lambda: kill_group(started.pid))
        return started

    whole = run("whole")
    began = time.monotonic()
    text = whole.communicate(timeout=900)[1].decode()
    assert whole.returncode == 0, text
    seconds, chance = time.monotonic() - began, random.Random(0)
    for number in range(KILLS):
        one = run("killed", "--rerun-incomplete")
        time.sleep(chance.uniform(0, seconds))
        os.killpg(one.pid, [signal.SIGTERM, signal.SIGKILL, signal.SIGINT][number])
        one.communicate(timeout=120)
        subprocess.run(
            [*words, "out=killed", "--unlock"], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
    last = run("killed", "--rerun-incomplete", "--retries", "2")
    text = last.communicate(timeout=900)[1].decode()
    assert last.returncode == 0, text
    for name in ("maps.h5", "probs.h5"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert (tmp_path / "killed" / "figures.json").stat().st_size

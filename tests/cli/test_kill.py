"""A run that is killed at random moments, again and again, ends as one that was left alone.

Six kills by default; CAMKIT_KILLS=100 for more.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path

import h5py
import pytest

from tests.support.warm import Running
from tests.support.world import World, draw_world, start_camkit

KILLS = int(os.environ.get("CAMKIT_KILLS", "6"))


def start(world: World, folder: Path) -> Running:
    return start_camkit("cam", "--ckpt", world.ckpt, "--images", world.root, "--out", "out.h5", cwd=folder)


def kept(folder: Path) -> set[str]:
    """Ids in the part files: those that another run need not compute."""
    ids: set[str] = set()
    for part in folder.glob("out.h5.parts/*.h5"):
        with h5py.File(part) as file:
            found = set(file["maps"])
        assert not ids & found, "an image was computed twice"
        ids |= found
    return ids


@pytest.mark.slow
def test_killed_runs_lose_nothing_but_the_part_in_flight(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "world", count=320, sizes=((40, 48), (48, 40)))
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    whole = start(world, undisturbed)
    begun = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - begun
    expected = (undisturbed / "out.h5").read_bytes()

    moments = random.Random(1)
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        folder = tmp_path / f"round-{rounds}"
        folder.mkdir()
        finished = False
        while not finished:
            before = kept(folder)
            run = start(world, folder)
            if kills < KILLS:
                time.sleep(moments.uniform(0, seconds))
                run.send_signal(signal.SIGKILL)
                kills += run.wait() == -signal.SIGKILL
            text = run.communicate()[1].decode()
            assert run.returncode in (0, -signal.SIGKILL), text
            finished = run.returncode == 0
            told = re.search(r"continuing: (\d+) of 320", text)
            if told:
                assert int(told[1]) == len(before)
            if not (folder / "out.h5").exists():
                assert kept(folder) >= before
        assert (folder / "out.h5").read_bytes() == expected
        assert not (folder / "out.h5.parts").exists()

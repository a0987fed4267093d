"""Signals at random moments of real commands: each ends within seconds, and run again gives what it gives undisturbed.

Two signals; CAMKIT_ATTACK=10000 for some 330 over every stage and trainer. `-s` shows the counts.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.support.world import World, draw_world, start_camkit

TRIES = int(os.environ.get("CAMKIT_ATTACK", "60")) // 30
SECONDS = 30
"""Until the kernel ends a command that has heard a signal."""

CAM = ("--scales", "1", "--no-flip")
TRAIN = ("--epochs", "2", "--batch-size", "4", "--width", "8", "--arch", "resnet18")
COMMANDS: dict[str, tuple[Any, ...]] = {
    "cam.h5": ("cam", "CKPT", *CAM),
    "prototypes.h5": ("lpcam-cluster", "CKPT", "--memory", "1M", "--clusters", "3"),
    "toy": ("toy-world", "toy", "--train", "9", "--val", "3"),
    "trained.safetensors": ("classify-train", "IMAGES", *TRAIN),
    "scores.h5": ("classify", "CKPT"),
    "infercam.h5": ("infercam", "CKPT", *CAM, "--rounds", "2"),
    "dcsm.h5": ("dcsm", "CKPT"),
    "crf.h5": ("crf", "cam.h5", "--images", "ROOT"),
    "superpixels.h5": ("superpixels", "IMAGES"),
    "masks": ("mask", "cam.h5", "--png", "masks"),
    "mask.h5": ("mask", "cam.h5"),
    "export": ("export", "cam.h5", "export", "--format", "npz"),
    "merged.h5": ("merge", "cam.h5"),
    "affinity.safetensors": ("affinity-train", "cam.h5", "--init", "WEIGHTS", "--epochs", "1", "--images", "ROOT"),
}
FEW = ("prototypes.h5", "toy", "trained.safetensors")
MADE_BEFORE = "cam.h5"


def words(world: World, name: str) -> list[object]:
    given: dict[str, list[object]] = {
        "CKPT": ["--ckpt", world.ckpt, "--images", world.root], "IMAGES": ["--images", world.root],
        "ROOT": [world.root], "WEIGHTS": [world.ckpt],
    }  # fmt: skip
    made = [part for word in COMMANDS[name] for part in given.get(word, [word])]
    return made if name in made else [*made, "--out", name]


def result(path: Path) -> Any:
    """What there is of an output, in a form that can be compared."""
    if path.is_dir():
        found = {one.relative_to(path).as_posix(): one for one in path.rglob("*") if one.is_file()}
        return {name: one.read_bytes() for name, one in found.items() if not one.name.startswith(".")}
    if path.suffix != ".safetensors":
        return path.read_bytes()
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key).numpy().tobytes() for key in sorted(file.keys())}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> World:
    return draw_world(tmp_path_factory.mktemp("signals"), count=16)


@pytest.mark.slow
def test_signals(small: World, tmp_path: Path) -> None:
    names = FEW[:TRIES] if len(FEW) >= TRIES else tuple(COMMANDS)
    whole, seconds, lost, heard = tmp_path / "whole", {}, [], 0
    whole.mkdir()
    for name in names:
        started = time.monotonic()
        run = start_camkit(*words(small, name), cwd=whole)
        assert run.wait() == 0, run.communicate()[1].decode()
        seconds[name] = time.monotonic() - started
    expected = {name: result(whole / name) for name in names}
    for number in range(TRIES):
        name, chance, folder = names[number % len(names)], random.Random(number), tmp_path / str(number)
        folder.mkdir()
        if MADE_BEFORE in COMMANDS[name]:
            shutil.copy(whole / MADE_BEFORE, folder)
        run = start_camkit(*words(small, name), cwd=folder)
        time.sleep(chance.uniform(0, seconds[name]))
        run.send_signal(chance.choice([signal.SIGINT, signal.SIGTERM]))
        told = run.communicate(timeout=SECONDS + 60)[1].decode()
        heard += run.returncode == 130
        again = start_camkit(*words(small, name), cwd=folder)
        assert again.wait() == 0, again.communicate()[1].decode()
        early = "in main" not in told and run.returncode in (-signal.SIGTERM, 1, 130)  # before camkit was there
        if result(folder / name) != expected[name] or not ("Traceback" not in told or early):
            lost.append(f"{name}, signal {number}: {run.returncode} {told[-300:]}")
        assert run.returncode in (0, 130) or early, told
        shutil.rmtree(folder)
    print(f"\nsignals | {TRIES} | {TRIES - len(lost)} | {len(lost)} | {heard} interrupted")
    assert not lost, "\n".join(lost)

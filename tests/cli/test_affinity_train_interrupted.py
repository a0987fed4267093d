"""`camkit affinity-train` killed while it makes labels and while it learns, and on two ranks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from camkit import open_store
from tests.support.affinity import maps_of, written
from tests.support.world import camkit, draw_world, said

pytestmark = pytest.mark.slow
OPTIONS = (
    "cams.h5", "--arch", "toy", "--width", "4", "--batch-size", "3", "--crop", "48", "--epochs", "2",
    "--workers", "0", "--save-every", "0", "--out",
)  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with maps, and what was made of them undisturbed. Photos are large: their CRFs take time."""
    folder = tmp_path_factory.mktemp("whole")
    world = draw_world(folder, count=7, sizes=((200, 260), (240, 180)))
    written(folder / "cams.h5", world, [maps_of(world, id) for id in world.ids])
    result = camkit("affinity-train", *OPTIONS, "whole.safetensors", cwd=folder)
    assert result.returncode == 0, said(result)
    return folder


def killed(folder: Path, moment: Callable[[], bool], too_late: Path) -> None:
    """Kill a training at the moment; once more from the beginning if it was quicker."""
    for _ in range(6):
        run = subprocess.Popen(
            [sys.executable, "-m", "camkit", "affinity-train", *OPTIONS, "killed.safetensors"],
            cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
        )  # fmt: skip
        while run.poll() is None and not moment():
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        if run.wait() == -signal.SIGKILL and not too_late.exists():
            return
        for path in folder.glob("killed.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    pytest.fail("it was never caught at the moment")


def test_killed_at_its_labels_and_at_its_weights_it_ends_with_the_same_bytes(whole: Path) -> None:
    parts, labels = whole / "killed.labels.h5.parts", whole / "killed.labels.h5"
    killed(whole, lambda: any(parts.glob("*.h5*")), too_late=labels)
    state = whole / "killed.safetensors.training" / "state.pt"
    killed(whole, state.exists, too_late=whole / "killed.safetensors")
    made = labels.stat().st_mtime_ns
    last = camkit("affinity-train", *OPTIONS, "killed.safetensors", cwd=whole)
    assert last.returncode == 0, said(last)
    assert "continuing: " in said(last)
    for suffix in (".safetensors", ".last.safetensors", ".curve.csv"):
        assert (whole / f"killed{suffix}").read_bytes() == (whole / f"whole{suffix}").read_bytes()
    assert labels.stat().st_mtime_ns == made
    assert labels_of(labels) == labels_of(whole / "whole.labels.h5")
    assert not state.parent.exists()
    assert not parts.exists()


def labels_of(path: Path) -> dict[str, bytes]:
    with open_store(path) as store:
        return {found.id: found.values.tobytes() for found in store}


def test_two_ranks_learn_what_one_process_learns(whole: Path) -> None:
    """Each makes its share of the labels; the batches of three are shared out unevenly."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "camkit", "affinity-train"]
    both = subprocess.run(
        [*command, *OPTIONS, "two.safetensors"], cwd=whole, capture_output=True, check=False, timeout=200,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert both.returncode == 0, both.stderr.decode()
    alone, shared = (load_file(whole / f"{name}.safetensors") for name in ("whole", "two"))
    for key, value in alone.items():
        torch.testing.assert_close(shared[key], value, rtol=1e-3, atol=1e-5)
    assert labels_of(whole / "two.labels.h5") == labels_of(whole / "whole.labels.h5")

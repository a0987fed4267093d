"""`camkit segment-train` killed while it learns, and on two ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.segment import SMALL, draw_saliency, stores_of
from tests.support.world import camkit, draw_world, said

pytestmark = pytest.mark.slow
OPTIONS = (
    "masks.h5", "--saliency", "saliency", *SMALL, "--epochs", "3", "--accumulate", "2", "--save-every", "0", "--out",
)  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labels and saliency, which some photos lack, and what was learned undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    world = draw_world(folder, count=9)
    stores_of(world, folder)
    draw_saliency(world, folder / "saliency")
    (folder / "saliency" / f"{world.ids[2]}.png").unlink()
    result = camkit("segment-train", *OPTIONS, "whole.safetensors", cwd=folder)
    assert result.returncode == 0, said(result)
    return folder


def test_killed_at_its_weights_it_ends_with_the_same_bytes(whole: Path) -> None:
    state = whole / "killed.safetensors.training" / "state.pt"
    run = subprocess.Popen(
        [sys.executable, "-m", "camkit", "segment-train", *OPTIONS, "killed.safetensors"],
        cwd=whole, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
    )  # fmt: skip
    while run.poll() is None and not state.exists():
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    last = camkit("segment-train", *OPTIONS, "killed.safetensors", cwd=whole)
    assert last.returncode == 0, said(last)
    assert "continuing: " in said(last)
    for suffix in (".safetensors", ".last.safetensors", ".curve.csv"):
        assert (whole / f"killed{suffix}").read_bytes() == (whole / f"whole{suffix}").read_bytes()


def test_two_ranks_learn_what_one_process_learns(whole: Path) -> None:
    """Norms of a rank see its photos alone, so they are frozen; photos have unlike numbers of pixels with a label."""
    still = (*OPTIONS[:-1], "--freeze-norm", "--freeze", "aspp", "--out")
    alone = camkit("segment-train", *still, "one.safetensors", cwd=whole)
    assert alone.returncode == 0, said(alone)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "camkit", "segment-train"]
    both = subprocess.run(
        [*command, *still, "two.safetensors"], cwd=whole, capture_output=True, check=False, timeout=200,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert both.returncode == 0, both.stderr.decode()
    one, two = (load_file(whole / f"{name}.safetensors") for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-5)
    first, second = ((whole / f"{name}.curve.csv").read_text().splitlines()[-1] for name in ("one", "two"))
    figures = zip(first.split(","), second.split(","), strict=True)
    assert all(float(a) == pytest.approx(float(b), rel=1e-3, abs=1e-6) for a, b in figures)

"""Maps made on a GPU are those of the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import camkit
from camkit import Inputs, Network, Output, Runtime, open_store
from camkit.settings.infercam import settings_of
from tests.support.world import World

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("snap", [0, 16])
def test_maps_of_infercam_are_those_of_the_cpu(world: World, tmp_path: Path, snap: int) -> None:
    settings = settings_of(changes={"snap": snap, "rounds": 1})
    for device in ("cpu", "cuda"):
        runtime = Runtime(device=device, precision="float32")
        out = Output(tmp_path / f"{device}.h5")
        camkit.infercam(Inputs(world.root), Network(world.ckpt), out, runtime, settings=settings)
    with open_store(tmp_path / "cpu.h5") as one, open_store(tmp_path / "cuda.h5") as other:
        assert one.ids == other.ids
        for id in one.ids:
            assert np.abs(one.read(id).values - other.read(id).values).max() < 1e-2

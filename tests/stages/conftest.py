"""What the tests of LPCAM share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.lpcam import cluster
from tests.support.world import World, draw_world


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> World:
    """With a classifier that is less sure of itself: scores of centres are spread."""
    world = draw_world(tmp_path_factory.mktemp("photos"), count=24, sizes=((96, 120), (120, 96), (100, 100)))
    state = torch.load(world.ckpt, weights_only=True)
    torch.save({**state, "fc.weight": 0.03 * state["fc.weight"], "fc.bias": 0 * state["fc.bias"]}, world.ckpt)
    return world


@pytest.fixture(scope="module")
def clustered(photos: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prototypes of the photos, with the settings above; tests leave them as they are."""
    out = tmp_path_factory.mktemp("clustered") / "p.h5"
    cluster(photos, out)
    return out

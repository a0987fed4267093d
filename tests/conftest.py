import os
from pathlib import Path

import hypothesis
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores: torch must know before it is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ.setdefault("CAMKIT_PHOTOS", "/")  # tests keep photos, stores and the current folder apart

from tests.support.world import World, draw_world

# The same cases on every machine, CAMKIT_EXPLORE=1 draws new ones; and a busy machine is no failure.
hypothesis.settings.register_profile("camkit", deadline=None, derandomize=not os.environ.get("CAMKIT_EXPLORE"))
hypothesis.settings.load_profile("camkit")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Photos, a checkpoint and the authors' outputs that lie beside some checkouts; elsewhere the test skips."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared")
    return SHARED


@pytest.fixture(scope="session")
def voc_animals(shared: Path) -> Path:
    return shared / "data" / "voc-animals"


@pytest.fixture(scope="session")
def oracles(shared: Path) -> Path:
    return shared / "oracles"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small VOC root and a checkpoint; tests leave them as they are."""
    return draw_world(tmp_path_factory.mktemp("world"))

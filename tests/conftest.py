from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Photos, a checkpoint and the authors' outputs that lie beside some checkouts; tests that need them skip elsewhere."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared")
    return SHARED


@pytest.fixture(scope="session")
def voc_animals(shared: Path) -> Path:
    return shared / "data" / "voc-animals"


@pytest.fixture(scope="session")
def oracles(shared: Path) -> Path:
    return shared / "oracles"

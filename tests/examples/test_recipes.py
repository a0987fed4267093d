"""Every recipe, to its end, in its short form on drawn scenes: no line of them is left unrun."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import served_camkit

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = sorted(path for path in EXAMPLES.glob("*.sh") if "--quick [OUT]" in path.read_text() and path.stem != "quick")
HELPERS = {"own-photos", "quick", "quickstart", "setup"}


def test_every_recipe_has_a_short_form() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.sh")} - HELPERS == {path.stem for path in RECIPES}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with served_camkit(tmp_path_factory.mktemp("served")) as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs_to_its_end(recipe: Path, programs: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        ["bash", recipe, "--quick", "out"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert list((tmp_path / "out").rglob("*.h5"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_without_arguments_says_what_it_needs(recipe: Path, tmp_path: Path) -> None:
    result = subprocess.run(["bash", recipe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"bash examples/{recipe.name}" in result.stderr

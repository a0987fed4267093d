"""The house has rooms, and arrows go one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "camkit"

MAY_IMPORT = {
    "cli": {"stages", "pipeline", "evaluate", "view", "store"},
    "stages": {"training", "pipeline", "methods", "models", "store", "data", "evaluate", "view"},
    "training": {"pipeline", "methods", "models", "store", "data"},
    "pipeline": {"store", "data"},
    "view": {"store", "evaluate"},
    "evaluate": set(),
    "store": set(),
    "data": set(),
    "models": set(),
    "methods": set(),
}
COMMON = {"errors", "types", "defaults", "settings"}


def imported_rooms(source: str) -> set[str]:
    """Rooms of camkit that a file imports, inside functions too."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.append(node.module)
        elif isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail("relative imports hide the arrows")
        elif isinstance(node, ast.Import):
            modules.extend(alias.name for alias in node.names)
    return {parts[1] for module in modules if (parts := module.split("."))[0] == "camkit" and len(parts) > 1}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_go_one_way(room: str) -> None:
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    for file in files:
        strangers = imported_rooms(file.read_text()) - MAY_IMPORT[room] - COMMON - {room}
        assert not strangers, f"{file.relative_to(PACKAGE)} imports {sorted(strangers)}"


def test_every_room_is_known() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(MAY_IMPORT)


def test_files_can_be_read_in_one_sitting() -> None:
    long = {str(file): n for file in PACKAGE.rglob("*.py") if (n := len(file.read_text().splitlines())) > 400}
    assert not long


@pytest.mark.parametrize(
    "module",
    [
        "camkit",
        "camkit.cli.main",
        "camkit.stages.evaluate",
        "camkit.stages.mask",
        "camkit.stages.cam",
        "camkit.stages.crf",
        "camkit.stages.superpixels",
        "camkit.stages.refine",
    ],
)
def test_torch_is_imported_only_when_a_network_runs(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_importable() -> None:
    import camkit
    import camkit.stages.evaluate

    for name in camkit.__all__:
        assert callable(getattr(camkit, name)), f"{name} is hidden by the package of its name"
    assert set(camkit.__all__) == set(camkit._HOMES)
    with pytest.raises(AttributeError):
        _ = camkit.nothing

"""The house has rooms, and arrows go one way."""

from __future__ import annotations

import ast
import keyword
import subprocess
import sys
from pathlib import Path

import pytest

import camkit
from camkit.cli.main import COMMANDS
from camkit.cli.refine import METHODS

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
    "settings": set(),
}
COMMON = {
    "agreement", "errors", "types", "defaults", "settings", "blocks", "upsample",
    "signals", "text", "memory", "temporary",
}  # fmt: skip


SUBCOMMANDS = {"refine": [f"refine {method}" for method in METHODS]}


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


def stage_named_after(command: str) -> str:
    """The file of a command in stages/: `import` is a word of Python's."""
    return command.replace("-", "_").replace(" ", "_") + ("_" if keyword.iskeyword(command) else "")


COMMAND_STAGES = {stage_named_after(name) for command in COMMANDS for name in SUBCOMMANDS.get(command, (command,))}


def test_every_command_has_a_stage_of_its_name() -> None:
    missing = {name for name in COMMAND_STAGES if not (PACKAGE / "stages" / f"{name}.py").is_file()}
    assert not missing


@pytest.mark.parametrize("file", sorted((PACKAGE / "stages").glob("*.py")), ids=lambda file: file.stem)
def test_no_stage_borrows_from_the_file_of_a_command(file: Path) -> None:
    """What several commands need has a file that says what it is: of another command's file only the command is taken.

    That is, names that `camkit` itself offers. The demo runs commands with their settings.
    """
    if file.stem == "demo":
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("camkit") for alias in node.names), file.name
        if not isinstance(node, ast.ImportFrom):
            continue
        room, _, stage = (node.module or "").rpartition(".")
        names = {alias.name for alias in node.names}
        if room == "camkit.stages" and stage in COMMAND_STAGES - {file.stem}:
            borrowed = names - set(camkit.__all__)
            assert not borrowed, f"{file.name} takes {sorted(borrowed)} from {stage}.py, the file of a command"
        assert f"{room}.{stage}" != "camkit.stages", f"{file.name} imports {sorted(names)} as a whole"


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
        "camkit.stages.refine_superpixel",
    ],
)
def test_torch_is_imported_only_when_a_network_runs(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_importable() -> None:
    import camkit.stages.evaluate

    for name in camkit.__all__:
        assert callable(getattr(camkit, name)), f"{name} is hidden by the package of its name"
    with pytest.raises(AttributeError):
        _ = camkit.nothing

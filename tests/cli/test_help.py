"""Help is instant, complete and true; README knows every command."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from camkit.cli.main import COMMANDS, module_of, summary_of
from camkit.cli.refine import METHODS
from tests.support.world import camkit

ROOT = Path(__file__).parents[2]


def test_help_lists_every_command(tmp_path: Path) -> None:
    text = camkit("--help", cwd=tmp_path).stdout.decode()
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example_and_needs_no_torch(command: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    result = camkit(command, "--help", cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 0
    assert f"camkit {command} " in result.stdout.decode()


@pytest.mark.parametrize("command", [*COMMANDS, *(f"refine_{method}" for method in METHODS)])
def test_the_summary_that_is_read_is_that_of_the_command(command: str) -> None:
    module = importlib.import_module(f"camkit.cli.{module_of(command)}")
    about = getattr(module, "command", module).__doc__
    assert summary_of(module.__name__) == about.partition("\n")[0].strip() != ""


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_shows_every_command(command: str) -> None:
    assert f"camkit {command}" in (ROOT / "README.md").read_text()


def test_version(tmp_path: Path) -> None:
    assert re.fullmatch(rb"camkit \d+\.\d+\.\d+\n", camkit("--version", cwd=tmp_path).stdout)


def test_completion_knows_commands(tmp_path: Path) -> None:
    environment = {"_CAMKIT_COMPLETE": "complete_bash", "COMP_WORDS": "camkit ev", "COMP_CWORD": "1"}
    result = camkit(cwd=tmp_path, environment=environment)
    assert "evaluate" in result.stdout.decode()

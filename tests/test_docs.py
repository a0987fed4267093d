"""README and docs/: every command that they show has the options that it is shown with, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from camkit.cli.commandline import ALIASES
from camkit.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_in(text: str) -> Iterator[list[str]]:
    """Of lines set as code and of spans in the text that begin with camkit; each side of a pipe."""
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    spans = re.findall(r"`([^`\n]*camkit [^`\n]*)`", text)
    for line in (*lines, *spans):
        for part in line.partition("   #")[0].split("|"):
            side = re.sub(r"^.*-m camkit ", "camkit ", part.strip())
            if side.startswith("camkit ") and not re.match(r"camkit [A-Z-]", side):
                yield shlex.split(side.split(" > ")[0].partition(" #")[0].replace("…", "x"))


@cache
def options_of(name: str) -> tuple[set[str], object]:
    group = typer.main.get_command(app)
    command = group.get_command(None, name)  # type: ignore[attr-defined, arg-type]
    assert command is not None, name
    return {one for param in command.params for one in (*param.opts, *param.secondary_opts)}, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_options_that_are_shown_are_there(page: Path) -> None:
    for words in commands_in(page.read_text()):
        known, command = options_of(words[1])
        if words[1] == "refine":
            if len(words) < 3:
                continue
            sub = command.get_command(None, words[2])  # type: ignore[attr-defined]
            known = {one for param in sub.params for one in (*param.opts, *param.secondary_opts)}
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in known | {"--help"} | ALIASES.keys(), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_readme_is_short_and_every_page_is_in_the_menu() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
    menu = re.findall(r"- (\S+\.md)", (ROOT / "docs/mkdocs.yml").read_text())
    assert sorted(menu) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))

"""Every number in help prose is that of a preset or a constant: none is spelled a second time."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args

import pytest

import camkit.cli
import camkit.settings
from camkit.cli.main import COMMANDS, module_of
from camkit.data.classes import COCO_CLASSES, VOC_CLASSES
from camkit.data.exchange.formats import READERS
from camkit.settings.option import options_of
from camkit.stages.export import TAKES
from camkit.types import ExportFormat, Format

NO_NUMBERS_OF_METHODS = (
    # names
    r"VOC20\d\d", r"resnet\d+", r"vgg\d+", r"efficientnet-lite0( to 2)?", r"conv\d(_\d)?", r"layer\d[\w.]*", r"\bfc\d",
    r"trunk\.b3", r"deeplabv2", r"float\d+", r"tf32", r"\.h5", r"Table \d", f"VOC's {len(VOC_CLASSES)}",
    f"COCO's {len(COCO_CLASSES)}",
    # formulae, and what maps and masks are
    r"\(1 - largest map\)", r"\(1 - t\)", r"0 … 255", r"\[0, 1\]", r"sum to 1", r"below 0 as 0", r"above 1 as 1",
    r"(above|below) 0\b", r"below 1\b", r"at scale 1\b", r"class \+ 1", r"255 (is ignored|undecided|teaches nothing)",
    r"0 (background|none, 1 …)", r"255 ignored", r"images 1\.1",
    # what a number that is given means, and codes
    r"\b0: (nothing|one)", r"counted from 0 or from 1", r"\(default 0\)", r"43\.5, or 0\.435", r"Exit with 1",
    r"\(8 or 16\)", r"\b0 trained the classifier",
)  # fmt: skip
KNOWN = re.compile("|".join(NO_NUMBERS_OF_METHODS))


def numbers_in(text: str) -> list[str]:
    return re.findall(r"\d[\d.]*", KNOWN.sub("", text))


def found_settings() -> Iterator[type]:
    for info in pkgutil.iter_modules(camkit.settings.__path__):
        module = importlib.import_module(f"camkit.settings.{info.name}")
        for _, one in inspect.getmembers(module, inspect.isclass):
            if is_dataclass(one) and one.__module__ == module.__name__ and options_of(one):
                yield one


SETTINGS = sorted(found_settings(), key=lambda one: one.__name__)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda one: one.__name__)
def test_no_setting_spells_a_number_in_its_help(settings: type) -> None:
    for name, (about, _) in options_of(settings).items():
        assert not numbers_in(re.sub(r"{\w+}", "", about.help)), f"{settings.__name__}.{name}: {about.help}"


CLI = Path(camkit.cli.__path__[0])


def help_texts(tree: ast.AST) -> Iterator[str]:
    """Of options that are written by hand: texts, and of those with placeholders what stands around these.

    Options are made by calls of panels, in capitals, or have `help=`; texts for a group's options stand in dicts.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield from (text_of(one.value) for one in node.keywords if one.arg == "help")
            if name.isupper() and node.args:
                yield text_of(node.args[0])
        if isinstance(node, ast.Dict):
            yield from (text_of(value) for value in node.values if isinstance(value, ast.Constant | ast.JoinedStr))


def text_of(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    return str(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("file", sorted(CLI.glob("*.py")), ids=lambda file: file.stem)
def test_no_option_of_a_command_spells_a_number_in_its_help(file: Path) -> None:
    for text in help_texts(ast.parse(file.read_text())):
        assert not numbers_in(text), text


def test_the_search_finds_numbers() -> None:
    source = 'a = o.METHOD(f"Of tanh: 3, {b}.")\nc = {"size": "Default: 4."}\nd = Argument(help="8 (VOC2012)")'
    assert [numbers_in(text) for text in help_texts(ast.parse(source))] == [["3"], ["4."], ["8"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_prose_of_a_command_spells_no_number(command: str) -> None:
    """Its examples may: what a user chooses."""
    tree = ast.parse((CLI / f"{module_of(command)}.py").read_text())
    bodies = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "command"]
    for paragraph in (ast.get_docstring(bodies[0] if bodies else tree) or "").split("\n\n"):  # type: ignore[arg-type]
        assert paragraph.startswith("camkit ") or not numbers_in(paragraph), paragraph


def test_what_is_let_pass_is_there() -> None:
    texts = [about.help for one in SETTINGS for about, _ in options_of(one).values()]
    for file in CLI.glob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text()))
        texts += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    told = " ".join(" ".join(texts).split())
    assert not [phrase for phrase in NO_NUMBERS_OF_METHODS if not re.search(phrase, told)]


def test_the_recipe_in_the_help_is_the_recipe() -> None:
    from camkit.cli.affinity_train import command as affinity_train
    from camkit.cli.irn_train import command as irn_train

    for command, words in (
        (affinity_train, "8 epochs, batches of 8 crops of 448 px, rate 0.1"),
        (irn_train, "3 epochs, batches of 32 crops of 512 px, rate 0.1"),
    ):
        assert words in " ".join((command.__doc__ or "").split())


def test_formats_are_those_that_are_read_and_written() -> None:
    assert set(get_args(Format)) == set(READERS)
    assert set(get_args(ExportFormat)) == set(TAKES)

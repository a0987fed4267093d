"""What is said of a command line that is wrong: one or two plain lines, and what may have been meant."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Collection, Sequence
from typing import Any, Literal, get_args, get_origin

import typer

from camkit.settings.option import without_none

CommandLineError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Of everything that Typer, or the click inside it, finds wrong."""


def told(error: Any) -> str:
    """The message, without a word of the library that read the options."""
    kind, context = type(error).__name__, error.ctx
    command = context.command_path if context is not None else "camkit"
    if kind == "NoSuchOption":
        said = f"{command} has no option {error.option_name}{_meant(error.option_name, _options(context))}"
    elif kind == "MissingParameter":
        said = f"{command} needs {_name(error.param)}: {_first_sentence(error.param)}"
    elif kind == "BadOptionUsage":
        said = f"{error.option_name} needs a value"
    elif kind == "BadParameter" and error.param is not None:
        asked, words = context.command.asked.get(error.param.name), context.command.words
        said = f"{_name(error.param)} {_given(error.param, words)}: give {wanted(asked)}"
    elif extra := re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", error.format_message()):
        said = f"{command} has no use for: {extra[1]}"
    else:
        said = error.format_message()
    return f"{said}\n{command} --help tells more"


def no_command(name: str, known: Collection[str], within: str) -> str:
    return f"there is no command {within} {name}{_meant(name, known)}\n{within} --help lists all"


def wanted(asked: inspect.Parameter | None) -> str:
    """'a whole number from 1', 'one of skip, stop', by how the command declares the option."""
    kind, *about = get_args(asked.annotation) if asked is not None else (None,)
    kind = without_none(kind)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    what = {int: "a whole number", float: "a number"}.get(kind, "another value")
    option = next((one for one in about if hasattr(one, "min")), None)
    low, high = (None, None) if option is None else (option.min, option.max)
    if low is not None and high is not None:
        return f"{what} from {low:g} to {high:g}"
    return what + (f" from {low:g}" if low is not None else f" up to {high:g}" if high is not None else "")


def _given(param: Any, words: Sequence[str]) -> str:
    """What the user wrote behind the option."""
    names = (*param.opts, *param.secondary_opts)
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else next(iter(words[number + 1 :]), "")
    return ""


def _name(param: Any) -> str:
    """The first long option, or the word in the usage line."""
    if param.param_type_name == "argument":
        return str(param.metavar or param.human_readable_name)
    return next((one for one in param.opts if one.startswith("--")), param.opts[0])


def _first_sentence(param: Any) -> str:
    text = " ".join((getattr(param, "help", None) or "").split())
    first = re.split(r"\. |; ", text)[0].rstrip(".")
    return first[:1].lower() + first[1:] if first[1:2].islower() else first


def _options(context: Any) -> list[str]:
    params = context.command.params if context is not None else []
    return [name for one in params if not getattr(one, "hidden", False) for name in (*one.opts, *one.secondary_opts)]


def _meant(name: str, known: Collection[str]) -> str:
    """Dashes in front make nothing alike."""
    bare = {one.lstrip("-"): one for one in known if one.startswith("-") == name.startswith("-")}
    near = difflib.get_close_matches(name.lstrip("-"), bare, n=1)
    return f"; do you mean {bare[near[0]]}?" if near else ""

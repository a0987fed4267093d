"""How the words of a command line are read, beyond what Typer does."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from typer.core import TyperCommand

SEVERAL = "--images"
"""Takes all words up to the next option, where a command has no words of its own: a shell makes many of *.jpg."""


ALIASES = {"--lr": "--rate", "--optimizer": "--optimiser"}
"""What other programs call an option; help does not name them."""


class Command(TyperCommand):
    """`asked`: the options as the command declares them; `words`: what was given."""

    asked: ClassVar[Mapping[str, inspect.Parameter]] = {}
    words: Sequence[str] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        self.words = [*args]
        options = {name for one in self.params for name in (*one.opts, *one.secondary_opts)}
        args = [known_name(word, options) for word in args]
        own_words = any(one.param_type_name == "argument" for one in self.params)
        return super().parse_args(ctx, args if own_words else repeated(args))


def known_name(word: str, options: Collection[str]) -> str:
    """`--lr=0.1` → `--rate=0.1`, where there is --rate and no --lr."""
    name, equals, value = word.partition("=")
    meant = ALIASES.get(name)
    return word if meant not in options or name in options else f"{meant}{equals}{value}"


def repeated(words: list[str]) -> list[str]:
    """`--images a b` → `--images a --images b`."""
    found: list[str] = []
    gathers = False
    for word in words:
        is_option = word.startswith("-") and word != "-"
        if gathers and not is_option and found[-1] != SEVERAL:
            found.append(SEVERAL)
        if is_option:
            gathers = word == SEVERAL
        found.append(word)
    return found

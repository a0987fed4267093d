"""How the words of a command line are read, beyond what Typer does."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

SEVERAL = "--images"
"""Takes all words up to the next option, where a command has no words of its own: a shell makes many of *.jpg."""


class Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own_words = any(one.param_type_name == "argument" for one in self.params)
        return super().parse_args(ctx, args if own_words else repeated(args))


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

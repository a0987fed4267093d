"""A field of a settings class that a user may set: what it means and within which bounds, spelled once."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import inf
from types import NoneType, UnionType
from typing import Any, Literal

from camkit.errors import UsageError

KEY = "option"
NO_FACTS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Option:
    """help may name `{default}`, "4 (dcsm 1)", `{presets}`, "paper 0.01, published 0.02", or one of `facts`.

    low, high  bounds of a number, or of each of several; `outside`: which of them are excluded
    flags      "--flip/--no-flip" or a second name, where the field's own name is not all of it
    nothing    the word that a user writes for None
    """

    help: str
    low: float = -inf
    high: float = inf
    outside: Literal["neither", "low", "high", "both"] = "neither"
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    nothing: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def admits(self, value: float) -> bool:
        """Not so infinities and what is not a number."""
        above = self.low < value if self.outside in ("low", "both") else self.low <= value
        below = value < self.high if self.outside in ("high", "both") else value <= self.high
        return above and below and abs(value) < inf

    @property
    def wanted(self) -> str:
        """'a number above 0', '1 or more', 'a number from 0 to 1'."""
        if self.low > -inf and self.high < inf:
            between = f"between {self.low:g} and {self.high:g}" if self.outside == "both" else ""
            return f"a number {between or f'from {self.low:g} to {self.high:g}'}"
        if self.high < inf:
            return f"a number up to {self.high:g}"
        return f"a number above {self.low:g}" if self.outside == "low" else f"{self.low:g} or more"


def option(
    default: Any,
    help: str,
    *,
    low: float = -inf,
    high: float = inf,
    outside: Literal["neither", "low", "high", "both"] = "neither",
    metavar: str | None = None,
    flags: Sequence[str] = (),
    nothing: str | None = None,
    facts: Mapping[str, Any] = NO_FACTS,
) -> Any:
    """A dataclass field that a user may set."""
    told = Option(help, low, high, outside, metavar, tuple(flags), nothing, facts)
    return field(default=default, metadata={KEY: told})


def options_of(settings: type) -> dict[str, tuple[Option, Any]]:
    """Of the fields that a user may set: the option, and the type without None."""
    hints = typing.get_type_hints(settings)
    asked = (one for one in fields(settings) if KEY in one.metadata)
    return {one.name: (one.metadata[KEY], without_none(hints[one.name])) for one in asked}


def without_none(hint: Any) -> Any:
    if typing.get_origin(hint) not in (UnionType, typing.Union):
        return hint
    return next(part for part in typing.get_args(hint) if part is not NoneType)


def item_of(kind: Any) -> type | None:
    """Of several values of one type that type, `tuple[float, ...]`; None: a single value."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None


def check(settings: Any) -> None:
    """UsageError for a number outside its bounds, or a word that is not among the choices."""
    for name, (about, kind) in options_of(type(settings)).items():
        value = getattr(settings, name)
        if value is None:
            continue
        flag = f"--{name.replace('_', '-')}"
        if value == () and item_of(kind) is not str:
            raise UsageError(f"{flag}: give at least one")
        for one in (value,) if item_of(kind) is None else value:
            if isinstance(one, int | float) and not isinstance(one, bool) and not about.admits(one):
                raise UsageError(f"{flag} {one:g}: give {about.wanted}")
        if typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
            raise UsageError(f"{flag} {value} is not known; known are {', '.join(typing.get_args(kind))}")


def help_of(name: str, about: Option, presets: Mapping[str, Any]) -> str:
    """The option's help with the numbers of the presets in it; the first preset is the default."""
    values = {preset: getattr(settings, name) for preset, settings in presets.items()}
    return about.help.format(default=_default_words(values), presets=_preset_words(values), **about.facts)


def _default_words(values: Mapping[str, Any]) -> str:
    main, *_ = values.values()
    others = ", ".join(f"{preset} {words(value)}" for preset, value in values.items() if value != main)
    return words(main) + (f" ({others})" if others else "")


def _preset_words(values: Mapping[str, Any]) -> str:
    if len(set(values.values())) == 1:
        return words(next(iter(values.values())))
    return ", ".join(f"{preset} {words(value)}" for preset, value in values.items())


def words(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(words, value))
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)

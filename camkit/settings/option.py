"""A field of a settings class that a user may set: what it means and within which bounds, spelled once."""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf
from string import Formatter
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from camkit.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Fields = TypeVar("Fields", bound="DataclassInstance")

KEY = "option"
NO_FACTS: Mapping[str, Any] = {}
NO_CHANGES: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Option:
    """help may name `{default}`, "4 (dcsm 1)", `{presets}`, "paper 0.01, published 0.02", a preset, or one of `facts`.

    low, high  bounds of a number, or of each of several; `outside`: which of them are excluded
    what       is to be given: a number, a probability
    flags      "--flip/--no-flip" or a second name, where the field's own name is not all of it
    nothing    the word that a user writes for None
    """

    help: str
    low: float = -inf
    high: float = inf
    outside: Literal["neither", "low", "high", "both"] = "neither"
    what: str = "a number"
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    nothing: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tells_default(self) -> bool:
        """Whether the help does, so that nobody else has to."""
        return bool({name for _, name, _, _ in Formatter().parse(self.help) if name} - self.facts.keys())

    def admits(self, value: float) -> bool:
        """Not so infinities and what is not a number."""
        above = self.low < value if self.outside in ("low", "both") else self.low <= value
        below = value < self.high if self.outside in ("high", "both") else value <= self.high
        return above and below and abs(value) < inf

    @property
    def wanted(self) -> str:
        """'a number above 0', '0 or more', 'at least 1', 'a number from 0 to 1'."""
        if self.low > -inf and self.high < inf:
            low, high = f"{self.low:g}", f"{self.high:g}".replace("e+0", "e")
            if self.outside == "high":
                return f"{self.what}, {low} or more and below {high}"
            return f"{self.what} " + (
                f"between {low} and {high}" if self.outside == "both" else f"from {low} to {high}"
            )
        if self.high < inf:
            return f"{self.what} up to {self.high:g}"
        if self.outside == "low":
            return f"{self.what} above {self.low:g}"
        return f"at least {self.low:g}" if self.low > 0 else f"{self.low:g} or more"


def option(
    default: Any,
    help: str,
    *,
    low: float = -inf,
    high: float = inf,
    outside: Literal["neither", "low", "high", "both"] = "neither",
    what: str = "a number",
    metavar: str | None = None,
    flags: Sequence[str] = (),
    nothing: str | None = None,
    facts: Mapping[str, Any] = NO_FACTS,
) -> Any:
    """A dataclass field that a user may set."""
    told = Option(help, low, high, outside, what, metavar, tuple(flags), nothing, facts)
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


def flag_of(name: str, about: Option) -> str:
    """The option's first name; of two that contradict each other the one that says yes."""
    return about.flags[0].partition("/")[0] if about.flags else f"--{name.replace('_', '-')}"


def check(settings: Any) -> None:
    """UsageError for a number outside its bounds, or a word that is not among the choices."""
    for name, (about, kind) in options_of(type(settings)).items():
        value = getattr(settings, name)
        if value is None:
            continue
        flag = flag_of(name, about)
        if value == () and item_of(kind) is not str:
            raise UsageError(f"{flag}: give at least one")
        for one in (value,) if item_of(kind) is None else value:
            if isinstance(one, int | float) and not isinstance(one, bool) and not about.admits(one):
                raise UsageError(f"{flag} {one}: give {about.wanted}")
        if typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
            raise UsageError(f"{flag} {value} is not known; known are {', '.join(typing.get_args(kind))}")


def help_of(name: str, about: Option, presets: Mapping[str, Any]) -> str:
    """The option's help with the numbers of the presets in it; the first preset is the default."""
    values = {preset: getattr(settings, name) for preset, settings in presets.items()}
    of_presets = {preset: words(value) for preset, value in values.items()}
    told = about.help.format(**of_presets, default=_default_words(values), presets=_preset_words(values), **about.facts)
    if about.tells_default or len(values) == 1:
        return told
    return f"{told} Default: {_grouped_words(values)}.".strip()


def _grouped_words(values: Mapping[str, Any]) -> str:
    """The value that most presets have, and those of the others: '15; scratch 30, irn 5'."""
    told = {preset: _setting_words(value) for preset, value in values.items()}
    usual, _ = Counter(told.values()).most_common(1)[0]
    others = ", ".join(f"{preset} {value}" for preset, value in told.items() if value != usual)
    return usual + (f"; {others}" if others else "")


def _setting_words(value: Any) -> str:
    if value is None or value == ():
        return "none"
    return ("on" if value else "off") if isinstance(value, bool) else words(value)


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


def changed(settings: Fields, changes: Mapping[str, Any], *others: type[DataclassInstance]) -> Fields:
    """The settings with those of the changes that are fields of theirs; the rest are fields of the other classes."""
    own, theirs = ({field.name for one in classes for field in fields(one)} for classes in ([type(settings)], others))
    unknown = changes.keys() - own - theirs
    if unknown:
        known = ", ".join(sorted(own | theirs))
        raise UsageError(f"{min(unknown)} is not among the settings, which are {known}")
    return replace(settings, **{name: value for name, value in changes.items() if name in own})


def preset_of(presets: Mapping[Any, T], name: str, option: str = "--preset") -> T:
    if name not in presets:
        raise UsageError(f"{option} {name} is not known; known are {one_of(tuple(presets))}")
    return presets[name]


def one_of(names: Sequence[str]) -> str:
    """'psa, irn, dcsm, icd', of two 'paper and published'."""
    return " and ".join(names) if len(names) == 2 else ", ".join(names)

"""Groups of options that many commands have: a command names what it needs, and the group makes that of its options.

`inputs: o.Inputs` stands for all options of the function `o.inputs`, in their place, and is what that function returns;
so does an option whose text has to be read. `Settings` stands for the fields of a settings class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from math import inf
from typing import Annotated, Any, get_args

import typer
from typer.models import OptionInfo

from camkit.cli.parse import is_text, setting
from camkit.settings.option import Option, flag_of, help_of, options_of, words


class Panel(str):
    """A title in the help, and what makes an option below it."""

    __slots__ = ()

    def __call__(
        self, help: str, *flags: str, metavar: str | None = None, low: float | None = None, high: float | None = None
    ) -> Any:
        return typer.Option(*flags, help=help, metavar=metavar, min=low, max=high, rich_help_panel=str(self) or None)


@dataclass(frozen=True)
class Group:
    """In an Annotated: the options are the parameters of `make`, groups among them too.

    told  help of those that mean something else to this command
    """

    make: Callable[..., Any]
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> list[inspect.Parameter]:
        return [retold(one, self.told) for one in options_asked(self.make)]

    def value(self, options: Mapping[str, Any]) -> Any:
        return self.make(**gathered(self.make, options))


@dataclass(frozen=True)
class Settings:
    """In an Annotated: the options are the fields of a settings class; their value is what the user changed, by name.

    presets  instances by name, the default one first; help tells their numbers
    panel    the options' title in the help
    of       the class whose fields these are; None: that of the presets
    but      fields that the command asks for itself, or not at all
    told     help of fields that mean something else to this command
    """

    presets: Mapping[Any, Any]
    panel: str
    of: type | None = None
    but: tuple[str, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, tuple[Option, Any]]:
        found = options_of(self.of or type(next(iter(self.presets.values()))))
        return {
            name: (replace(about, help=self.told.get(name, about.help)), kind)
            for name, (about, kind) in found.items()
            if name not in self.but
        }

    @property
    def options(self) -> list[inspect.Parameter]:
        return [self._option(name, about, kind) for name, (about, kind) in self.fields.items()]

    def _option(self, name: str, about: Option, kind: Any) -> inspect.Parameter:
        bounded = kind in (int, float) and about.outside == "neither" and about.nothing is None
        option = typer.Option(
            *(about.flags or (flag_of(name, about),)),
            help=help_of(name, about, self.presets) or None,
            min=kind(about.low) if bounded and about.low > -inf else None,
            max=kind(about.high) if bounded and about.high < inf else None,
            metavar=about.metavar,
            rich_help_panel=str(self.panel),
        )
        return parameter(name, Annotated[(str if is_text(about, kind) else kind) | None, option], self._default(name))

    def _default(self, name: str) -> Any:
        """The value itself where there is but one preset and help does not tell it; else None."""
        if len(self.presets) > 1 or self.fields[name][0].tells_default:
            return None
        only = getattr(next(iter(self.presets.values())), name)
        return words(only) if isinstance(only, tuple) else only

    def value(self, options: Mapping[str, Any]) -> dict[str, Any]:
        fields = self.fields
        given = {name: options[name] for name in fields if options[name] is not None}
        return {name: setting(flag_of(name, fields[name][0]), value, *fields[name]) for name, value in given.items()}


def with_facts(**facts: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose help names numbers that are spelled elsewhere."""

    def named(command: Callable[..., None]) -> Callable[..., None]:
        command.__doc__ = (command.__doc__ or "").format(**facts)
        return command

    return named


def signature_of(command: Callable[..., Any], common: Callable[..., Any]) -> inspect.Signature:
    """What Typer is to read: the command's options, then those of all commands."""
    return inspect.Signature([*options_asked(command), *options_asked(common)])


def options_asked(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Of each parameter: itself, or where it is a group the options of that."""
    found: list[inspect.Parameter] = []
    for one in _parameters(function).values():
        group = group_of(one)
        found.extend([parameter(one.name, one.annotation, one.default)] if group is None else group.options)
    return found


def gathered(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The function's own arguments, those of groups made of their options."""
    groups = {name: group_of(one) for name, one in _parameters(function).items()}
    return {name: options[name] if group is None else group.value(options) for name, group in groups.items()}


def group_of(one: inspect.Parameter) -> Group | Settings | None:
    return next((part for part in get_args(one.annotation)[1:] if isinstance(part, Group | Settings)), None)


def retold(one: inspect.Parameter, told: Mapping[str, str]) -> inspect.Parameter:
    if one.name not in told:
        return one
    kind, *about = get_args(one.annotation)
    option = copy(next(part for part in about if isinstance(part, OptionInfo)))
    option.help = told[one.name]
    return parameter(one.name, Annotated[kind, option], one.default)


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function, eval_str=True).parameters

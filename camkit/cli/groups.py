"""Groups of options that many commands have: a command names what it needs, and the group makes that of its options.

`inputs: o.Inputs` stands for all options of the function `o.inputs`, in their place, and is what that function returns;
so does an option whose text has to be read. `Settings` stands for the fields of a settings class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Any, get_args

import typer

from camkit.cli.parse import is_text, setting
from camkit.settings.option import Option, help_of, options_of, words


@dataclass(frozen=True)
class Group:
    """In an Annotated: the options are the parameters of `make`, groups among them too."""

    make: Callable[..., Any]

    @property
    def options(self) -> list[inspect.Parameter]:
        return options_asked(self.make)

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

    presets: Mapping[str, Any]
    panel: str
    of: type | None = None
    but: tuple[str, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, tuple[Option, Any]]:
        found = options_of(self.of or type(next(iter(self.presets.values()))))
        return {name: about for name, about in found.items() if name not in self.but}

    @property
    def options(self) -> list[inspect.Parameter]:
        return [self._option(name, about, kind) for name, (about, kind) in self.fields.items()]

    def _option(self, name: str, about: Option, kind: Any) -> inspect.Parameter:
        bounded = kind in (int, float) and about.outside == "neither" and about.nothing is None
        option = typer.Option(
            *(about.flags or (f"--{name.replace('_', '-')}",)),
            help=self.told.get(name) or help_of(name, about, self.presets) or None,
            min=about.low if bounded and about.low > -inf else None,
            max=about.high if bounded and about.high < inf else None,
            metavar=about.metavar,
            rich_help_panel=self.panel,
        )
        return parameter(name, Annotated[(str if is_text(about, kind) else kind) | None, option], self._default(name))

    def _default(self, name: str) -> Any:
        """The value itself where there is but one preset; else None, and help tells the presets' numbers."""
        only = getattr(next(iter(self.presets.values())), name) if len(self.presets) == 1 else None
        return words(only) if isinstance(only, tuple) else only

    def value(self, options: Mapping[str, Any]) -> dict[str, Any]:
        fields = self.fields
        given = {name: options[name] for name in fields if options[name] is not None}
        return {name: setting(f"--{name.replace('_', '-')}", value, *fields[name]) for name, value in given.items()}


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


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function, eval_str=True).parameters

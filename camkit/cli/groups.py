"""Groups of options that many commands have: a command names what it needs, and the group makes that of its options.

`inputs: o.Inputs` stands for all options of the function `o.inputs`, in their place, and is what that function returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args


@dataclass(frozen=True)
class Group:
    """In an Annotated: the options are the parameters of `make`."""

    make: Callable[..., Any]


def signature_of(command: Callable[..., Any], common: Callable[..., Any]) -> inspect.Signature:
    """What Typer is to read: the command's parameters, with the options of a group in its place, then common ones."""
    asked = (*_parameters(command).values(), *_parameters(common).values())
    found = [option for parameter in asked for option in _options(parameter)]
    return inspect.Signature([option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in found])


def gathered(command: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The command's own arguments, those of groups made of their options."""
    return {name: _value(one, options) for name, one in _parameters(command).items()}


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function, eval_str=True).parameters


def _group(parameter: inspect.Parameter) -> Group | None:
    return next((one for one in get_args(parameter.annotation)[1:] if isinstance(one, Group)), None)


def _options(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    group = _group(parameter)
    return [parameter] if group is None else list(_parameters(group.make).values())


def _value(parameter: inspect.Parameter, options: Mapping[str, Any]) -> Any:
    group = _group(parameter)
    if group is None:
        return options[parameter.name]
    return group.make(**{name: options[name] for name in _parameters(group.make)})

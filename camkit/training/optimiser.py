"""Which parameters learn, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from camkit.errors import UsageError
from camkit.settings.recipe import Recipe


class Group(Protocol):
    """Parameters that learn alike, by name: factors on the recipe's rate and weight decay."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def rate(self) -> float: ...

    @property
    def decay(self) -> float: ...


def make_optimiser(
    network: nn.Module, fresh: Sequence[str], recipe: Recipe, groups: Sequence[Group] | None = None
) -> torch.optim.Optimizer:
    """groups: how its parameters learn. None: those of the modules `fresh` learn `head_factor` times as fast."""
    chosen = _old_and_new(network, fresh, recipe) if groups is None else _by_name(network, recipe, groups)
    chosen = [group for group in chosen if group["params"]]
    if not chosen:
        raise UsageError("--freeze leaves nothing to train")
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(chosen, lr=recipe.rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(chosen, lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def _old_and_new(network: nn.Module, fresh: Sequence[str], recipe: Recipe) -> list[dict[str, Any]]:
    new = {id(p) for name, p in network.named_parameters() if any(f"{name}.".startswith(f"{one}.") for one in fresh)}
    learning = [p for p in network.parameters() if p.requires_grad]
    split = [[p for p in learning if id(p) not in new], [p for p in learning if id(p) in new]]
    factors = (1.0, recipe.head_factor)
    return [{"params": part, "lr": recipe.rate * factor} for part, factor in zip(split, factors, strict=True)]


def _by_name(network: nn.Module, recipe: Recipe, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """What is in no group is held still. The slowest first, whose rate the learning curve tells."""
    named = dict(network.named_parameters())
    for name in named.keys() - {name for group in groups for name in group.names}:
        named[name].requires_grad = False
    return [
        {
            "params": [named[name] for name in group.names if named[name].requires_grad],
            "lr": recipe.rate * group.rate,
            "weight_decay": recipe.weight_decay * group.decay,
        }
        for group in sorted(groups, key=lambda group: group.rate)
    ]

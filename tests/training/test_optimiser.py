"""How parameters learn that a network sorts into groups."""

from __future__ import annotations

from torch import nn

from camkit.models.segmentation.network import Group
from camkit.settings.recipe import Recipe
from camkit.training.optimiser import make_optimiser


def test_groups_have_factors_on_rate_and_decay_and_what_is_in_none_rests() -> None:
    network = nn.ModuleDict({"trunk": nn.Linear(2, 2), "head": nn.Linear(2, 2), "norm": nn.BatchNorm1d(2)})
    groups = [
        Group(("head.bias",), 20, 0),
        Group(("head.weight",), 10, 1),
        Group(("trunk.weight", "trunk.bias"), 1, 1),
    ]
    optimiser = make_optimiser(network, ["head"], Recipe(rate=0.1, weight_decay=0.5), groups)
    found = [(len(group["params"]), group["lr"], group["weight_decay"]) for group in optimiser.param_groups]
    assert found == [(2, 0.1, 0.5), (1, 1.0, 0.5), (1, 2.0, 0.0)]
    assert [name for name, value in network.named_parameters() if not value.requires_grad] == [
        "norm.weight", "norm.bias",
    ]  # fmt: skip
    trunk = network["trunk"].requires_grad_(requires_grad=False)
    optimiser = make_optimiser(network, [], Recipe(), groups)
    assert all(
        value is not weight
        for group in optimiser.param_groups
        for value in group["params"]
        for weight in trunk.parameters()
    )

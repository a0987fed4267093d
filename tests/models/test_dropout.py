"""What is left out at random while VGG16 and ICD's own layers learn, and never afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from camkit.models import zoo
from camkit.models.icd import IcdNetwork, IcdPlan
from camkit.models.vgg import VGG16
from camkit.training.resting import below, train_mode

X = torch.linspace(-3, 3, 3 * 64 * 72).reshape(1, 3, 64, 72).sin()


def vgg16() -> VGG16:
    torch.manual_seed(0)
    network = zoo.build("vgg16", 3, width=8)
    assert isinstance(network, VGG16)
    return network


def branch(plan: IcdPlan) -> tuple[IcdNetwork, Callable[[Tensor], Tensor]]:
    """Of a backbone that leaves out nothing itself."""
    torch.manual_seed(0)
    network = IcdNetwork(zoo.build("toy", 3, width=4), plan)
    network.classifier.eval()
    return network, network.adapted


@pytest.mark.parametrize("structure", ["b", "c"])
def test_icds_own_layers_leave_out_activations_in_training_alone(structure: str) -> None:
    network, adapted = branch(IcdPlan(structure=structure, hidden=64))  # type: ignore[arg-type]
    network.heads.norm.eval()
    with torch.no_grad():
        assert not torch.equal(adapted(X), adapted(X))
        network.eval()
        assert torch.equal(adapted(X), adapted(X))


def test_half_of_vgg16s_activations_are_left_out_in_training_alone() -> None:
    network, seen = vgg16(), list[tuple[Tensor, Tensor]]()
    network.dropout.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        features = network.features(X)
        whole = network.eval().features(X)
        assert torch.equal(whole, network.features(X))
    for before, after in seen[:2]:
        kept = after[before > 0] > 0
        assert 0.4 < float(kept.float().mean()) < 0.6
        torch.testing.assert_close(after[after > 0], 2 * before[after > 0])
    assert torch.equal(seen[1][1], features)
    torch.testing.assert_close(seen[0][0], network.eval().fc6(network.trunk(X)).relu())  # type: ignore[misc]


def test_it_goes_on_where_the_trunk_rests() -> None:
    network = vgg16()
    train_mode(network, below(network, network.upper_names).modules, freeze_norm=False)
    assert not network.trunk.training
    with torch.no_grad():
        assert not torch.equal(network.features(X), network.features(X))


def test_published_keys_stay() -> None:
    assert not any("dropout" in key for key in IcdNetwork(vgg16(), IcdPlan(hidden=8)).state_dict())

"""A training of two phases: first the classifier's own layers learn, then all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn

from camkit.errors import UsageError
from camkit.models import zoo
from camkit.models.icd import IcdNetwork, IcdPlan
from camkit.settings.recipe import PRESETS, Recipe, check_recipe
from camkit.training.loop import train
from camkit.training.ranks import Ranks
from camkit.training.resting import below
from tests.training.test_loop import CPU, RECIPE, begun, job_of, load, same, trained, weights

TWO = replace(RECIPE, ema=None, rest_epochs=1)
TRUNK = ("trunk.0.weight", "trunk.1.weight", "trunk.1.bias", "trunk.1.running_mean", "trunk.1.num_batches_tracked")


def test_at_first_the_upper_layers_learn_alone_then_all(tmp_path: Path) -> None:
    start = {key: value.clone() for key, value in job_of().network.state_dict().items()}
    kept: list[dict[str, torch.Tensor]] = []
    asked: list[set[str]] = []

    def noting(network: nn.Module, figures: Mapping[str, Any], path: Path) -> None:
        kept.append({key: value.clone() for key, value in network.state_dict().items()})
        asked.append({name for name, weight in network.named_parameters() if weight.grad is not None})
        torch.save(network.state_dict(), path)

    trained(tmp_path / "out.safetensors", TWO, upper=["head"], save=noting, best_by=None, validate=None)
    first, second = kept[0], kept[2]  # each is kept as the last and as the best
    assert asked[0] == {"head.weight", "head.bias"}
    assert asked[2] == {name for name, _ in job_of().network.named_parameters()}
    for key in TRUNK:
        assert torch.equal(first[key], start[key])
        assert not torch.equal(second[key], start[key])
    assert not torch.equal(first["head.weight"], start["head.weight"])


def test_without_rest_epochs_all_learn_from_the_first(tmp_path: Path) -> None:
    trained(tmp_path / "a.safetensors", replace(TWO, rest_epochs=0), upper=["head"])
    trained(tmp_path / "b.safetensors", replace(TWO, rest_epochs=0))
    assert same(weights(tmp_path / "a.safetensors"), weights(tmp_path / "b.safetensors"))


@pytest.mark.parametrize("dies_at", [0, 7, 20, 21, 43, 59])
def test_a_run_that_died_in_either_phase_ends_as_one_left_alone(tmp_path: Path, dies_at: int) -> None:
    """Of three epochs of 20 photos each; a momentum of all weights goes on."""
    undisturbed = trained(tmp_path / "whole.safetensors", TWO, upper=["head"])
    calls = 0

    def dying(item: int, rng: np.random.Generator) -> Any:
        nonlocal calls
        calls += 1
        if calls == dies_at + 1:
            raise MemoryError("the machine went away")
        return load(item, rng)

    out = tmp_path / "died.safetensors"
    with pytest.raises(MemoryError):
        trained(out, TWO, load=dying, workers=0, upper=["head"])
    continued = trained(out, TWO, upper=["head"])
    assert same(weights(out), weights(tmp_path / "whole.safetensors"))
    assert same(weights(tmp_path / "died.last.safetensors"), weights(tmp_path / "whole.last.safetensors"))
    assert continued.history == undisturbed.history


def test_what_is_frozen_never_learns_and_something_must_at_first(tmp_path: Path) -> None:
    start = {key: value.clone() for key, value in job_of().network.state_dict().items()}
    trained(tmp_path / "out.safetensors", replace(TWO, freeze=("trunk.1",)), upper=["head"])
    after = weights(tmp_path / "out.last.safetensors")
    assert torch.equal(after["trunk.1.weight"], start["trunk.1.weight"])
    assert not torch.equal(after["trunk.0.weight"], start["trunk.0.weight"])
    for changes, upper in (({"freeze": ("head",)}, ["head"]), ({}, [])):
        with pytest.raises(UsageError, match="--rest-epochs: none of the layers that are to learn first learns"):
            trained(tmp_path / "no.safetensors", replace(TWO, **changes), upper=upper)


def test_every_network_knows_its_upper_layers() -> None:
    for arch, upper in (("vgg16", ("fc6", "fc7", "head")), ("resnet18", ("head",)), ("toy", ("head",))):
        network = zoo.build(arch, 3, width=4)
        assert network.upper_names == upper
        lower = below(network, network.upper_names)
        own = {id(weight) for name in upper for weight in network.get_submodule(name).parameters()}
        assert own | {id(weight) for weight in lower.weights} == {id(weight) for weight in network.parameters()}
        assert not own & {id(weight) for weight in lower.weights}
        if arch == "vgg16":
            assert lower.modules == ["trunk"]
    icd = IcdNetwork(zoo.build("vgg16", 3, width=4), IcdPlan(hidden=8))
    assert below(icd, icd.upper_names).modules == ["classifier.trunk"]


def test_the_recipe_of_dcsm_has_both_phases() -> None:
    recipe, photos = PRESETS["dcsm"], 10_582
    steps = photos // recipe.batch_size
    assert [recipe.rest_epochs * steps, (recipe.epochs - recipe.rest_epochs) * steps] == pytest.approx(
        [30_000, 20_000], rel=0.1
    )
    with pytest.raises(UsageError, match="--rest-epochs 6: of --epochs 6 none is left"):
        check_recipe(replace(recipe, epochs=6))


class Plain(nn.Module):
    """Without what makes photos of a batch depend on each other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.head = nn.Sequential(nn.Linear(5, 8), nn.ReLU()), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(x))


def train_plainly(out: Path, ranks: Ranks) -> None:
    recipe = Recipe(epochs=4, rest_epochs=2, batch_size=5, rate=0.003, schedule="constant")
    job = job_of(network=Plain(), upper=["head"], validate=None, best_by=None)
    with begun(out) as folder:
        train(job, recipe, folder, CPU, ranks, workers=0)


def rank_of(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    train_plainly(folder / f"{rank}.safetensors", Ranks(rank, 2))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_learn_in_both_phases_what_one_process_learns(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank_of, (tmp_path,), nprocs=2)
    train_plainly(tmp_path / "one.safetensors", Ranks())
    one, both = weights(tmp_path / "one.safetensors"), weights(tmp_path / "0.safetensors")
    assert one.keys() == both.keys()
    for key, value in one.items():
        torch.testing.assert_close(both[key], value, rtol=1e-4, atol=1e-6)

"""What does not learn: modules that are frozen, and batch norms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from camkit.errors import UsageError
from camkit.training.loop import train
from camkit.training.ranks import Ranks
from tests.training.test_loop import CPU, RECIPE, begun, job_of, trained, weights


def test_what_is_frozen_stays(tmp_path: Path) -> None:
    before = {key: value.clone() for key, value in job_of().network.state_dict().items()}
    out = tmp_path / "out.safetensors"
    trained(out, replace(RECIPE, ema=None, freeze=("trunk.0",), freeze_norm=True))
    after = weights(tmp_path / "out.last.safetensors")
    for key in ("trunk.0.weight", "trunk.0.bias", "trunk.1.running_mean", "trunk.1.running_var"):
        assert torch.equal(before[key], after[key])
    for key in ("trunk.1.weight", "head.weight"):
        assert not torch.equal(before[key], after[key])
    with pytest.raises(UsageError, match="no such module"):
        trained(tmp_path / "b.safetensors", replace(RECIPE, freeze=("nothing",)))
    with pytest.raises(UsageError, match="nothing to train"):
        trained(tmp_path / "c.safetensors", replace(RECIPE, freeze=("trunk", "head")))


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("rests", [True, False])
def test_what_norms_do_is_told_apart(tmp_path: Path, learns: bool, rests: bool) -> None:
    """Whether their scale and offset learn is one thing, whether their statistics rest another."""
    before = {key: value.clone() for key, value in job_of().network.state_dict().items()}
    out = tmp_path / "out.safetensors"
    trained(out, replace(RECIPE, ema=None, freeze_norm=rests, norm_learns=learns))
    after = weights(tmp_path / "out.last.safetensors")
    same_as_before = {key: torch.equal(before[key], after[key]) for key in before}
    assert same_as_before == {
        **dict.fromkeys(before, False),
        **dict.fromkeys(("trunk.1.weight", "trunk.1.bias"), not learns),
        **dict.fromkeys(("trunk.1.running_mean", "trunk.1.running_var", "trunk.1.num_batches_tracked"), rests),
    }


def test_scales_that_do_not_learn_are_no_weights_of_the_optimiser(tmp_path: Path) -> None:
    """No decay, and no share in the norm of the gradient."""
    job = job_of()
    with begun(tmp_path / "out.safetensors") as folder:
        recipe = replace(RECIPE, ema=None, norm_learns=False, weight_decay=0.5, clip=0.1)
        train(job, recipe, folder, CPU, Ranks(), workers=0)
    norm = job.network.get_submodule("trunk.1")
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in norm.parameters())
    assert norm.get_parameter("weight").tolist() == [1.0] * 8

"""The loop on a network of a few weights: what it promises does not depend on what is trained."""

from __future__ import annotations

import io
import os
import resource
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from camkit.errors import CamkitError, ImageError, InputError, OutputError, UsageError
from camkit.pipeline.device import Device
from camkit.pipeline.load import Failure
from camkit.settings.recipe import Recipe
from camkit.store.own import OwnFolder
from camkit.training.folder import History, TrainingFolder
from camkit.training.loop import Job, State, train
from camkit.training.optimiser import make_optimiser
from camkit.training.ranks import Ranks

CPU = Device(torch.device("cpu"), "float32")
RECIPE = Recipe(epochs=3, batch_size=4, rate=0.001, momentum=0.9, ema=0.9)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(x))


def load(item: int, rng: np.random.Generator) -> Any:
    values = np.random.default_rng(item).standard_normal(5) + 0.1 * rng.standard_normal(5)
    return values.astype(np.float32)


def losses(network: nn.Module, batch: torch.Tensor, epochs_done: float) -> Mapping[str, torch.Tensor]:
    out = network(batch)
    return {"first": (out[:, 0] - batch.sum(1)).square().mean(), "second": out[:, 1].square().mean()}


def save(network: nn.Module, figures: Mapping[str, Any], path: Path) -> None:
    torch.save(network.state_dict(), path)


def draw(history: History, path: Path) -> None:
    path.write_bytes(b"a picture")


def job_of(items: int = 22, **changes: Any) -> Job:
    torch.manual_seed(0)
    job = Job(
        network=Small(), fresh=["head"], items=range(items), load=load,
        collate=lambda samples: torch.from_numpy(np.stack(samples)), losses=losses,
        validate=lambda network: {"score": float(network.head.weight.detach().sum())}, best_by="score",
        save=save, draw=draw,
    )  # fmt: skip
    return replace(job, **changes)


@contextmanager
def begun(out: Path, run: Mapping[str, Any] | None = None) -> Iterator[TrainingFolder]:
    folder = TrainingFolder(out)
    folder.begin(run or {"command": "x"}, overwrite=False)
    try:
        yield folder
    finally:
        folder.release()


def trained(out: Path, recipe: Recipe = RECIPE, *, workers: int = 2, **changes: Any) -> State:
    """Save after every step, so that whatever goes wrong is continued right there."""
    with begun(out) as folder:
        return train(job_of(**changes), recipe, folder, CPU, Ranks(), workers=workers, seconds_between_saves=0.0)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(io.BytesIO(path.read_bytes()), weights_only=True)


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(tmp_path: Path) -> None:
    for name, recipe, workers in (("a", RECIPE, 2), ("b", RECIPE, 0), ("c", replace(RECIPE, seed=1), 2)):
        trained(tmp_path / f"{name}.safetensors", recipe, workers=workers)
    a, b, c = (weights(tmp_path / f"{name}.last.safetensors") for name in "abc")
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("dies_at", [0, 1, 7, 20, 21, 43, 59])
def test_a_run_that_died_anywhere_ends_as_one_left_alone(tmp_path: Path, dies_at: int) -> None:
    undisturbed = trained(tmp_path / "whole.safetensors")
    calls = 0

    def dying(item: int, rng: np.random.Generator) -> Any:
        nonlocal calls
        calls += 1
        if calls == dies_at + 1:
            raise MemoryError("the machine went away")
        return load(item, rng)

    out = tmp_path / "died.safetensors"
    with pytest.raises(MemoryError):
        trained(out, load=dying, workers=0)
    assert not out.exists()
    continued = trained(out)
    assert same(weights(out), weights(tmp_path / "whole.safetensors"))
    assert same(weights(tmp_path / "died.last.safetensors"), weights(tmp_path / "whole.last.safetensors"))
    assert continued.history == undisturbed.history
    assert (tmp_path / "died.curve.csv").read_text() == (tmp_path / "whole.curve.csv").read_text()
    assert not (tmp_path / "died.safetensors.training").exists()


def test_a_run_killed_while_publishing_publishes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "whole.safetensors")
    out = tmp_path / "out.safetensors"

    def killed(self: TrainingFolder) -> None:
        raise MemoryError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(TrainingFolder, "publish", killed)
        with pytest.raises(MemoryError):
            trained(out)
    trained(out, losses=None)  # nothing is left to train
    assert same(weights(out), weights(tmp_path / "whole.safetensors"))


def test_the_best_epoch_is_kept_and_the_last_beside_it(tmp_path: Path) -> None:
    scores = iter([0.5, 0.9, 0.7])
    out = tmp_path / "out.safetensors"
    state = trained(out, replace(RECIPE, ema=None), validate=lambda network: {"score": next(scores)})
    assert [row["score"] for row in state.history] == [0.5, 0.9, 0.7]
    best = state.best("score")
    assert best is not None
    assert best["epoch"] == 2
    assert not same(weights(out), weights(tmp_path / "out.last.safetensors"))
    shorter = tmp_path / "shorter.safetensors"
    trained(shorter, replace(RECIPE, ema=None, epochs=3), validate=None, best_by=None)
    assert same(weights(shorter), weights(tmp_path / "shorter.last.safetensors"))


def test_an_equal_score_does_not_replace_the_best_and_a_missing_one_is_none(tmp_path: Path) -> None:
    scores = iter([float("nan"), 0.4, 0.4])
    state = trained(tmp_path / "out.safetensors", validate=lambda network: {"score": next(scores)})
    best = state.best("score")
    assert best is not None
    assert best["epoch"] == 2
    assert state.history[0]["score"] is None


def test_the_loss_falls_and_is_written_down(tmp_path: Path) -> None:
    state = trained(tmp_path / "out.safetensors", Recipe(epochs=12, batch_size=4, rate=0.002))
    values = [row["loss"] or 0.0 for row in state.history]
    assert values[-1] < 0.7 * values[0]
    for row in state.history:
        parts = (row["loss_first"] or 0.0) + (row["loss_second"] or 0.0)
        assert row["loss"] == pytest.approx(parts)
    lines = (tmp_path / "out.curve.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,loss_first,loss_second,learning_rate,score"
    assert len(lines) == 13


def test_a_loss_that_is_no_number_ends_it_and_the_last_good_weights_stay(tmp_path: Path) -> None:
    def exploding(network: nn.Module, batch: torch.Tensor, epochs_done: float) -> Mapping[str, torch.Tensor]:
        factor = float("nan") if epochs_done >= 1.2 else 1.0
        return {name: value * factor for name, value in losses(network, batch, epochs_done).items()}

    out = tmp_path / "out.safetensors"
    with pytest.raises(InputError, match=r"step 2 of 5 in epoch 2.*\n.*after epoch 1 are kept") as caught:
        trained(out, losses=exploding)
    kept = out.with_name("out.safetensors.training") / "last.safetensors"
    assert str(kept) in str(caught.value)
    assert all(torch.isfinite(value).all() for value in weights(kept).values())
    with pytest.raises(InputError, match="step 1 of 5 in epoch 1"):
        trained(tmp_path / "first.safetensors", losses=lambda *_: {"x": torch.tensor(float("inf"), requires_grad=True)})


def test_weights_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    """The last step of an epoch may do it, though its loss was a number still."""

    def without_slope(network: nn.Module, batch: torch.Tensor, epochs_done: float) -> Mapping[str, torch.Tensor]:
        return {"x": (0 * network(batch)).abs().sqrt().sum()}

    out = tmp_path / "out.safetensors"
    with pytest.raises(InputError, match="weights are not numbers any more, after step 1 of 1 in epoch 1"):
        trained(out, items=3, losses=without_slope)
    assert not out.exists()


def test_bfloat16_learns_what_float32_learns(tmp_path: Path) -> None:
    recipe = Recipe(epochs=6, batch_size=4, rate=0.002)
    curves = []
    for device in (CPU, Device(torch.device("cpu"), "bfloat16")):
        with begun(tmp_path / f"{device.precision}.safetensors") as folder:
            state = train(job_of(), recipe, folder, device, Ranks(), workers=0)
        curves.append([row["loss"] or 0.0 for row in state.history])
    assert curves[0][-1] < 0.8 * curves[0][0]
    assert curves[0] != curves[1]
    np.testing.assert_allclose(*curves, rtol=0.03)


def test_photos_that_cannot_be_read_are_left_out_or_stop_it(tmp_path: Path) -> None:
    def failing(item: int, rng: np.random.Generator) -> Any:
        return Failure(str(item), ImageError("it is a folder")) if item in (3, 11) else load(item, rng)

    state = trained(tmp_path / "out.safetensors", load=failing)
    assert set(state.failures) == {"3", "11"}
    with begun(tmp_path / "stop.safetensors") as folder, pytest.raises(ImageError):
        train(job_of(load=failing), RECIPE, folder, CPU, Ranks(), workers=0, stop_on_error=True)

    def all_fail(item: int, rng: np.random.Generator) -> Any:
        return Failure(str(item), ImageError("gone"))

    with begun(tmp_path / "all.safetensors") as folder, pytest.raises(InputError, match="none of the 22"):
        train(job_of(load=all_fail), RECIPE, folder, CPU, Ranks(), workers=0)


def test_fewer_photos_than_a_batch_are_one_batch(tmp_path: Path) -> None:
    state = trained(tmp_path / "out.safetensors", items=3)
    assert state.steps == RECIPE.epochs


def test_new_layers_learn_faster() -> None:
    network = Small()
    optimiser = make_optimiser(network, ["head"], Recipe(rate=0.1, head_factor=10.0))
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in network.head.parameters()} == {1.0}
    assert {rates[id(p)] for p in network.trunk.parameters()} == {0.1}
    assert len(rates) == len(list(network.parameters()))


def test_a_step_of_sgd_is_that_of_the_formula(tmp_path: Path) -> None:
    """One step from the start: weight − rate · factor · (gradient + decay · weight), on the batch the seed draws."""
    recipe = Recipe(epochs=1, batch_size=22, rate=0.1, head_factor=3.0, weight_decay=0.01, schedule="constant")
    plain: dict[str, Any] = {
        "network": nn.Sequential(), "load": lambda item, rng: np.random.default_rng(item).standard_normal(5, np.float32)
    }  # fmt: skip
    torch.manual_seed(5)
    network = nn.Sequential()
    network.add_module("trunk", nn.Linear(5, 4))
    network.add_module("head", nn.Linear(4, 2))
    start = {key: value.clone() for key, value in network.state_dict().items()}
    photos = np.stack([plain["load"](item, None) for item in range(22)])
    value = torch.stack(list(losses(network, torch.from_numpy(photos), 0.0).values())).sum()
    gradients = dict(zip(start, torch.autograd.grad(value, list(network.parameters())), strict=True))
    trained(tmp_path / "out.safetensors", recipe, network=network, load=plain["load"], validate=None, best_by=None)
    for key, after in weights(tmp_path / "out.safetensors").items():
        rate = 0.3 if key.startswith("head") else 0.1
        torch.testing.assert_close(
            after, start[key] - rate * (gradients[key] + 0.01 * start[key]), rtol=1e-5, atol=1e-6
        )


def test_another_runs_folder_or_result_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    with begun(out, {"command": "x", "parameters": {"rate": 1}}) as folder:
        folder.save_state({})
    other = {"command": "x", "parameters": {"rate": 2}}
    with pytest.raises(UsageError, match="--rate was 1 and is now 2"), begun(out, other):
        pass
    fresh = TrainingFolder(out)
    fresh.begin(other, overwrite=True)
    assert fresh.load_state() is None
    fresh.release()
    out.write_text("something else")
    with pytest.raises(UsageError, match="no checkpoint that camkit trained"):
        TrainingFolder(out).is_finished(other, overwrite=True)


def test_a_finished_run_leaves_the_unfinished_training_of_another_alone(tmp_path: Path) -> None:
    out, run = tmp_path / "out.safetensors", {"command": "x", "parameters": {"rate": 1}}
    folder = TrainingFolder(out)
    with begun(out, run) as at_work:
        at_work.save_state({"a": 1})
        folder.remove_leftovers(run)
        assert folder.load_state() == {"a": 1}
    folder.remove_leftovers({"command": "x", "parameters": {"rate": 2}})
    assert folder.load_state() == {"a": 1}
    folder.remove_leftovers(run)
    assert not folder.path.exists()
    folder.remove_leftovers(run)


def test_what_a_kill_leaves_of_a_removal_is_removed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"command": "x", "parameters": {"rate": 1}}
    with begun(tmp_path / "out.safetensors", run) as folder:
        folder.save_state({"a": 1})
        with monkeypatch.context() as patch:
            patch.setattr(OwnFolder, "remove", lambda own: (own.path / "run.json").unlink(missing_ok=True))
            folder.remove()
    folder.remove_leftovers(run)
    assert not folder.path.exists()


def test_a_run_that_saved_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    out, other = tmp_path / "out.safetensors", {"command": "x", "parameters": {"freeze": "head"}}
    with begun(out, {"command": "x", "parameters": {"freeze": "haed"}}) as folder:
        assert folder.path.exists()
    assert not folder.path.exists()
    folder.path.mkdir()
    (folder.path / "lock").touch()
    (folder.path / "run.json").write_text('{"command": "y"}')  # killed before it saved
    (folder.path / "best.safetensors").write_text("of another")
    with begun(out, other):
        assert not folder.best.exists()


def test_a_full_disk_is_told_and_what_was_saved_stays(tmp_path: Path) -> None:
    with begun(tmp_path / "out.safetensors") as folder:
        folder.save_state({"a": 1})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
        try:
            with pytest.raises(OutputError, match=r"state.pt cannot be written: a file would be larger"):
                folder.save_state({"weights": torch.zeros(2**20)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert folder.load_state() == {"a": 1}
        assert not list(folder.path.glob("*.tmp"))


def test_only_one_process_trains_into_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    with begun(out), pytest.raises(CamkitError, match="being trained by another process"), begun(out):
        pass


@pytest.mark.parametrize("name", ["out.pth", "no/such/folder/out.safetensors"])
def test_places_where_no_checkpoint_can_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(CamkitError, match="--out"):
        TrainingFolder(tmp_path / name)


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    with begun(out) as folder:
        (folder.path / "state.pt").write_bytes(b"not a state")
        with pytest.raises(CamkitError, match="begin anew with --overwrite"):
            folder.load_state()


def test_ctrl_c_is_heard_between_steps_and_continued(tmp_path: Path) -> None:
    trained(tmp_path / "whole.safetensors")
    calls = 0

    def interrupted(network: nn.Module, batch: torch.Tensor, epochs_done: float) -> Mapping[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return losses(network, batch, epochs_done)

    out = tmp_path / "out.safetensors"
    with begun(out) as folder, pytest.raises(KeyboardInterrupt):
        train(job_of(losses=interrupted), RECIPE, folder, CPU, Ranks(), workers=0)
    with begun(out) as folder:
        saved = folder.load_state()
    assert saved is not None
    assert saved["state"]["steps"] == 8
    trained(out)
    assert same(weights(out), weights(tmp_path / "whole.safetensors"))


def test_ctrl_c_interrupts_a_validation_and_no_step_is_lost(tmp_path: Path) -> None:
    trained(tmp_path / "whole.safetensors")

    def interrupted(network: nn.Module) -> Mapping[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        pytest.fail("the signal was not heard")

    out = tmp_path / "out.safetensors"
    with begun(out) as folder, pytest.raises(KeyboardInterrupt):
        train(job_of(validate=interrupted), RECIPE, folder, CPU, Ranks(), workers=0)
    with begun(out) as folder:
        saved = folder.load_state()
    assert saved is not None
    assert (saved["state"]["epoch"], saved["state"]["step"]) == (0, 5)
    trained(out)
    assert same(weights(out), weights(tmp_path / "whole.safetensors"))

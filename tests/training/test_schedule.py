from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from camkit.errors import UsageError
from camkit.settings.recipe import PRESETS, Augmentation, Recipe, check_recipe, preset
from camkit.training.schedule import MovingAverage, rate_factor


@pytest.mark.parametrize(
    ("schedule", "done", "factor"),
    [
        ("poly", 0.0, 1.0),
        ("poly", 5.0, 0.5**0.9),
        ("poly", 9.99, 0.001**0.9),
        ("poly-epoch", 5.99, 0.5**0.9),
        ("cosine", 5.0, 0.5),
        ("cosine", 10.0, 0.0),
        ("constant", 9.0, 1.0),
    ],
)
def test_rates_over_time(schedule: str, done: float, factor: float) -> None:
    recipe = Recipe(epochs=10, schedule=schedule)  # type: ignore[arg-type]
    assert rate_factor(recipe, done) == pytest.approx(factor)


def test_warm_up_rises_from_nearly_nothing() -> None:
    recipe = Recipe(epochs=10, warmup=2.0, schedule="constant")
    assert 0 < rate_factor(recipe, 0.0) < 0.001
    assert [rate_factor(recipe, at) for at in (0.5, 1.0, 2.0)] == [0.25, 0.5, 1.0]
    assert rate_factor(Recipe(warmup=1e-6), 0.0) == 1.0


def test_the_moving_average_is_that_of_the_formula() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = MovingAverage(network, 0.9)
    expected = network[0].weight.detach().numpy().copy()
    rng = np.random.default_rng(0)
    for step in range(200):
        weights = rng.standard_normal((2, 3)).astype(np.float32)
        with torch.no_grad():
            network[0].weight.copy_(torch.from_numpy(weights))
        network[1].running_mean.fill_(step)
        average.update(network, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights
    np.testing.assert_allclose(average.network[0].weight.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert average.network[1].running_mean.tolist() == [199, 199]
    assert not any(p.requires_grad for p in average.network.parameters())


def test_every_preset_is_sound() -> None:
    for name in PRESETS:
        check_recipe(preset(name))


def test_norms_learn_unless_their_program_holds_them() -> None:
    """PSA's program holds scale and offset of all batch norms, in both of its trainings; IRN's trunk rests altogether.

    IRN's classifier (`irn`) keeps its statistics, and learns the rest.
    """
    held = {name for name, recipe in PRESETS.items() if not recipe.norm_learns}
    assert held == {"psa", "affinitynet", "boundary"}
    assert all(PRESETS[name].freeze_norm for name in (*held, "irn"))


def test_the_recipes_of_affinities_are_those_of_their_programs() -> None:
    affinitynet, boundary = preset("affinitynet"), preset("boundary")
    for recipe, epochs, batch_size, head_factor, decay in (
        (affinitynet, 8, 8, 10.0, 5e-4),
        (boundary, 3, 32, 1.0, 1e-4),
    ):
        assert (recipe.epochs, recipe.batch_size, recipe.rate) == (epochs, batch_size, 0.1)
        assert (recipe.optimiser, recipe.schedule, recipe.power) == ("sgd", "poly", 0.9)
        # it reaches torch's SGD in the place of the momentum as well
        assert (recipe.weight_decay, recipe.momentum, recipe.head_factor) == (decay, decay, head_factor)
    assert affinitynet.augmentation == Augmentation(crop=448, jitter=0.3)
    assert boundary.augmentation == Augmentation(scale_range=(0.5, 1.5), crop=512)
    assert (affinitynet.freeze, boundary.freeze) == (("stem",), ("trunk",))
    assert preset("psa").freeze == preset("irn").freeze == ("stem",)


@pytest.mark.parametrize(
    ("recipe", "word"),
    [
        (Recipe(rate=0.0), "--rate"),
        (Recipe(rate=float("nan")), "--rate"),
        (Recipe(ema=1.0), "--ema"),
        (Recipe(augmentation=Augmentation(scale_range=(1.5, 0.5))), "--scale-range"),
        (Recipe(augmentation=Augmentation(scale_range=(0.5, 1.5), long_side=(100, 200))), "--long-side"),
        (Recipe(augmentation=Augmentation(resize=100, long_side=(100, 200))), "--resize"),
        (Recipe(augmentation=Augmentation(long_side=(200, 100))), "--long-side"),
    ],
)
def test_recipes_that_cannot_work(recipe: Recipe, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        check_recipe(recipe)


def test_an_unknown_preset_names_the_known() -> None:
    with pytest.raises(UsageError, match="known are scratch, finetune"):
        preset("nothing")

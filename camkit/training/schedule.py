"""Learning rate over time, and the moving average of the weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from camkit.settings.recipe import Recipe


def rate_factor(recipe: Recipe, epochs_done: float) -> float:
    """What the learning rates are multiplied by after so many epochs (with fraction)."""
    if epochs_done < recipe.warmup:
        return min(1.0, max(epochs_done, 1e-3) / recipe.warmup)
    if recipe.schedule == "poly-epoch":
        epochs_done = math.floor(epochs_done)
    share = min(1.0, epochs_done / recipe.epochs)
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * share))
    return (1 - share) ** recipe.power


class MovingAverage:
    """A copy of the network whose weights follow slowly: average ← decay · average + (1 − decay) · weight.

    The decay begins low, or the first weights would stay in the average for long.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, steps: int) -> None:
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for average, weight in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)
        for buffer, value in zip(self.network.buffers(), network.buffers(), strict=True):
            buffer.copy_(value)

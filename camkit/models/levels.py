"""The levels of a trunk that ICD reads, all from one pass.

They are called as in VGG16, behind their ReLU: conv4, conv5, fc6, fc7. Where they lie each network says (`taps`); a
stage that ends without a ReLU, as those of ResNet38, gets one here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.models.classifier import ClassifierNetwork, Tap
from camkit.settings.icd import Features


class Levels(NamedTuple):
    """[B, D, h, w] each, of grids that may differ. fc7: None where one level stands for both."""

    conv4: Tensor
    conv5: Tensor
    fc6: Tensor
    fc7: Tensor | None

    @property
    def top(self) -> Tensor:
        """What the classifier's linear layer reads."""
        return self.fc6 if self.fc7 is None else self.fc7


def levels_of(classifier: ClassifierNetwork, x: Tensor) -> Levels:
    """One pass through the trunk."""
    with _noted(classifier.taps) as seen:
        top = classifier.features(x)
    if "fc6" in seen:
        return Levels(seen["conv4"], seen["conv5"], seen["fc6"].relu(), top)
    return Levels(seen["conv4"].relu(), seen["conv5"].relu(), top, None)


@contextmanager
def _noted(modules: Mapping[Tap, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """What the modules give, for the time of the block."""
    seen: dict[str, Tensor] = {}

    def noting(name: str) -> Any:
        return lambda module, inputs, output: seen.__setitem__(name, output)

    handles = [module.register_forward_hook(noting(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def chosen(levels: Levels, features: Features) -> Tensor:
    if features == "concat":
        return joined([levels.conv5, levels.conv4, levels.fc6])
    return {"conv4": levels.conv4, "conv5": levels.conv5, "fc6": levels.fc6}[features]


def sample_at(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """[B, H, W] → [B, *size]: of the pixel in the middle of each position's share of the photo."""
    rows, columns = (
        (2 * torch.arange(new, device=labels.device) + 1) * old // (2 * new)
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[:, rows[:, None], columns]


def joined(levels: Sequence[Tensor]) -> Tensor:
    """Side by side on the grid of the first."""
    return torch.cat([on_grid(level, levels[0].shape[-2:]) for level in levels], dim=1)


def on_grid(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """[B, C, h, w] → [B, C, *size], bilinear."""
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size, mode="bilinear", align_corners=False)


def levels_of_nothing(classifier: ClassifierNetwork) -> Levels:
    """The levels of an empty photo, for their channels."""
    training = classifier.training
    with torch.no_grad():
        levels = levels_of(classifier.eval(), torch.zeros(1, 3, 64, 64, device=classifier.weight.device))
    classifier.train(training)
    return levels

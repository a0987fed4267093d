"""What a segmentation network is to the rest of camkit."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from camkit.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Colour
from camkit.models.state import State

FRESH_DEVIATION = 0.01
"""Of the weights of the last layers, which give the scores."""


class Part(NamedTuple):
    """How some parameters learn: factors on the recipe's rate and weight decay. Rate 0: not at all.

    names  a regular expression that is looked for in a parameter's name
    """

    names: str
    rate: float = 1.0
    decay: float = 1.0


class Group(NamedTuple):
    """Names of the parameters that learn alike."""

    names: tuple[str, ...]
    rate: float
    decay: float


class SegmentationNetwork(nn.Module, ABC):
    """Photos → scores of the background and of every class, on a grid of the network's own.

    A family states its facts here and nowhere else, on its class or while one is built:

    scores         modules whose convolutions give the scores: they are drawn small, all others as ReLU wants it
    output_stride  pixels per cell of the grid
    padded_grid    photos are filled up to whole cells of so many pixels, over which the grid stretches; 1: they are not
    corners        whether the grid is stretched to the photo corner to corner
    coarse_labels  whether labels are brought down to the grid while it learns, rather than scores up to the photo
    pyramid        scales besides 1 at which it sees each photo while it learns; their largest score learns too
    weights        of the losses of `outputs`
    frozen_norms   whether batch norms keep their statistics while it learns
    parts          how parameters learn: the first part that has a parameter's name counts, without one it is Part("")
    """

    backbone: nn.Module
    scores: tuple[str, ...]
    output_stride: int
    padded_grid: int = 1
    corners: bool = False
    coarse_labels: bool = False
    pyramid: tuple[float, ...] = ()
    weights: tuple[float, ...] = (1.0,)
    frozen_norms: bool = False
    parts: tuple[Part, ...] = ()

    def __init__(self, trunk: str) -> None:
        """trunk: what the backbone is, by name."""
        super().__init__()
        self.trunk = trunk
        self.mean: Colour = IMAGENET_MEAN
        self.std: Colour = IMAGENET_STD

    @property
    def bgr(self) -> bool:
        """Whether the first convolution reads blue first. The network sees to it: it is shown RGB, as all are."""
        return False

    @property
    def num_classes(self) -> int:
        """Without the background."""
        last = [module for module in self.get_submodule(self.scores[0]).modules() if isinstance(module, nn.Conv2d)][-1]
        return last.out_channels - 1

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] RGB by mean and std → [B, 1 + C, h, w], the background first."""

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """Everything that learns: the logits, and those of auxiliary heads, each [B, 1 + C, h', w']."""
        return (self.logits(x),)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def published_state(self) -> State:
        """The weights under the keys that they were published with."""
        return self.state_dict()

    def groups(self) -> list[Group]:
        """Parameters that learn alike, in the order of `parts`; those that do not learn are in none."""
        names: dict[tuple[float, float], list[str]] = {part[1:]: [] for part in (*self.parts, Part(""))}
        for name, _ in self.named_parameters():
            part = next(part for part in (*self.parts, Part("")) if re.search(part.names, name))
            names[part[1:]].append(name)
        return [Group(tuple(found), *factors) for factors, found in names.items() if found and factors[0]]


def draw_weights(network: SegmentationNetwork, names: set[str]) -> None:
    """New numbers for the modules with parameters of these names, which hold none yet."""
    small = tuple(f"{name}." for name in network.scores)
    for owner, module in network.named_modules():
        own = [name for name, _ in module.named_parameters(recurse=False) if f"{owner}.{name}" in names]
        if not own:
            continue
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            module.reset_parameters()
        elif f"{owner}.".startswith(small):
            nn.init.normal_(module.weight, std=FRESH_DEVIATION)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            raise TypeError(f"{owner} is a {type(module).__name__}, which nobody knows how to begin")
        if "bias" in own:
            nn.init.zeros_(module.bias)

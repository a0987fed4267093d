"""What a classifier is to the methods, and what the networks of the zoo have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from camkit.errors import UsageError
from camkit.types import Pooling

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FRESH_DEVIATION = 0.01  # of a linear layer's weights, as ICD has it

Colour = tuple[float, float, float]
Shapes = Mapping[str, tuple[int, ...]]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


class Network(nn.Module, ABC):
    """A convolutional trunk and one linear layer called `head`, pooled over all positions."""

    head: nn.Linear
    published: tuple[tuple[str, str], ...]  # how own keys start → how published keys do
    channels_last: bool = False  # whether that order of the weights is the faster one on a CPU
    output_stride: int | None  # None: a network of the user's own

    def __init__(self) -> None:
        super().__init__()
        self.mean: Colour = IMAGENET_MEAN
        self.std: Colour = IMAGENET_STD
        self.pooling: Pooling = "average"

    @property
    def head_name(self) -> str | None:
        """Of the module that holds the weight; None: that is made of others."""
        return "head"

    @property
    def weight(self) -> Tensor:
        return self.head.weight

    @property
    def num_classes(self) -> int:
        return self.head.out_features

    @property
    @abstractmethod
    def layers(self) -> Mapping[str, nn.Module]:
        """Named layers from the input up."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] normalised RGB → [B, D, h, w], before pooling."""

    def pool(self, features: Tensor) -> Tensor:
        """[B, D, h, w] → logits [B, C]: of the mean feature, or the largest score of any position."""
        if self.pooling == "average":
            return self.head(features.mean(dim=(2, 3)))
        return F.conv2d(features, self.head.weight[:, :, None, None], self.head.bias).amax(dim=(2, 3))

    def logits(self, x: Tensor) -> Tensor:
        return self.pool(self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)


@dataclass(frozen=True)
class Stride:
    """How a stage moves over the grid. Where its step was removed, `before` (what it reads) and `after` differ."""

    step: int
    before: int  # dilation
    after: int

    @property
    def settled(self) -> Stride:
        """Of the stage's later blocks."""
        return Stride(1, self.after, self.after)


def dilate(trained: Iterable[int], output_stride: int, reached: int) -> list[Stride]:
    """Strides beyond `output_stride` become dilation: the same weights see the same pixels on a denser grid."""
    strides, dilation = [], 1
    for step in trained:
        keep = reached * step <= output_stride
        strides.append(Stride(step if keep else 1, dilation, dilation if keep else dilation * step))
        reached, dilation = reached * strides[-1].step, strides[-1].after
    return strides


def checked_stride(output_stride: int, native: int) -> int:
    possible = [stride for stride in (8, 16, 32) if stride <= native]
    if output_stride not in possible:
        choices = " or ".join(map(str, possible))
        raise UsageError(f"--output-stride {output_stride} does not fit this network: choose {choices}")
    return output_stride


@dataclass(frozen=True, eq=False)
class LoadedClassifier:
    """A network in evaluation mode on the CPU, and what its checkpoint says about it."""

    network: Network
    arch: str
    num_classes: int
    classes: tuple[str, ...] | None
    mean: Colour
    std: Colour
    input_size: int | None  # longest side of the photo the network knows best
    path: Path
    sha256: str
    output_stride: int | None  # None: a network of the user's own
    ignored: tuple[str, ...] = ()  # keys of the checkpoint that class maps do not need
    pooling: Pooling = "average"


def trains_channels_last(network: Network) -> bool:
    """Whether that order of the weights is the faster one to train in, and sound.

    For strided 1×1 convolutions of few channels oneDNN's gradient of the weights writes beyond its memory.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    unsound = any(c.kernel_size == (1, 1) and c.stride != (1, 1) and c.in_channels < 16 for c in convolutions)
    return network.channels_last and not unsound


def fold_batch_norms(network: nn.Module) -> None:
    """Merge each frozen batch norm that directly follows a convolution into it.

    Blocks name such pairs in `conv_norm_pairs`; the norm's place is taken by an identity, all else stays.
    """
    for block in list(network.modules()):
        for conv_name, norm_name in getattr(block, "conv_norm_pairs", ()):
            conv, norm = block.get_submodule(conv_name), block.get_submodule(norm_name)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _fold(conv, norm)
                parent, _, name = norm_name.rpartition(".")
                setattr(block.get_submodule(parent), name, Folded())


class Folded(nn.Identity):
    """Where a batch norm was."""


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )

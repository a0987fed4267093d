"""What a classifier is to the methods, and what the networks of the zoo have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from camkit.errors import UsageError
from camkit.models.state import State
from camkit.types import Pooling

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FRESH_DEVIATION = 0.01  # of a linear layer's weights, as ICD has it
DROPOUT = 0.5  # behind VGG16's fc6 and fc7, and ICD's own

Colour = tuple[float, float, float]
Shapes = Mapping[str, tuple[int, ...]]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)

Tap = Literal["conv4", "conv5", "fc6"]


class ClassifierNetwork(nn.Module, ABC):
    """A trunk and one linear layer called `head`, pooled over all positions; and what is true of the trunk.

    A family states its facts here and nowhere else, on its class or, where members differ, while one is built:

    family           what people call networks of this class
    published        how own keys start → how published keys do
    channels_last    whether that order of the weights is the faster one on a CPU
    native_stride    pixels per cell of the grid where no stride of the trunk is removed
    output_stride    pixels per cell as built; `take_stride` sets it
    padded_grid      the network's programs stretch maps as large as the photo over whole cells of so many pixels, and
                     cut; 1: they do not
    stem_names       of the first modules, which the programs of PSA and IRN leave as they are in a trunk that learns
    gradient_layers  layers whose gradients count for DCSM, or parts of them (`layer4.0`); empty: the user names some.
                     Not those with nothing but a mean and the linear layer above: their gradients tell nothing
    has_levels       whether networks of pairs can read its `levels`
    refines_maps     whether it has learned to refine its maps: what camkit.methods.seam asks for is there

    Only a network of the user's own knows nothing of its strides.
    """

    family: str = "it"
    head: nn.Linear
    published: tuple[tuple[str, str], ...]
    channels_last: bool = False
    native_stride: int
    output_stride: int
    padded_grid: int = 1
    stem_names: tuple[str, ...] = ()
    gradient_layers: tuple[str, ...] = ()
    has_levels: bool = False
    refines_maps: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.mean: Colour = IMAGENET_MEAN
        self.std: Colour = IMAGENET_STD
        self.pooling: Pooling = "average"

    @property
    def head_name(self) -> str | None:
        """Of the module that holds the weight; None: that is made of others."""
        return "head"

    def fresh_modules(self, *, kept: bool) -> tuple[str, ...]:
        """What starts from nothing; kept: the linear layer has been trained."""
        return () if kept or self.head_name is None else (self.head_name,)

    @property
    def upper_names(self) -> tuple[str, ...]:
        """Of the classifier's own layers, which may learn alone at first."""
        return () if self.head_name is None else (self.head_name,)

    @property
    def weight(self) -> Tensor:
        return self.head.weight

    @property
    def num_classes(self) -> int:
        return self.head.out_features

    @property
    def width(self) -> int:
        """Channels of the first convolution, to which all others are in proportion."""
        return next(module for module in self.modules() if isinstance(module, nn.Conv2d)).out_channels

    @property
    def output_strides(self) -> tuple[int, ...]:
        """Those it can be built with: what is removed of its strides becomes dilation."""
        return tuple(stride for stride in (8, 16, 32) if stride <= self.native_stride)

    def take_stride(self, asked: int | None, *, otherwise: int) -> None:
        """UsageError if the network cannot be built with the one asked for."""
        self.output_stride = otherwise if asked is None else asked
        possible = self.output_strides
        if self.output_stride not in possible:
            choices = " or ".join(map(str, possible))
            hint = f"choose {choices}" if len(possible) > 1 else f"{self.family} has {choices}"
            raise UsageError(f"--output-stride {asked} does not fit this network: {hint}")

    @property
    def trains_channels_last(self) -> bool:
        """Whether that order of the weights is the faster one to train in, and sound.

        For strided 1×1 convolutions of few channels oneDNN's gradient of the weights writes beyond its memory.
        """
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        unsound = any(c.kernel_size == (1, 1) and c.stride != (1, 1) and c.in_channels < 16 for c in convolutions)
        return self.channels_last and not unsound

    @property
    @abstractmethod
    def layers(self) -> Mapping[str, nn.Module]:
        """Named layers from the input up."""

    @property
    def taps(self) -> Mapping[Tap, nn.Module]:
        """Where ICD reads what it calls conv4, conv5 and fc6, which is left out where the features stand for it.

        The last stage knows classes rather than things: it stands for fc6 and fc7, the two before it for the others.
        """
        conv4, conv5, _ = list(self.layers.values())[-3:]
        return {"conv4": conv4, "conv5": conv5}

    def fully_connected(self, channels: int) -> tuple[State, State] | None:
        """Weights of its fc6 and fc7 for convolutions of 3×3 and 1×1 with so many channels; None: it has none such."""
        return None

    def with_layers_for_icd(
        self, *, kept: bool, output_stride: int | None
    ) -> tuple[ClassifierNetwork, tuple[str, ...]] | None:
        """A network of the same trunk with layers that ICD wants above it, whose names follow; None: as it is.

        kept  the linear layer has been trained
        """
        return None

    def levels(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] normalised RGB → what the stages give, never on a finer grid than before; last the features."""
        raise NotImplementedError(f"{type(self).__name__} has no levels")

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


@dataclass(frozen=True, eq=False)
class LoadedClassifier:
    """A network in evaluation mode on the CPU, and what its checkpoint says about it."""

    network: ClassifierNetwork
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

"""EfficientNet-Lite: inverted bottlenecks without attention, and ReLU6 throughout, made for small devices."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.models.classifier import ClassifierNetwork, Shapes, Stride, Tap, dilate
from camkit.models.state import State

WIDTH = 32  # of the stem, which no size of the family scales
HEAD_UNITS = 1280
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # of photos, as TensorFlow's program trained the ImageNet weights
MOMENTUM, EPSILON = 0.01, 1e-3  # of batch norms
DROP_CONNECT = 0.2  # of the last block while training; the others' share grows up to it


@dataclass(frozen=True)
class Stage:
    repeats: int
    kernel: int
    step: int
    expansion: int
    outputs: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
TAPPED = ("stage1", "stage2", "stage3", "stage5")
"""Where the grid is about to become coarser, at strides 2, 4, 8 and 16."""

IN_PLACE = Stride(1, 1, 1)

PARTS = {  # own name → published name, of a block and of the whole
    "expand": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project": "_project_conv",
    "project_norm": "_bn2",
}
OUTSIDE = {"stem": "_conv_stem", "stem_norm": "_bn0", "top": "_conv_head", "top_norm": "_bn1", "head": "_fc"}


@dataclass(frozen=True)
class Size:
    """What tells one member of the family from another."""

    wide: float
    deep: float
    dropout: float

    def stages(self, width: int) -> list[Stage]:
        """As built; `width`: channels of the stem, all others are in proportion to it."""
        last = len(STAGES) - 1
        return [
            Stage(
                stage.repeats if number in (0, last) else math.ceil(self.deep * stage.repeats),
                stage.kernel,
                stage.step,
                stage.expansion,
                in_proportion(in_eights(self.wide * stage.outputs), width),
            )
            for number, stage in enumerate(STAGES)
        ]


SIZES: Mapping[str, Size] = {
    "efficientnet-lite0": Size(1.0, 1.0, 0.2),
    "efficientnet-lite1": Size(1.0, 1.1, 0.2),
    "efficientnet-lite2": Size(1.1, 1.2, 0.3),
    "efficientnet-lite3": Size(1.2, 1.4, 0.3),
    "efficientnet-lite4": Size(1.4, 1.8, 0.3),
}


def in_eights(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def in_proportion(channels: int, width: int) -> int:
    return max(1, channels * width // WIDTH)


class StridedConvolution(nn.Conv2d):
    """Padded as TensorFlow's "same": h = ceil(H / stride), and where the padding is odd, there is more at the end."""

    def forward(self, x: Tensor) -> Tensor:
        padding = [
            max((-(-side // step) - 1) * step + kernel - side, 0)
            for side, step, kernel in zip(x.shape[-2:], self.stride, self.kernel_size, strict=True)
        ]
        (top, bottom), (left, right) = ((whole // 2, whole - whole // 2) for whole in padding)
        if (top, left) != (bottom, right):
            x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
        return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)


class Block(nn.Module):
    """1×1 to more channels, k×k of each of them, 1×1 to fewer, without an activation; the first is left out at ×1."""

    def __init__(self, inputs: int, stage: Stage, stride: Stride, *, first: bool, drop: float) -> None:
        super().__init__()
        inner = stage.expansion * inputs
        self.expands = inner != inputs
        if self.expands:
            self.expand, self.expand_norm = _pair(inputs, inner, 1)
        self.depthwise, self.depthwise_norm = _pair(inner, inner, stage.kernel, stride, groups=inner)
        self.project, self.project_norm = _pair(inner, stage.outputs, 1)
        self.relu = nn.ReLU6()
        self.shortcut = not (first and stage.step > 1) and inputs == stage.outputs
        self.drop = drop

    @property
    def conv_norm_pairs(self) -> list[tuple[str, str]]:
        names = ("expand", "depthwise", "project")[0 if self.expands else 1 :]
        return [(name, f"{name}_norm") for name in names]

    def forward(self, x: Tensor) -> Tensor:
        inner = self.relu(self.expand_norm(self.expand(x))) if self.expands else x
        inner = self.relu(self.depthwise_norm(self.depthwise(inner)))
        inner = self.project_norm(self.project(inner))
        return x + self._drop(inner) if self.shortcut else inner

    def _drop(self, x: Tensor) -> Tensor:
        """While training, a share of the photos goes without the block (drop connect)."""
        if not self.training or not self.drop:
            return x
        kept = torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) >= self.drop
        return x * kept / (1 - self.drop)


class EfficientNetLite(ClassifierNetwork):
    """Features: [B, 40 × width, h, w] in [0, 6] with h = ceil(H / output stride), 1,280 channels as published."""

    family = "EfficientNet-Lite"
    channels_last = True
    native_stride = 32
    stem_names = ("stem", "stem_norm")
    gradient_layers = ("stage5", "stage6")  # found best on photos
    has_levels = True
    conv_norm_pairs = (("stem", "stem_norm"), ("top", "top_norm"))

    def __init__(self, size: Size, num_classes: int, width: int = WIDTH, output_stride: int | None = None) -> None:
        super().__init__()
        self.take_stride(output_stride, otherwise=16)
        self.stem = StridedConvolution(3, width, 3, stride=2, bias=False)
        self.stem_norm = _norm(width)
        stages = size.stages(width)
        strides = dilate([stage.step for stage in stages], self.output_stride, reached=2)
        count = sum(stage.repeats for stage in stages)
        self.blocks = nn.ModuleList()
        self.ends: dict[str, int] = {}  # of the stages
        inputs = width
        for number, (stage, stride) in enumerate(zip(stages, strides, strict=True), start=1):
            for repeat in range(stage.repeats):
                drop = DROP_CONNECT * len(self.blocks) / count
                way = stride.settled if repeat else stride
                self.blocks.append(Block(inputs, stage, way, first=repeat == 0, drop=drop))
                inputs = stage.outputs
            self.ends[f"stage{number}"] = len(self.blocks) - 1
        self.top, self.top_norm = _pair(inputs, in_proportion(HEAD_UNITS, width), 1)
        self.relu, self.top_relu = nn.ReLU6(), nn.ReLU6()
        self.dropout = nn.Dropout(size.dropout)
        self.head = nn.Linear(self.top.out_channels, num_classes)
        self.published = published_fronts(count)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        """The last block of each stage, and the features."""
        return {name: self.blocks[end] for name, end in self.ends.items()} | {"top": self.top_relu}

    @property
    def taps(self) -> Mapping[Tap, nn.Module]:
        """Where the grid is about to become coarser, as in the others."""
        return {"conv4": self.blocks[self.ends["stage3"]], "conv5": self.blocks[self.ends["stage5"]]}

    def features(self, x: Tensor) -> Tensor:
        return self.levels(x)[-1]

    def levels(self, x: Tensor) -> list[Tensor]:
        """What the tapped stages give, and the features."""
        tapped = [self.ends[name] for name in TAPPED]
        found = []
        x = self.relu(self.stem_norm(self.stem(x)))
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in tapped:
                found.append(x)
        return [*found, self.top_relu(self.top_norm(self.top(x)))]

    def pool(self, features: Tensor) -> Tensor:
        if self.pooling == "average":
            return self.head(self.dropout(features.mean(dim=(2, 3))))
        return super().pool(F.dropout2d(features, self.dropout.p, self.dropout.training))


def published_fronts(blocks: int) -> tuple[tuple[str, str], ...]:
    inside = [
        (f"blocks.{number}.{own}.", f"_blocks.{number}.{told}.")
        for number in range(blocks)
        for own, told in PARTS.items()
    ]
    return (*((f"{own}.", f"{told}.") for own, told in OUTSIDE.items()), *inside)


def adapt(state: State) -> State:
    """Published keys → the network's own."""
    inside, outside = ({told: own for own, told in names.items()} for names in (PARTS, OUTSIDE))

    def own_key(key: str) -> str:
        match = re.fullmatch(r"(?:_(blocks\.\d+\.))?(_\w+)\.(\w+)", key)
        if match is None:
            return key
        block, name, rest = match.groups()
        names = inside if block else outside
        return f"{block or ''}{names[name]}.{rest}" if name in names else key

    return {own_key(key): value for key, value in state.items()}


def fits(size: Size, shapes: Shapes) -> bool:
    """As many blocks as this size has, as wide."""
    if len(shapes.get("stem.weight", ())) != 4:
        return False
    outputs = [stage.outputs for stage in size.stages(shapes["stem.weight"][0]) for _ in range(stage.repeats)]
    found = {key: shape for key, shape in shapes.items() if key.endswith(".project.weight")}
    expected = {f"blocks.{number}.project.weight": width for number, width in enumerate(outputs)}
    return found.keys() == expected.keys() and all(found[key][:1] == (width,) for key, width in expected.items())


def from_shapes(size: Size, shapes: Shapes, output_stride: int | None) -> EfficientNetLite:
    return EfficientNetLite(size, shapes["head.weight"][0], shapes["stem.weight"][0], output_stride)


def _pair(
    inputs: int, outputs: int, kernel: int, stride: Stride = IN_PLACE, groups: int = 1
) -> tuple[nn.Conv2d, nn.Module]:
    """A convolution and its batch norm."""
    if stride.step > 1:
        strided = StridedConvolution(inputs, outputs, kernel, stride.step, groups=groups, bias=False)
        return strided, _norm(outputs)
    padding = stride.before * (kernel // 2)
    plain = nn.Conv2d(inputs, outputs, kernel, 1, padding, stride.before, groups, bias=False)
    return plain, _norm(outputs)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)

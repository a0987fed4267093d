"""Residual networks: torchvision's layout, and the IRN family's, whose last stage keeps the resolution."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from camkit.models.classifier import ClassifierNetwork, Shapes, Stride, dilate
from camkit.models.state import State, rename

HEADS = ("fc", "classifier", "head", "head.fc")
ALIASES = re.compile(r"(stage[1-4]|backbone|newly_added)\.")  # the IRN programs store their trunk three times


@dataclass(frozen=True)
class ResNetPlan:
    """The numbers that tell one residual network from another."""

    num_classes: int
    bottleneck: bool
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64  # of the stem
    inner: int = 64  # of the first stage's 3×3 convolutions
    groups: int = 1
    bias: bool = True
    last_stride: int = 2  # of the last stage as trained: 1 in the IRN family
    caffe: bool = False  # as DeepLab v2's: stride in the first 1×1, dilation from a stage's first block on, upward pool

    @property
    def native_stride(self) -> int:
        return 16 * self.last_stride


def read_plan(shapes: Shapes, last_stride: int) -> ResNetPlan:
    """The plan behind keys and shapes (`conv1.weight`, `layer1.0.conv1.weight`, …, `head.weight`)."""
    inner = shapes["layer1.0.conv1.weight"][0]
    return ResNetPlan(
        num_classes=shapes["head.weight"][0],
        bottleneck="layer1.0.conv3.weight" in shapes,
        blocks=count_blocks(shapes),
        width=shapes["conv1.weight"][0],
        inner=inner,
        groups=inner // shapes["layer1.0.conv2.weight"][1],
        bias="head.bias" in shapes,
        last_stride=last_stride,
    )


def count_blocks(shapes: Shapes) -> tuple[int, ...]:
    """Blocks of each of the four stages."""
    names = {tuple(key.split(".")[:2]) for key in shapes if key.startswith("layer")}
    return tuple(sum(stage == f"layer{n}" for stage, *_ in names) for n in (1, 2, 3, 4))


class Residual(nn.Module):
    """Basic block: two 3×3 convolutions. Bottleneck: 1×1, 3×3 (strided), 1×1."""

    def __init__(self, plan: ResNetPlan, inputs: int, inner: int, outputs: int, stride: Stride) -> None:
        super().__init__()
        if plan.bottleneck:
            first, second = (stride.step, 1) if plan.caffe else (1, stride.step)
            self.conv1 = _conv(inputs, inner, 1, first)
            self.conv2 = _conv(inner, inner, 3, second, stride.after if plan.caffe else stride.before, plan.groups)
            self.conv3 = _conv(inner, outputs, 1)
            self.bn3 = nn.BatchNorm2d(outputs)
        else:
            self.conv1 = _conv(inputs, inner, 3, stride.step, stride.before)
            self.conv2 = _conv(inner, outputs, 3, dilation=stride.after)
        self.bn1 = nn.BatchNorm2d(self.conv1.out_channels)
        self.bn2 = nn.BatchNorm2d(self.conv2.out_channels)
        self.bottleneck = plan.bottleneck
        self.relu = nn.ReLU()
        self.downsample: nn.Sequential | None = None
        if inputs != outputs:
            self.downsample = nn.Sequential(_conv(inputs, outputs, 1, stride.step), nn.BatchNorm2d(outputs))

    @property
    def conv_norm_pairs(self) -> list[tuple[str, str]]:
        pairs = [(f"conv{n}", f"bn{n}") for n in range(1, 4 if self.bottleneck else 3)]
        return pairs if self.downsample is None else [*pairs, ("downsample.0", "downsample.1")]

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        if self.bottleneck:
            x = self.bn3(self.conv3(self.relu(x)))
        return self.relu(x + shortcut)


class ResNet(ClassifierNetwork):
    """Features: the last stage's activations, [B, D, h, w] with h = ceil(H / output stride)."""

    family = "the residual networks"
    published = (("head.", "fc."),)
    channels_last = True
    stem_names = ("conv1", "bn1")
    gradient_layers = ("layer2", "layer3", "layer4.0")  # found best on photos
    has_levels = True
    conv_norm_pairs = (("conv1", "bn1"),)

    def __init__(self, plan: ResNetPlan, output_stride: int | None = None) -> None:
        super().__init__()
        self.native_stride = plan.native_stride
        self.padded_grid = 16 if plan.last_stride == 1 else 1
        self.take_stride(output_stride, otherwise=16)
        self.conv1 = _conv(3, plan.width, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(plan.width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=plan.caffe)
        inputs = plan.width
        strides = dilate((1, 2, 2, plan.last_stride), self.output_stride, reached=4)
        for number, (count, stride) in enumerate(zip(plan.blocks, strides, strict=True)):
            inner, outputs = plan.inner * 2**number, plan.width * 2**number * (4 if plan.bottleneck else 1)
            stage = [Residual(plan, inputs, inner, outputs, stride)]
            stage += [Residual(plan, outputs, inner, outputs, stride.settled) for _ in range(count - 1)]
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
            inputs = outputs
        self.head = nn.Linear(inputs, plan.num_classes, bias=plan.bias)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {name: self.get_submodule(name) for name in ("layer1", "layer2", "layer3", "layer4")}

    def features(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.layers.values():
            x = stage(x)
        return x

    def levels(self, x: Tensor) -> list[Tensor]:
        """What the stem and each of the stages give."""
        found = [self.maxpool(self.relu(self.bn1(self.conv1(x))))]
        for stage in self.layers.values():
            found.append(stage(found[-1]))
        return found


def for_deeplab(shapes: Shapes) -> ResNet:
    return ResNet(replace(read_plan(shapes, last_stride=2), caffe=True), output_stride=8)


def adapt(state: State) -> State:
    """Published keys → the network's own, each once: the linear layer is `head`."""
    state = {key: value for key, value in state.items() if not ALIASES.match(key)}
    found = (name for name in HEADS if f"{name}.weight" in state and state[f"{name}.weight"].ndim in (2, 4))
    return rename(state, {f"{next(found, 'head')}.": "head."})


def is_irn(shapes: Shapes) -> bool:
    """The IRN family's linear layer is a 1×1 convolution."""
    return len(shapes.get("head.weight", ())) == 4


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)

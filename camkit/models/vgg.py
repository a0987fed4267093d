"""VGG16: torchvision's, its fully connected layers turned into convolutions, and variants made for class maps.

A classifier made for class maps has one linear layer on conv5, or on convolutions fc6 and fc7 behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from camkit.errors import UsageError
from camkit.models.classifier import DROPOUT, ClassifierNetwork, Shapes, Stride, Tap, dilate
from camkit.models.state import State, rename

BLOCKS = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))  # outputs in units of the first convolution
HEADS = ("classifier", "fc8", "fc")


@dataclass(frozen=True)
class VGGPlan:
    num_classes: int
    width: int = 64
    batch_norm: bool = False
    kernel: int = 0  # of fc6: 7 in torchvision's layout, 0 without fc6 and fc7
    hidden: tuple[int, int] = (4096, 4096)  # channels of fc6 and fc7
    bias: bool = True
    pool: int = 2  # side of the maxima: 3 in DeepLab's, which lie around their position and are never dilated

    @property
    def default_stride(self) -> int:
        """torchvision's was trained at 32; variants for class maps usually without the last two pools' strides."""
        return 16 if self.kernel == 7 else 8

    @property
    def pools(self) -> int:
        return 5 if self.kernel else 4


class TopLeftPool(nn.Module):
    """A 2×2 maximum without its stride: position i sees i and i + dilation, beyond the border nothing."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.pool = nn.MaxPool2d(2, stride=1, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(nn.functional.pad(x, (0, self.dilation, 0, self.dilation), value=-torch.inf))


class VGG16(ClassifierNetwork):
    """Features: activations of fc7, or of conv5_3 where there is no fc6; [B, D, floor(H / stride), floor(W / stride)].

    Logits are the mean of the dense scores. torchvision's own logits of a 224 × 224 photo are the dense scores in the
    middle of the 7 × 7 grid of stride 32.
    """

    family = "vgg16"
    published = (("trunk.", "features."), ("head.", "fc8."))
    channels_last = True
    gradient_layers = tuple(f"conv{block}_{n}" for block in (3, 4, 5) for n in (1, 2, 3))  # the paper's

    def __init__(self, plan: VGGPlan, output_stride: int | None = None) -> None:
        super().__init__()
        self.native_stride = 2**plan.pools
        self.take_stride(output_stride, otherwise=plan.default_stride)
        strides = [*dilate([2] * plan.pools, self.output_stride, reached=1), None]
        self.trunk = nn.Sequential()
        self.conv_norm_pairs: list[tuple[str, str]] = []
        self.positions: dict[str, int] = {}  # of each convolution in the trunk
        inputs, dilation = 3, 1
        for number, (block, pool) in enumerate(zip(BLOCKS, strides, strict=False), start=1):
            for index, units in enumerate(block, start=1):
                self.positions[f"conv{number}_{index}"] = len(self.trunk)
                self._append(inputs, units * plan.width, dilation, plan.batch_norm)
                inputs = units * plan.width
            if pool is not None:
                self.trunk.append(_pool(plan.pool, pool))
                dilation = pool.after
        self.fc6: nn.Conv2d | None = None
        if plan.kernel:
            # torchvision's fc6 learned on a grid of stride 32; the others learned on the grid they run on
            reach = dilation if plan.kernel == 7 else 1
            self.fc6 = nn.Conv2d(inputs, plan.hidden[0], plan.kernel, 1, reach * (plan.kernel // 2), reach)
            self.fc7 = nn.Conv2d(plan.hidden[0], plan.hidden[1], 1)
            self.dropout = nn.Dropout(DROPOUT)
            inputs = plan.hidden[1]
        self.relu = nn.ReLU()
        self.head = nn.Linear(inputs, plan.num_classes, bias=plan.bias)

    def _append(self, inputs: int, outputs: int, dilation: int, batch_norm: bool) -> None:
        position = len(self.trunk)
        self.trunk.append(nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation))
        if batch_norm:
            self.trunk.append(nn.BatchNorm2d(outputs))
            self.conv_norm_pairs.append((f"trunk.{position}", f"trunk.{position + 1}"))
        self.trunk.append(nn.ReLU())

    @property
    def upper_names(self) -> tuple[str, ...]:
        return ("head",) if self.fc6 is None else ("fc6", "fc7", "head")

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {name: self.trunk[position] for name, position in self.positions.items()}

    def features(self, x: Tensor) -> Tensor:
        x = self.trunk(x)
        if self.fc6 is None:
            return x
        return self.dropout(self.relu(self.fc7(self.dropout(self.relu(self.fc6(x))))))

    @property
    def taps(self) -> Mapping[Tap, nn.Module]:
        if self.fc6 is None:
            raise UsageError("this vgg16 has no fc6 and fc7, which ICD needs")
        following = list(self.trunk)[self.positions["conv4_3"] :]
        conv4 = next(module for module in following if isinstance(module, nn.ReLU))
        return {"conv4": conv4, "conv5": self.trunk, "fc6": self.fc6}

    def with_layers_for_icd(
        self, *, kept: bool, output_stride: int | None
    ) -> tuple[ClassifierNetwork, tuple[str, ...]] | None:
        """ICD's fc6 and fc7 are those of class maps, thinned out if need be; a trained linear layer keeps its own."""
        if self.fc6 is not None and (kept or self.fc6.kernel_size[0] == 3):
            return None
        remade = for_maps(self.num_classes, self.width, output_stride, batch_norm=bool(self.conv_norm_pairs))
        remade.trunk.load_state_dict(self.trunk.state_dict())
        assert remade.fc6 is not None
        thinned = self.fully_connected(remade.fc6.out_channels)
        if thinned is None:
            return remade, ("fc6", "fc7", "head")
        for layer, weights in zip((remade.fc6, remade.fc7), thinned, strict=True):
            layer.load_state_dict(weights)
        return remade, ("head",)

    def fully_connected(self, channels: int) -> tuple[State, State] | None:
        """As DeepLab's authors thin out theirs: of 4,096 channels every fourth, of 7 rows and columns 0, 3 and 6."""
        if self.fc6 is None or self.fc6.kernel_size[0] not in (3, 7):
            return None
        every = [layer.out_channels // channels for layer in (self.fc6, self.fc7)]
        if [channels * n for n in every] != [self.fc6.out_channels, self.fc7.out_channels]:
            return None
        weights = self.state_dict()
        (lower, upper), step = every, self.fc6.kernel_size[0] // 2
        return (
            {"weight": weights["fc6.weight"][::lower, :, ::step, ::step], "bias": weights["fc6.bias"][::lower]},
            {"weight": weights["fc7.weight"][::upper, ::lower], "bias": weights["fc7.bias"][::upper]},
        )


def for_maps(num_classes: int, width: int, output_stride: int | None, *, batch_norm: bool = False) -> VGG16:
    """With fc6 and fc7 made for class maps: 3×3 and 1×1, of 1,024 channels where the trunk is as wide as published."""
    hidden = 16 * width
    plan = VGGPlan(num_classes, width, batch_norm=batch_norm, kernel=3, hidden=(hidden, hidden), bias=False)
    return VGG16(plan, output_stride)


def for_deeplab(shapes: Shapes) -> VGG16:
    """Up to conv5_3."""
    return VGG16(VGGPlan(1, shapes["trunk.0.weight"][0], batch_norm=_has_batch_norm(shapes), pool=3), output_stride=8)


def _pool(side: int, stride: Stride) -> nn.Module:
    if side == 3:
        return nn.MaxPool2d(3, stride.step, padding=1)
    return nn.MaxPool2d(2) if stride.step == 2 else TopLeftPool(stride.before)


def adapt(state: State) -> State:
    """Published keys → the network's own: `features` is the trunk, fully connected layers are convolutions."""
    heads = ("classifier.6", *(head for head in HEADS if "classifier.6.weight" not in state))
    head = next((name for name in heads if f"{name}.weight" in state), "head")
    own = {"features.": "trunk.", "classifier.0.": "fc6.", "classifier.3.": "fc7.", f"{head}.": "head."}
    renamed = rename(state, own)
    for layer, kernel in (("fc6.weight", 7), ("fc7.weight", 1)):
        weight = renamed.get(layer)
        if weight is not None and weight.ndim == 2 and weight.numel() and weight.shape[1] % kernel**2 == 0:
            renamed[layer] = weight.reshape(len(weight), -1, kernel, kernel)
    return renamed


def fits(shapes: Shapes) -> bool:
    """13 convolutions where VGG16 has them: VGG19 has more, at other places."""
    step = 3 if _has_batch_norm(shapes) else 2  # convolution, (batch norm,) ReLU
    convolutions = {key for key, shape in shapes.items() if key.startswith("trunk.") and len(shape) == 4}
    starts = [sum(map(len, BLOCKS[:n])) * step + n for n in range(5)]
    expected = [start + i * step for start, block in zip(starts, BLOCKS, strict=True) for i in range(len(block))]
    return convolutions == {f"trunk.{position}.weight" for position in expected}


def from_shapes(shapes: Shapes, output_stride: int | None) -> VGG16:
    dense = "fc6.weight" in shapes
    plan = VGGPlan(
        num_classes=shapes["head.weight"][0],
        width=shapes["trunk.0.weight"][0],
        batch_norm=_has_batch_norm(shapes),
        kernel=shapes["fc6.weight"][2] if dense else 0,
        hidden=(shapes["fc6.weight"][0], shapes["fc7.weight"][0]) if dense else (0, 0),
        bias="head.bias" in shapes,
    )
    return VGG16(plan, output_stride)


def _has_batch_norm(shapes: Shapes) -> bool:
    return len(shapes.get("trunk.1.weight", ())) == 1

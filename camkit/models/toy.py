"""A small residual network for the toy world: 351 thousand weights, stride 8, trained from scratch within minutes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from camkit.models.classifier import ClassifierNetwork, Shapes
from camkit.models.state import State

WIDTH = 16
BLOCKS = ((2, 2), (3, 2), (4, 2), (8, 1))  # outputs in units of the first convolution, stride


class Block(nn.Module):
    """Two 3×3 convolutions beside a 1×1 one."""

    conv_norm_pairs = (("conv1", "bn1"), ("conv2", "bn2"), ("shortcut.0", "shortcut.1"))

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(inner + self.shortcut(x))


class ToyNet(ClassifierNetwork):
    """Features: the last block's activations, [B, 8 × width, h, w] with h = ceil(H / 8)."""

    family = "toy"
    published = ()
    channels_last = True
    native_stride = 8
    stem_names = ("stem", "stem_norm")
    gradient_layers = ("block1", "block2")
    has_levels = True
    conv_norm_pairs = (("stem", "stem_norm"),)

    def __init__(self, num_classes: int, width: int = WIDTH, output_stride: int | None = None) -> None:
        super().__init__()
        self.take_stride(output_stride, otherwise=8)
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        inputs = width
        for number, (units, stride) in enumerate(BLOCKS, start=1):
            self.add_module(f"block{number}", Block(inputs, units * width, stride))
            inputs = units * width
        self.head = nn.Linear(inputs, num_classes)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {name: self.get_submodule(name) for name in ("block1", "block2", "block3", "block4")}

    def features(self, x: Tensor) -> Tensor:
        return self.levels(x)[-1]

    def levels(self, x: Tensor) -> list[Tensor]:
        """What each of the blocks gives, at strides 2, 4, 8 and 8."""
        x = self.relu(self.stem_norm(self.stem(x)))
        found = []
        for block in self.layers.values():
            x = block(x)
            found.append(x)
        return found


def adapt(state: State) -> State:
    return state


def fits(shapes: Shapes) -> bool:
    return "stem.weight" in shapes and "block4.conv2.weight" in shapes


def from_shapes(shapes: Shapes, output_stride: int | None) -> ToyNet:
    return ToyNet(shapes["head.weight"][0], shapes["stem.weight"][0], output_stride)

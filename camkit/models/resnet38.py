"""WideResNet38 at stride 8, as the AffinityNet ("PSA") program and its successors train it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from torch import Tensor, nn

from camkit.models.classifier import ClassifierNetwork, Shapes
from camkit.models.state import State, rename

Convolution = tuple[int, int, int, int]  # kernel, outputs in units of the first convolution, stride, dilation

HEADS = ("fc8", "fc8_20")
SEAM_LAYERS = ("f8_3", "f8_4", "f9")


def wide(inner: int, outputs: int, stride: int = 1, first: int = 1, dilation: int = 1) -> list[Convolution]:
    return [(3, inner, stride, first), (3, outputs, 1, dilation)]


def bottleneck(first: int, second: int, outputs: int, dilation: int) -> list[Convolution]:
    return [(1, first, 1, 1), (3, second, 1, dilation), (1, outputs, 1, 1)]


BLOCKS: Mapping[str, Sequence[Convolution]] = {
    "b2": wide(2, 2, stride=2),
    **{f"b2_{n}": wide(2, 2) for n in (1, 2)},
    "b3": wide(4, 4, stride=2),
    **{f"b3_{n}": wide(4, 4) for n in (1, 2)},
    "b4": wide(8, 8, stride=2),
    **{f"b4_{n}": wide(8, 8) for n in (1, 2, 3, 4, 5)},
    "b5": wide(8, 16, dilation=2),
    **{f"b5_{n}": wide(8, 16, first=2, dilation=2) for n in (1, 2)},
    "b6": bottleneck(8, 16, 32, dilation=4),
    "b7": bottleneck(16, 32, 64, dilation=4),
}


DROPOUT: Mapping[str, float] = {"b6": 0.3, "b7": 0.5, "head": 0.5}
"""While training, so many of the channels that a block's later convolutions and the classifier see are 0."""


class PreActivation(nn.Module):
    """Batch norm and ReLU come before each convolution.

    The shortcut of a block that changes shape starts after its first ReLU.
    """

    def __init__(
        self, inputs: int, unit: int, convolutions: Sequence[Convolution], *, reshapes: bool, dropout: float
    ) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout2d(dropout)
        self.names: list[tuple[str, str]] = []  # (batch norm, convolution)
        width = inputs
        for number, (kernel, units, stride, dilation) in enumerate(convolutions):
            branch = ("branch2a", "branch2b1", "branch2b2")[number]
            padding = dilation * (kernel // 2)
            convolution = nn.Conv2d(width, units * unit, kernel, stride, padding, dilation, bias=False)
            self.add_module(f"bn_{branch}", nn.BatchNorm2d(width))
            self.add_module(f"conv_{branch}", convolution)
            self.names.append((f"bn_{branch}", f"conv_{branch}"))
            width = units * unit
        self.conv_branch1: nn.Conv2d | None = None
        if reshapes:
            self.conv_branch1 = nn.Conv2d(inputs, width, 1, convolutions[0][2], bias=False)

    @property
    def conv_norm_pairs(self) -> list[tuple[str, str]]:
        norms, convolutions = zip(*self.names, strict=True)
        return list(zip(convolutions, norms[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        for norm, convolution in self.names:
            x = self.relu(self.get_submodule(norm)(x))
            if norm != "bn_branch2a":
                x = self.dropout(x)
            elif self.conv_branch1 is not None:
                shortcut = self.conv_branch1(x)
            x = self.get_submodule(convolution)(x)
        return x + shortcut


class ResNet38(ClassifierNetwork):
    """Features: the activations after `bn7`, [B, 64 × width, h, w] with h = ceil(H / 8)."""

    family = "resnet38"
    published = (("head.", "fc8."),)
    native_stride = 8
    stem_names = ("conv1a", "b2", "b2_1", "b2_2")
    gradient_layers = ("b4", "b5", "b6")
    has_levels = True

    def __init__(self, num_classes: int, width: int = 64, output_stride: int | None = None) -> None:
        super().__init__()
        self.take_stride(output_stride, otherwise=8)
        self.conv1a = nn.Conv2d(3, width, 3, padding=1, bias=False)
        inputs = width
        for name, convolutions in BLOCKS.items():
            block = PreActivation(inputs, width, convolutions, reshapes="_" not in name, dropout=DROPOUT.get(name, 0.0))
            self.add_module(name, block)
            inputs = width * convolutions[-1][1]
        self.bn7 = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout2d(DROPOUT["head"])
        self.head = nn.Linear(inputs, num_classes, bias=False)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        """The last block of each stage (before the next one's batch norm and ReLU), and the features."""
        last = {name.split("_")[0]: self.get_submodule(name) for name in BLOCKS}
        return last | {"b7": self.relu}

    def features(self, x: Tensor) -> Tensor:
        x = self.conv1a(x)
        for name in BLOCKS:
            x = self.get_submodule(name)(x)
        return self.relu(self.bn7(x))

    def pool(self, features: Tensor) -> Tensor:
        return super().pool(self.dropout(features))

    def levels(self, x: Tensor) -> list[Tensor]:
        """What enters the convolutions of the last stages, and the features, all at stride 8."""
        found = []
        x = self.conv1a(x)
        for name in BLOCKS:
            block = self.get_submodule(name)
            if name in ("b5", "b6"):
                found.append(self.relu(block.get_submodule("bn_branch2a")(x)))
            x = block(x)
        return [*found, self.relu(self.bn7(x))]


def adapt(state: State) -> State:
    """Published keys → the network's own.

    SC-CAM's later rounds call the linear layer fc8_20, beside one for sub-classes. SEAM's has a row for the background
    first: left out, unless camkit wrote it, as a matrix.
    """
    published = "fc8." if "fc8.weight" in state else "fc8_20."
    renamed = rename(state, {published: "head."})
    head = renamed.get("head.weight")
    if is_seam(state) and head is not None and head.ndim == 4:
        renamed["head.weight"] = head[1:]
    return renamed


def is_seam(keys: Container[str]) -> bool:
    """Whether the trunk comes with SEAM's layers; AffinityNet has these too, and f8_5."""
    return all(f"{name}.weight" in keys for name in SEAM_LAYERS) and "f8_5.weight" not in keys


def fits(shapes: Shapes) -> bool:
    return "conv1a.weight" in shapes


def from_shapes(shapes: Shapes, output_stride: int | None) -> ResNet38:
    return ResNet38(shapes["head.weight"][0], shapes["conv1a.weight"][0], output_stride)

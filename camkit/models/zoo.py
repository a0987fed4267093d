"""The networks camkit knows, by name, and how a checkpoint's keys tell which one it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from camkit.errors import UsageError
from camkit.models import resnet, resnet38, seam, toy, vgg
from camkit.models.classifier import Network, Shapes
from camkit.models.state import State

Builder = Callable[[Shapes, int | None], Network]
"""(shapes of a checkpoint in the network's own keys, output stride or None for the default) → network."""


@dataclass(frozen=True)
class Architecture:
    signature: str  # a published key of the trunk that no other family has
    heads: tuple[str, ...]  # published names of the linear layer
    adapt: Callable[[State], State]  # published keys → the network's own, the linear layer as `head`
    fits: Callable[[Shapes], bool]  # tells relatives apart by the trunk's shapes, in the network's own keys
    from_shapes: Builder
    from_scratch: Callable[[int, int, int | None], Network]  # classes, width of the first convolution, output stride
    width: int = 64  # as published
    trained_as: str | None = None  # which network of its trunk camkit trains, where it trains no such network


def _resnet(counts: tuple[int, ...], *, bottleneck: bool, last_stride: int = 2) -> Architecture:
    def fits(shapes: Shapes) -> bool:
        return resnet.count_blocks(shapes) == counts and ("layer1.0.conv3.weight" in shapes) == bottleneck

    def from_shapes(shapes: Shapes, output_stride: int | None) -> Network:
        return resnet.ResNet(resnet.read_plan(shapes, last_stride), output_stride)

    def from_scratch(classes: int, width: int, output_stride: int | None) -> Network:
        bias = last_stride == 2
        plan = resnet.ResNetPlan(classes, bottleneck, counts, width, width, bias=bias, last_stride=last_stride)
        return resnet.ResNet(plan, output_stride)

    return Architecture("layer1.0.conv1.weight", resnet.HEADS, resnet.adapt, fits, from_shapes, from_scratch)


def _vgg_for_maps(classes: int, width: int, output_stride: int | None) -> Network:
    hidden = 16 * width
    plan = vgg.VGGPlan(classes, width, kernel=3, hidden=(hidden, hidden), bias=False)
    return vgg.VGG16(plan, output_stride)


RESNET38 = "b2.conv_branch2a.weight"

ARCHITECTURES: Mapping[str, Architecture] = {
    "resnet38-seam": Architecture(
        RESNET38, resnet38.HEADS, resnet38.adapt, seam.fits, seam.from_shapes, seam.Seam, trained_as="resnet38"
    ),
    "resnet38": Architecture(
        RESNET38, resnet38.HEADS, resnet38.adapt, resnet38.fits, resnet38.from_shapes, resnet38.ResNet38
    ),
    "resnet50-irn": _resnet((3, 4, 6, 3), bottleneck=True, last_stride=1),
    "resnet18": _resnet((2, 2, 2, 2), bottleneck=False),
    "resnet34": _resnet((3, 4, 6, 3), bottleneck=False),
    "resnet50": _resnet((3, 4, 6, 3), bottleneck=True),
    "resnet101": _resnet((3, 4, 23, 3), bottleneck=True),
    "vgg16": Architecture("features.28.weight", vgg.HEADS, vgg.adapt, vgg.fits, vgg.from_shapes, _vgg_for_maps),
    "toy": Architecture(
        "block4.conv2.weight", ("head",), toy.adapt, toy.fits, toy.from_shapes, toy.ToyNet, width=toy.WIDTH
    ),
}


def architecture(name: str) -> Architecture:
    if name not in ARCHITECTURES:
        raise UsageError(f"--arch {name} is not known; known are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(arch: str, num_classes: int, *, width: int | None = None, output_stride: int | None = None) -> Network:
    """A network with fresh weights, in training mode. `width`: channels of the first convolution."""
    known = architecture(arch)
    network = known.from_scratch(num_classes, width or known.width, output_stride)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def stem_of(trunk: nn.Module) -> tuple[str, ...]:
    """The first modules, which the programs of PSA and IRN leave as they are in a trunk that learns."""
    if isinstance(trunk, resnet38.ResNet38):
        return ("conv1a", "b2", "b2_1", "b2_2")
    if isinstance(trunk, resnet.ResNet):
        return ("conv1", "bn1")
    return ("stem", "stem_norm") if isinstance(trunk, toy.ToyNet) else ()


def detect(shapes: Shapes) -> str | None:
    """The architecture whose trunk has these keys and shapes (in the network's own keys)."""
    names = [name for name, known in ARCHITECTURES.items() if known.fits(shapes)]
    if "resnet50-irn" in names and not resnet.is_irn(shapes):
        names.remove("resnet50-irn")
    return names[0] if names else None

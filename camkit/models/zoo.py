"""The networks camkit knows, by name: how their checkpoints are recognised, and how they are built."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import nn

from camkit.errors import UsageError
from camkit.models import efficientnet, resnet, resnet38, seam, toy, vgg
from camkit.models.classifier import IMAGENET_MEAN, IMAGENET_STD, ClassifierNetwork, Colour, Shapes
from camkit.models.state import State, shapes_of, without_wrappers
from camkit.types import AffinityKind


@dataclass(frozen=True)
class Architecture:
    """One network of the zoo: all that must be known of it before there is one.

    What is true of a network once it is built (its strides, its stem, the layers that methods read) stands with its
    class: see ClassifierNetwork. To add a relative of a known family, add a row to ARCHITECTURES; to add a family,
    write a file as toy.py is one (the class, `adapt`, `fits`, `from_shapes`), and add its rows.

    A checkpoint is recognised in three steps. Its keys lose what wrappers put in front, which is found by where the key
    `signature` lies. `adapt` turns published keys into the network's own, in which the linear layer is called `head`.
    The first row whose `fits` and `evident` accept the shapes under these keys is what the checkpoint holds.

    network          its class, all of whose rows are one family
    signature        a published key of the trunk that no other family has
    heads            published names of the linear layer, for people who are told that it is missing
    adapt            published keys → the network's own
    fits             whether a trunk of these shapes is this one, rather than a smaller or larger relative
    from_shapes      a network for the shapes of a checkpoint, at an output stride (None: the usual one), not yet filled
    from_scratch     a network for so many classes, as wide as is asked, at an output stride
    width            channels of the first convolution as published
    imagenet         mean and deviation of the photos that its published ImageNet classifier has learned from
    evident          tells it from relatives of the same shapes, where nobody says which it is; asked of the first alone
    published_pairs  what networks of pairs have been published on this trunk: such checkpoints are read too
    pairs_on         the architecture that networks of pairs take such a trunk for, where it is another: IRN's program
                     lets the last stage of a resnet50 keep the resolution, without dilation
    trained_as       the architecture that a training goes on with, where camkit has no training for this one
    deeplab          as `from_shapes`, as DeepLab's Caffe programs build the trunk, at stride 8; None: they have no such
    """

    network: type[ClassifierNetwork]
    signature: str
    heads: tuple[str, ...]
    adapt: Callable[[State], State]
    fits: Callable[[Shapes], bool]
    from_shapes: Callable[[Shapes, int | None], ClassifierNetwork]
    from_scratch: Callable[[int, int, int | None], ClassifierNetwork]
    width: int = 64
    imagenet: tuple[Colour, Colour] = (IMAGENET_MEAN, IMAGENET_STD)
    evident: Callable[[Shapes], bool] = lambda shapes: True
    published_pairs: tuple[AffinityKind, ...] = ()
    pairs_on: Mapping[AffinityKind, str] = field(default_factory=dict)
    trained_as: str | None = None
    deeplab: Callable[[Shapes], ClassifierNetwork] | None = None

    def under_own_keys(self, tensors: State) -> State | None:
        """None: tensors of another family."""
        state = without_wrappers(tensors, self.signature)
        return self.adapt(state) if state is not None else None


def _resnet(counts: tuple[int, ...], *, bottleneck: bool, last_stride: int = 2, **more: Any) -> Architecture:
    """more: fields of the row."""

    def fits(shapes: Shapes) -> bool:
        return resnet.count_blocks(shapes) == counts and ("layer1.0.conv3.weight" in shapes) == bottleneck

    def from_shapes(shapes: Shapes, output_stride: int | None) -> ClassifierNetwork:
        return resnet.ResNet(resnet.read_plan(shapes, last_stride), output_stride)

    def from_scratch(classes: int, width: int, output_stride: int | None) -> ClassifierNetwork:
        bias = last_stride == 2
        plan = resnet.ResNetPlan(classes, bottleneck, counts, width, width, bias=bias, last_stride=last_stride)
        return resnet.ResNet(plan, output_stride)

    return Architecture(
        resnet.ResNet, "layer1.0.conv1.weight", resnet.HEADS, resnet.adapt, fits, from_shapes, from_scratch, **more
    )  # fmt: skip


def _efficientnet(size: efficientnet.Size) -> Architecture:
    return Architecture(
        efficientnet.EfficientNetLite,
        "_blocks.0._depthwise_conv.weight",
        ("_fc",),
        efficientnet.adapt,
        partial(efficientnet.fits, size),
        partial(efficientnet.from_shapes, size),
        partial(efficientnet.EfficientNetLite, size),
        width=efficientnet.WIDTH,
        imagenet=(efficientnet.MEAN, efficientnet.STD),
    )


RESNET38 = Architecture(
    resnet38.ResNet38, "b2.conv_branch2a.weight", resnet38.HEADS, resnet38.adapt, resnet38.fits, resnet38.from_shapes,
    resnet38.ResNet38, published_pairs=("affinitynet",),
)  # fmt: skip

ARCHITECTURES: Mapping[str, Architecture] = {
    "resnet38-seam": replace(
        RESNET38, network=seam.Seam, fits=seam.fits, from_shapes=seam.from_shapes, from_scratch=seam.Seam,
        trained_as="resnet38", published_pairs=(),
    ),
    "resnet38": RESNET38,
    "resnet50-irn": _resnet(
        (3, 4, 6, 3), bottleneck=True, last_stride=1, evident=resnet.is_irn, published_pairs=("affinitynet", "irn"),
    ),
    "resnet18": _resnet((2, 2, 2, 2), bottleneck=False),
    "resnet34": _resnet((3, 4, 6, 3), bottleneck=False),
    "resnet50": _resnet(
        (3, 4, 6, 3), bottleneck=True, published_pairs=("affinitynet", "irn"), pairs_on={"irn": "resnet50-irn"},
        deeplab=resnet.for_deeplab,
    ),
    "resnet101": _resnet((3, 4, 23, 3), bottleneck=True, deeplab=resnet.for_deeplab),
    "vgg16": Architecture(
        vgg.VGG16, "features.28.weight", vgg.HEADS, vgg.adapt, vgg.fits, vgg.from_shapes, vgg.for_maps,
        deeplab=vgg.for_deeplab,
    ),
    **{name: _efficientnet(size) for name, size in efficientnet.SIZES.items()},
    "toy": Architecture(
        toy.ToyNet, "block4.conv2.weight", ("head",), toy.adapt, toy.fits, toy.from_shapes, toy.ToyNet, width=toy.WIDTH,
    ),
}  # fmt: skip


def architecture(name: str) -> Architecture:
    if name not in ARCHITECTURES:
        raise UsageError(f"--arch {name} is not known; known are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(
    arch: str, num_classes: int, *, width: int | None = None, output_stride: int | None = None
) -> ClassifierNetwork:
    """A network with fresh weights, in training mode. `width`: channels of the first convolution."""
    known = architecture(arch)
    network = known.from_scratch(num_classes, width or known.width, output_stride)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.groups > 1:  # of which torch takes no notice
                module.weight.data.mul_(math.sqrt(module.groups))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def find_trunk(tensors: State) -> tuple[str, State] | None:
    """The architecture of the trunk among the tensors, and all of them under its own keys."""
    for known in ARCHITECTURES.values():
        state = known.under_own_keys(tensors)
        name = _detect(shapes_of(state)) if state is not None else None
        if state is not None and name is not None:
            return name, state
    return None


def _detect(shapes: Shapes) -> str | None:
    """The architecture whose trunk has these keys and shapes (in the network's own keys)."""
    return next((name for name, known in ARCHITECTURES.items() if known.fits(shapes) and known.evident(shapes)), None)

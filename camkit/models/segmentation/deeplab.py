"""DeepLab on residual networks: v2, whose four dilated convolutions give scores at once, and torchvision's v3."""

from __future__ import annotations

import re

from torch import Tensor, nn

from camkit.models import zoo
from camkit.models.classifier import ClassifierNetwork, Shapes
from camkit.models.segmentation.backbone import bare
from camkit.models.segmentation.layers import PyramidPooling, conv_norm
from camkit.models.segmentation.network import Part, SegmentationNetwork
from camkit.models.state import State

CAFFE = "-caffe"
"""Ends the names of trunks that were converted from Caffe: they stride, dilate and pool otherwise, and read BGR."""

OUTPUT_STRIDE = 8

CAFFE_MEAN = (122.675 / 255, 116.669 / 255, 104.008 / 255)
CAFFE_STD = (1 / 255, 1 / 255, 1 / 255)
RATES_V2 = (6, 12, 18, 24)
RATES_V3 = (12, 24, 36)
WIDTH_V3 = 256

NORMS = r"\.(bn\d|downsample\.1)\."
CONVOLUTIONS = {"reduce": "1", "conv3x3": "2", "increase": "3"}
FIRST = re.compile(r"layer1\.conv1\.(conv|bn)\.(\w+)")
LATER = re.compile(r"layer([2-5])\.block(\d+)\.(\w+)\.(conv|bn)\.(\w+)")


class DeepLabV2(SegmentationNetwork):
    """Trained by its program on three scales and their maximum, with labels brought down to each grid."""

    backbone: ClassifierNetwork
    scores = ("aspp",)
    output_stride = OUTPUT_STRIDE
    coarse_labels = True
    pyramid = (0.5, 0.75)
    frozen_norms = True
    parts = (Part(NORMS, 0), Part(r"^aspp\..*bias$", 20, 0), Part(r"^aspp\.", 10))

    def __init__(self, trunk: str, shapes: Shapes, outputs: int | None = None) -> None:
        super().__init__(trunk)
        self.backbone, inputs = residual_backbone(trunk, shapes)
        outputs = outputs or shapes["aspp.c0.weight"][0]
        self.aspp = nn.ModuleDict(
            {f"c{n}": nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate) for n, rate in enumerate(RATES_V2)}
        )
        if self.bgr:
            self.mean, self.std = CAFFE_MEAN, CAFFE_STD

    @property
    def bgr(self) -> bool:
        return self.trunk.endswith(CAFFE)

    def logits(self, x: Tensor) -> Tensor:
        x = self.backbone.features(x.flip(1) if self.bgr else x)
        first, *others = (convolution(x) for convolution in self.aspp.values())
        return sum(others, start=first)

    def published_state(self) -> State:
        """Under the published names only where the published program would run it as it is."""
        state = super().published_state()
        return {_caffe_key(key): value for key, value in state.items()} if self.bgr else state


class DeepLabV3(SegmentationNetwork):
    """torchvision's, without a decoder; an auxiliary head reads the last stage but one."""

    backbone: ClassifierNetwork
    scores = ("classifier.4", "aux_classifier.4")
    output_stride = OUTPUT_STRIDE
    parts = (Part(r"^aux_classifier\.", 10),)  # as in torchvision's reference training

    def __init__(self, trunk: str, shapes: Shapes, outputs: int | None = None) -> None:
        super().__init__(trunk)
        self.backbone, inputs = residual_backbone(trunk, shapes)
        begun = "classifier.4.weight" not in shapes
        outputs = outputs or shapes["classifier.4.weight"][0]
        channels = WIDTH_V3 if begun else shapes["classifier.1.weight"][0]
        self.classifier = nn.Sequential(
            PyramidPooling(inputs, channels, RATES_V3, dropout=0.5),
            *conv_norm(channels, channels, 3),
            nn.Conv2d(channels, outputs, 1),
        )
        self.aux_classifier: nn.Sequential | None = None
        if begun or "aux_classifier.4.weight" in shapes:
            middle = WIDTH_V3 if begun else shapes["aux_classifier.0.weight"][0]
            self.aux_classifier = nn.Sequential(
                *conv_norm(inputs // 2, middle, 3), nn.Dropout(0.1), nn.Conv2d(middle, outputs, 1)
            )
            self.weights = (1.0, 0.5)

    def logits(self, x: Tensor) -> Tensor:
        return self.classifier(self.backbone.features(x))

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.aux_classifier is None:
            return super().outputs(x)
        levels = self.backbone.levels(x)
        return self.classifier(levels[-1]), self.aux_classifier(levels[-2])


def residual_backbone(trunk: str, shapes: Shapes) -> tuple[ClassifierNetwork, int]:
    """At stride 8, and the channels of its features."""
    known = zoo.architecture(trunk.removesuffix(CAFFE))
    if trunk.endswith(CAFFE):
        return bare(known.deeplab, shapes)
    return bare(lambda inside: known.from_shapes(inside, OUTPUT_STRIDE), shapes)


def from_caffe(state: State) -> State:
    """Keys of deeplab-pytorch, also without the multi-scale wrapper, → own."""
    return {_own_key(key): value for key, value in state.items()}


def from_scale(state: State) -> State:
    """Keys of pytorch-deeplab-resnet → own. No file was at hand: they are known from programs that load such."""
    inside = {key.removeprefix("Scale."): value for key, value in state.items()}
    fifth = re.compile(r"layer5\.conv2d_list\.(\d+)\.")
    return {
        fifth.sub(r"aspp.c\1.", key) if fifth.match(key) else f"backbone.{key}": value for key, value in inside.items()
    }


def _own_key(key: str) -> str:
    if match := FIRST.fullmatch(key):
        return f"backbone.{match[1]}1.{match[2]}"
    match = LATER.fullmatch(key)
    if match is None:
        return key
    stage, block, name, kind, rest = match.groups()
    if name == "shortcut":
        layer = f"downsample.{('conv', 'bn').index(kind)}"
    else:
        layer = f"{kind}{CONVOLUTIONS.get(name, name)}"
    return f"backbone.layer{int(stage) - 1}.{int(block) - 1}.{layer}.{rest}"


def _caffe_key(key: str) -> str:
    """The inverse of `_own_key`, of a network's own keys."""
    if match := re.fullmatch(r"backbone\.(conv|bn)1\.(\w+)", key):
        return f"layer1.conv1.{match[1]}.{match[2]}"
    match = re.fullmatch(r"backbone\.layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(\w+)", key)
    if match is None:
        return key
    stage, block, kind, number, rest = match.groups()
    if kind == "downsample.":
        layer = f"shortcut.{('conv', 'bn')[int(number)]}"
    else:
        names = {number: name for name, number in CONVOLUTIONS.items()}
        layer = f"{names[number]}.{kind}"
    return f"layer{int(stage) + 1}.block{int(block) + 1}.{layer}.{rest}"

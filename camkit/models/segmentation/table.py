"""The segmentation networks camkit knows, by name: how their checkpoints are recognised, and how they are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from camkit.errors import UsageError
from camkit.models import zoo
from camkit.models.classifier import Shapes
from camkit.models.segmentation import deeplab, plain, swin, vit
from camkit.models.segmentation.backbone import backbone_shapes
from camkit.models.segmentation.deeplab import CAFFE, DeepLabV2, DeepLabV3
from camkit.models.segmentation.eomt import EoMT, from_eomt
from camkit.models.segmentation.light import Light
from camkit.models.segmentation.network import SegmentationNetwork
from camkit.models.segmentation.plain import ASPP, LARGE_FIELD, DeepLabVGG, ResNet38Segmentation
from camkit.models.segmentation.upernet import UPerNet
from camkit.models.state import State, shapes_of, without_wrappers

Adapt = Callable[[State], State]


@dataclass(frozen=True)
class Layout:
    """One published way to name keys.

    signs  keys that are all there, under whatever a wrapper put in front of the first
    adapt  published keys → the network's own
    """

    signs: tuple[str, ...]
    adapt: Adapt = lambda state: state

    def under_own_keys(self, tensors: State) -> State | None:
        """None: tensors in another layout."""
        state = without_wrappers(tensors, self.signs[0])
        return self.adapt(state) if state is not None and all(sign in state for sign in self.signs) else None


@dataclass(frozen=True)
class Segmenter:
    """One segmentation network: all that must be known of it before there is one. See SegmentationNetwork for the rest.

    A checkpoint is recognised by its keys: the first row one of whose layouts has its signs there, and whose `fits`
    accepts the shapes under the network's own keys, is what it holds. What camkit writes says itself what it is.

    build    trunk's name, shapes under own keys, 1 + C → a network whose weights are drawn. 1 + C is None where the
             shapes tell it; where they hold the backbone alone, the head is made as published
    fits     whether it is this one, rather than a relative
    trunk    what published checkpoints have as a backbone
    trunks   what it can begin from: names of trunks
    strided  whether it can be built at several output strides
    """

    build: Callable[..., SegmentationNetwork]
    layouts: tuple[Layout, ...]
    fits: Callable[[Shapes], bool]
    trunk: str
    trunks: tuple[str, ...]
    strided: bool = False

    def under_own_keys(self, tensors: State) -> State | None:
        """None: not this network, under no published keys."""
        adapted = (layout.under_own_keys(tensors) for layout in self.layouts)
        return next((state for state in adapted if state is not None and self.fits(shapes_of(state))), None)


def _has_trunk(trunk: str, shapes: Shapes) -> bool:
    return zoo.architecture(trunk).fits(backbone_shapes(shapes))


def _is_large_field(shapes: Shapes) -> bool:
    return len(shapes["branches.0.fc8.weight"]) == 4


COCO = Layout(("layer1.conv1.conv.weight", "layer2.block1.reduce.conv.weight"), deeplab.from_caffe)
"""A Caffe trunk, whatever is above it."""


def _deeplabv2(trunk: str) -> Segmenter:
    layouts = (
        Layout((*COCO.signs, "aspp.c0.weight"), deeplab.from_caffe),
        Layout(("Scale.conv1.weight", "Scale.layer5.conv2d_list.0.weight"), deeplab.from_scale),
    )
    caffe = f"{trunk}{CAFFE}"
    return Segmenter(DeepLabV2, layouts, partial(_has_trunk, trunk), caffe, (caffe, trunk))


def _deeplabv3(trunk: str) -> Segmenter:
    layouts = (Layout(("backbone.conv1.weight", "classifier.0.convs.0.0.weight")),)
    return Segmenter(DeepLabV3, layouts, partial(_has_trunk, trunk), trunk, (trunk,))


def _upernet(trunk: str) -> Segmenter:
    head = "decode_head.psp_modules.0.1.conv.weight"
    layouts = (
        Layout(("backbone.layers.0.blocks.0.attn.qkv.weight", head)),
        Layout(("backbone.stages.0.blocks.0.attn.w_msa.qkv.weight", head), swin.from_mmsegmentation),
    )
    return Segmenter(UPerNet, layouts, lambda shapes: swin.fits(trunk, backbone_shapes(shapes)), trunk, (trunk,))


SEGMENTERS: Mapping[str, Segmenter] = {
    "deeplabv2-resnet101": _deeplabv2("resnet101"),
    "deeplabv2-resnet50": _deeplabv2("resnet50"),
    "deeplabv3-resnet101": _deeplabv3("resnet101"),
    "deeplabv3-resnet50": _deeplabv3("resnet50"),
    "largefov-vgg16": Segmenter(
        partial(DeepLabVGG, rates=LARGE_FIELD),
        (
            Layout(("features.28.weight", "classifier.1.weight", "classifier.6.weight"), plain.from_large_field),
            Layout(("features.28.weight", "features.32.weight", "features.38.weight"), plain.from_one_sequence),
        ),
        _is_large_field, "vgg16", ("vgg16",),
    ),
    "largefov-aspp-vgg16": Segmenter(
        partial(DeepLabVGG, rates=ASPP),
        (Layout(("features.28.weight", "fc8_aspp6.weight", "fc8_aspp24.weight"), plain.from_aspp),),
        _is_large_field, "vgg16", ("vgg16",),
    ),
    "resnet38": Segmenter(
        ResNet38Segmentation, (Layout(("conv1a.weight", "fc8_seg_conv1.weight"), plain.from_resnet38),),
        lambda shapes: True, "resnet38", ("resnet38",),
    ),
    **{f"upernet-{trunk}": _upernet(trunk) for trunk in swin.SIZES},
    "eomt": Segmenter(
        EoMT, (Layout(("encoder.backbone.blocks.0.attn.qkv.weight", "q.weight", "mask_head.0.weight"), from_eomt),),
        lambda shapes: True, "vit", (),
    ),
    "light": Segmenter(Light, (), lambda shapes: True, "efficientnet-lite0", (*zoo.ARCHITECTURES, "vit"), strided=True),
}  # fmt: skip

TRANSFORMERS = {
    **{name: Layout(("layers.0.blocks.0.attn.qkv.weight", "patch_embed.proj.weight")) for name in swin.SIZES},
    "vit": Layout((vit.SIGNATURE, "patch_embed.proj.weight", "pos_embed", "cls_token")),
}


def segmenter(name: str) -> Segmenter:
    if name not in SEGMENTERS:
        raise UsageError(f"--arch {name} is not known; known are {', '.join(SEGMENTERS)}")
    return SEGMENTERS[name]


def find_segmenter(tensors: State) -> tuple[str, State] | None:
    """The network whose published keys these are, and the tensors under its own."""
    for name, known in SEGMENTERS.items():
        state = known.under_own_keys(tensors)
        if state is not None:
            return name, state
    return None


def find_trunk(tensors: State) -> tuple[str, State] | None:
    """The trunk among the tensors, and these under keys that start with `backbone.` if they are its own."""
    state = COCO.under_own_keys(tensors)
    if state is not None:
        possible = (name for name, known in zoo.ARCHITECTURES.items() if known.deeplab is not None)
        name = next((name for name in possible if _has_trunk(name, shapes_of(state))), None)
        return None if name is None else (f"{name}{CAFFE}", state)
    for name, layout in TRANSFORMERS.items():
        state = layout.under_own_keys(tensors)
        if state is not None and (name == "vit" or swin.fits(name, shapes_of(state))):
            return name, {f"backbone.{key}": value for key, value in state.items()}
    found = zoo.find_trunk(tensors)
    return None if found is None else (found[0], {f"backbone.{key}": value for key, value in found[1].items()})

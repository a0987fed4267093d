"""Narrow networks of every architecture, their weights drawn from a seed."""

from __future__ import annotations

import torch

from camkit.models import zoo
from camkit.models.segmentation import swin, vit
from camkit.models.segmentation.network import SegmentationNetwork
from camkit.models.segmentation.table import SEGMENTERS
from tests.models.tiny import fill

CLASSES = 3
OUTPUTS = 1 + CLASSES

ARCHITECTURES = tuple(name for name in SEGMENTERS if name != "light")
LIGHT = ("toy", "efficientnet-lite0", "resnet18", "resnet38", "vgg16", "vit")

VIT = vit.ViTPlan(width=16, depth=4, hidden=32, patch=8, positions=16, registers=2, scaled=True)
HEADS = {
    "deeplabv3": {
        "classifier.1.weight": (8, 8, 3, 3), "classifier.4.weight": (OUTPUTS, 8, 1, 1),
        "aux_classifier.0.weight": (8, 0, 3, 3), "aux_classifier.4.weight": (OUTPUTS, 8, 1, 1),
    },
    "upernet": {
        "decode_head.conv_seg.weight": (OUTPUTS, 8, 1, 1), "auxiliary_head.conv_seg.weight": (OUTPUTS, 8, 1, 1),
    },
    "eomt": {
        "q.weight": (5, 16), "class_head.weight": (OUTPUTS + 1, 16), "upscale.0.": (), "upscale.1.": (),
        "attn_mask_probs": (2,),
    },
    "light": {"score.weight": (OUTPUTS, 8, 1, 1)},
}  # fmt: skip


def trunk_state(trunk: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors of a narrow trunk under its own keys."""
    if trunk == "vit":
        module: torch.nn.Module = vit.ViT(VIT)
    elif trunk in swin.SIZES:
        depths = swin.SIZES[trunk][1]
        heads = (4, 4, 8, 8) if trunk == "swin-b" else (3, 3, 6, 6)
        width = 4 * heads[0]
        module = swin.Swin(swin.SwinPlan(width, depths, heads, tuple(width * 2**n for n in range(4)), window=3))
    else:
        module = zoo.build(trunk.removesuffix("-caffe"), 1, width=8 if trunk == "toy" else 4)
    state = {key: value for key, value in module.state_dict().items() if not key.startswith("head.")}
    return fill({key: tuple(value.shape) for key, value in state.items()}, seed)


def narrow(arch: str, trunk: str | None = None, seed: int = 0) -> SegmentationNetwork:
    """In evaluation mode."""
    known = SEGMENTERS[arch]
    trunk = trunk or known.trunk
    shapes = {f"backbone.{key}": tuple(value.shape) for key, value in trunk_state(trunk).items()}
    head = next((shapes for name, shapes in HEADS.items() if arch.startswith(name)), {})
    network = known.build(trunk, {**shapes, **head}, OUTPUTS)
    network.load_state_dict(fill({key: tuple(value.shape) for key, value in network.state_dict().items()}, seed))
    if arch == "eomt":
        network.attn_mask_probs.zero_()
    return network.eval()

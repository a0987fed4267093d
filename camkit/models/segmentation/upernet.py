"""UPerNet on Swin: a pyramid of levels read from the top down, the top one behind pyramid pooling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from camkit.models.classifier import Shapes
from camkit.models.segmentation.backbone import backbone_shapes
from camkit.models.segmentation.layers import PooledNorm, resized
from camkit.models.segmentation.network import Part, SegmentationNetwork
from camkit.models.segmentation.swin import Swin, read_plan

POOLED = (1, 2, 3, 6)
WIDTH, AUXILIARY_WIDTH = 512, 256


def conv_module(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
            bn=PooledNorm(outputs),
            activate=nn.ReLU(),
        )
    )


class DecodeHead(nn.Module):
    def __init__(self, inputs: Sequence[int], channels: int, outputs: int) -> None:
        super().__init__()
        *lower, top = inputs
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(side), conv_module(top, channels, 1)) for side in POOLED
        )
        self.bottleneck = conv_module(top + len(POOLED) * channels, channels, 3)
        self.lateral_convs = nn.ModuleList(conv_module(level, channels, 1) for level in lower)
        self.fpn_convs = nn.ModuleList(conv_module(channels, channels, 3) for _ in lower)
        self.fpn_bottleneck = conv_module(len(inputs) * channels, channels, 3)
        self.dropout = nn.Dropout2d(0.1)
        self.conv_seg = nn.Conv2d(channels, outputs, 1)

    def pool(self, top: Tensor) -> Tensor:
        found = [resized(branch(top), top.shape[-2:]) for branch in self.psp_modules]
        return self.bottleneck(torch.cat([top, *found], dim=1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        found = [convolution(level) for convolution, level in zip(self.lateral_convs, levels[:-1], strict=True)]
        found.append(self.pool(levels[-1]))
        for number in range(len(found) - 1, 0, -1):
            found[number - 1] = found[number - 1] + resized(found[number], found[number - 1].shape[-2:])
        found[:-1] = [convolution(level) for convolution, level in zip(self.fpn_convs, found[:-1], strict=True)]
        together = torch.cat([resized(level, found[0].shape[-2:]) for level in found], dim=1)
        return self.conv_seg(self.dropout(self.fpn_bottleneck(together)))


class AuxiliaryHead(nn.Module):
    def __init__(self, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([conv_module(inputs, channels, 3)])
        self.dropout = nn.Dropout2d(0.1)
        self.conv_seg = nn.Conv2d(channels, outputs, 1)

    def forward(self, level: Tensor) -> Tensor:
        return self.conv_seg(self.dropout(self.convs[0](level)))


class UPerNet(SegmentationNetwork):
    """Keys as in the Swin authors' program."""

    backbone: Swin
    scores = ("decode_head.conv_seg", "auxiliary_head.conv_seg")
    output_stride = 4
    parts = (Part(r"norm|relative_position_bias", 1, 0),)

    def __init__(self, trunk: str, shapes: Shapes, outputs: int | None = None) -> None:
        super().__init__(trunk)
        self.backbone = Swin(read_plan(backbone_shapes(shapes)))
        inputs = self.backbone.channels
        begun = "decode_head.conv_seg.weight" not in shapes
        channels = WIDTH if begun else shapes["decode_head.conv_seg.weight"][1]
        outputs = outputs or shapes["decode_head.conv_seg.weight"][0]
        self.decode_head = DecodeHead(inputs, channels, outputs)
        self.auxiliary_head: AuxiliaryHead | None = None
        if begun or "auxiliary_head.conv_seg.weight" in shapes:
            middle = AUXILIARY_WIDTH if begun else shapes["auxiliary_head.conv_seg.weight"][1]
            self.auxiliary_head = AuxiliaryHead(inputs[-2], middle, outputs)
            self.weights = (1.0, 0.4)

    def logits(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone.levels(x))

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.auxiliary_head is None:
            return super().outputs(x)
        levels = self.backbone.levels(x)
        return self.decode_head(levels), self.auxiliary_head(levels[-2])

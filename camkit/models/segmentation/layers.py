"""Layers that several heads are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PooledNorm(nn.BatchNorm2d):
    """Of maps that may be one position large: those of a photo alone are measured by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def conv_norm(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    """Convolution, batch norm and ReLU; the size stays."""
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class PyramidPooling(nn.Module):
    """ASPP: what lies around a position at several distances, and in the whole photo. Keys as in torchvision."""

    def __init__(self, inputs: int, channels: int, rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        branches = [nn.Sequential(*conv_norm(inputs, channels, 1))]
        branches += [nn.Sequential(*conv_norm(inputs, channels, 3, rate)) for rate in rates]
        whole = nn.Conv2d(inputs, channels, 1, bias=False)
        branches.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), whole, PooledNorm(channels), nn.ReLU()))
        self.convs = nn.ModuleList(branches)
        self.project = nn.Sequential(*conv_norm(len(branches) * channels, channels, 1), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, h, w] → [B, channels, h, w]."""
        found = [branch(x) for branch in self.convs]
        found[-1] = found[-1].expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat(found, dim=1))


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear without aligned corners."""
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=False)

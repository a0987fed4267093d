"""What affinity networks learn from: labels that are sure, and the loss of pairs of cells with the same or another one.

AffinityNet (Ahn and Kwak 2018) and IRN (Ahn, Cho and Kwak 2019) differ in how affinities are made, not in this.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from camkit.methods.walk.affinity import between, half_disc, met_on_the_way
from camkit.methods.walk.confident import UNDECIDED

BACKGROUND, FOREGROUND, DIFFERENT = 1, 2, 3
"""Kinds of pairs; 0: one of the cells is undecided, or beyond the grid."""

EPSILON = 1e-5


def labels_of_cells(labels: Tensor, stride: int) -> Tensor:
    """AffinityNet: what more than half of a cell is, else undecided. [B, H, W] → [B, ⌈H / stride⌉, ⌈W / stride⌉]."""
    height, width = labels.shape[1:]
    labels = F.pad(labels, (0, -width % stride, 0, -height % stride), value=UNDECIDED)
    decided = torch.full_like(labels[:, ::stride, ::stride], UNDECIDED)
    for label in labels.unique().tolist():
        share = F.avg_pool2d((labels == label).float()[:, None], stride)[:, 0]
        decided[share > 0.5] = label
    return decided


def labels_at_corners(labels: Tensor, stride: int) -> Tensor:
    """IRN: of each cell's first pixel, which is what the middle of its network's view is. [B, H, W] as above."""
    return labels[:, ::stride, ::stride]


def kinds_of_pairs(labels: Tensor, radius: int) -> Tensor:
    """[B, h, w]: 0 background, above 0 classes, UNDECIDED → the kinds [K, B, h, w], in the order of affinities."""
    kinds = labels.new_zeros(len(half_disc(radius)), *labels.shape, dtype=torch.uint8)
    for plane, offset in zip(kinds, half_disc(radius), strict=True):
        here, there = between(labels, offset)
        kind = torch.where(here == there, torch.where(here == 0, BACKGROUND, FOREGROUND), DIFFERENT)
        kind[(here == UNDECIDED) | (there == UNDECIDED)] = 0
        between(plane, offset)[0].copy_(kind)
    return kinds


def sums_of_losses(affinities: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """−log affinity, of different cells −log (1 − affinity), summed by kind of pair; and how many pairs. [3], [3].

    The programs' loss is a quarter of the mean of background, a quarter of that of foreground, half of that of
    different pairs, each over the whole batch.
    """
    alike, apart = -(affinities + EPSILON).log(), -(1 + EPSILON - affinities).log()
    chosen = [kinds == kind for kind in (BACKGROUND, FOREGROUND, DIFFERENT)]
    sums = [(loss * of_kind).sum() for loss, of_kind in zip((alike, alike, apart), chosen, strict=True)]
    return torch.stack(sums), torch.stack([of_kind.sum() for of_kind in chosen]).to(affinities.dtype)


def feature_affinities(features: Tensor, radius: int) -> Tensor:
    """AffinityNet: of a batch of embeddings [B, D, h, w] → [K, B, h, w]; what is beyond the grid counts nothing."""
    return (-_MeanDifference.apply(features, radius)).exp()


def boundary_affinities(boundary: Tensor, radius: int) -> Tensor:
    """IRN: of a batch of boundary probabilities [B, h, w] → [K, B, h, w]; what is beyond the grid counts nothing."""
    return 1 - _LargestOnTheWay.apply(boundary, radius)


class _MeanDifference(torch.autograd.Function):
    """[B, D, h, w] → [K, B, h, w]: mean |difference|. Keeps the features alone: differences are K times as many."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, radius: int) -> Tensor:
        ctx.save_for_backward(features)
        ctx.radius = radius
        batch, _, *size = features.shape
        planes = features.new_zeros(len(half_disc(radius)), batch, *size)
        for plane, offset in zip(planes, half_disc(radius), strict=True):
            here, there = between(features, offset)
            between(plane, offset)[0].copy_((here - there).abs_().mean(dim=1))
        return planes

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None]:
        (features,) = ctx.saved_tensors
        total = torch.zeros_like(features)
        for plane, offset in zip(gradients, half_disc(ctx.radius), strict=True):
            here, there = between(features, offset)
            pull = (here - there).sign_().mul_(between(plane, offset)[0][:, None])
            of_here, of_there = between(total, offset)
            of_here.add_(pull)
            of_there.sub_(pull)
        return total.div_(features.shape[1]), None


class _LargestOnTheWay(torch.autograd.Function):
    """[B, h, w] → [K, B, h, w]: the largest boundary on the way to the neighbour, and which of its cells that is."""

    @staticmethod
    def forward(ctx: Any, boundary: Tensor, radius: int) -> Tensor:
        planes = boundary.new_zeros(len(half_disc(radius)), *boundary.shape)
        which = torch.zeros_like(planes, dtype=torch.uint8)
        for plane, step, offset in zip(planes, which, half_disc(radius), strict=True):
            largest, at = between(plane, offset)[0], between(step, offset)[0]
            for number, met in enumerate(met_on_the_way(boundary, offset)):
                at.masked_fill_(met > largest, number)
                torch.maximum(largest, met, out=largest)
        ctx.save_for_backward(which)
        ctx.radius = radius
        return planes

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None]:
        (which,) = ctx.saved_tensors
        total = gradients.new_zeros(gradients.shape[1:])
        for plane, step, offset in zip(gradients, which, half_disc(ctx.radius), strict=True):
            gradient, at = between(plane, offset)[0], between(step, offset)[0]
            for number, place in enumerate(met_on_the_way(total, offset)):
                place.addcmul_(gradient, (at == number).to(gradient.dtype))
        return total, None

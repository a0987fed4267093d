"""How much neighbouring cells belong together: by an embedding, by the boundaries between them, by their colours.

All give one plane [h, w] for each offset of `half_disc`: the affinity, in [0, 1], of a cell and the one so far from it;
0 where that is beyond the grid. Training takes them of a batch, see camkit.methods.walk.learning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

COARSEST = 16
"""The stride of IRN's last stages, in pixels."""

COLOUR_DEVIATION = 10
"""Of the levels 0 … 255, where the affinities' power is 1."""

Offset = tuple[int, int]
"""Rows down and columns to the right."""


@lru_cache
def half_disc(radius: int) -> tuple[Offset, ...]:
    """Offsets shorter than the radius, one of each pair of opposite ones: right, then down row by row."""
    reach = range(1 - radius, radius)
    return tuple((y, x) for y in range(radius) for x in reach if (y, x) > (0, 0) and y * y + x * x < radius * radius)


def between(values: Tensor, offset: Offset) -> tuple[Tensor, Tensor]:
    """Views of [..., h, w]: the cells that have a neighbour at the offset, and these neighbours."""
    (dy, dx), (height, width) = offset, values.shape[-2:]
    top, left, right = max(height - dy, 0), max(-dx, 0), max(width - max(dx, 0), 0)
    return values[..., :top, left:right], values[..., dy : dy + top, left + dx : max(right + dx, left + dx)]


def feature_affinity(features: Tensor, radius: int) -> Tensor:
    """AffinityNet: exp(−mean |difference|) of embeddings [D, h, w] → [K, h, w]."""
    planes = features.new_zeros(len(half_disc(radius)), *features.shape[1:])
    for plane, offset in zip(planes, half_disc(radius), strict=True):
        here, there = between(features, offset)
        between(plane, offset)[0].copy_((here - there).abs_().mean(dim=0).neg_().exp_())
    return planes


def boundary_affinity(boundary: Tensor, radius: int) -> Tensor:
    """IRN: 1 − the largest boundary probability [h, w] on the way, ends included → [K, h, w]."""
    planes = boundary.new_zeros(len(half_disc(radius)), *boundary.shape)
    for plane, offset in zip(planes, half_disc(radius), strict=True):
        met = met_on_the_way(boundary, offset)
        largest = met[0]
        for more in met[1:]:
            largest = torch.maximum(largest, more)
        between(plane, offset)[0].copy_(1 - largest)
    return planes


def met_on_the_way(values: Tensor, offset: Offset) -> list[Tensor]:
    """Views of [..., h, w], with one cell of each way for every cell that has a neighbour at the offset; both ends."""
    here, there = between(values, offset)
    (height, width), left = here.shape[-2:], max(-offset[1], 0)
    middle = [values[..., dy : dy + height, left + dx : left + dx + width] for dy, dx in path(offset)[1:-1]]
    return [here, *middle, there]


@lru_cache
def path(offset: Offset) -> tuple[Offset, ...]:
    """Cells of the rectangle around both ends, less than 1 from the straight line between them; the other end last."""
    end_y, end_x = offset
    columns = range(end_x + 1) if end_x >= 0 else range(0, end_x - 1, -1)
    length = end_y * end_y + end_x * end_x
    return tuple((y, x) for y in range(end_y + 1) for x in columns if (end_y * x - end_x * y) ** 2 < length)


def colour_affinity(colours: Tensor, radius: int) -> Tensor:
    """exp(−mean difference² / 2 · 10²) of colours [3, h, w] in [0, 255] → [K, h, w]."""
    planes = colours.new_zeros(len(half_disc(radius)), *colours.shape[1:])
    for plane, offset in zip(planes, half_disc(radius), strict=True):
        here, there = between(colours, offset)
        squared = (here - there).square_().mean(dim=0)
        between(plane, offset)[0].copy_(squared.div_(-2 * COLOUR_DEVIATION**2).exp_())
    return planes


def published_pairs(affinities: Tensor, radius: int) -> Tensor:
    """AffinityNet's program: pairs whose upper cell is too near to the sides or the bottom have no affinity.

    affinities  [K, h, w]; too near is where the half disc does not fit on the grid. On small grids it shrinks.
    """
    height, width = affinities.shape[1:]
    shortest = min(height, width)
    reach = radius - 1 if shortest > 2 * radius else (shortest - 1) // 2 - 1
    kept = torch.zeros_like(affinities)
    for plane, found, (dy, dx) in zip(kept, affinities, half_disc(radius), strict=True):
        if dy * dy + dx * dx < (reach + 1) ** 2:
            plane[: height - reach, reach : width - reach] = found[: height - reach, reach : width - reach]
    return kept


def embed(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    """AffinityNet's embedding [D, h, w] of normalised RGB [3, H, W], filled up with 0 to whole cells."""
    return network(fill_up(image[None], stride))[0].float()


def find_boundary(network: Callable[[Tensor], Tensor], image: Tensor, stride: int, crop: int) -> Tensor:
    """IRN's boundary probabilities [h, w] of normalised RGB [3, H, W]: of the mean logits of image and mirror image.

    The image is filled up with 0 to the size of the training crops, for group norms see all of it.
    """
    height, width = image.shape[1:]
    sides = [-(-max(side, crop) // COARSEST) * COARSEST for side in (height, width)]
    both = F.pad(torch.stack([image, image.flip(-1)]), (0, sides[1] - width, 0, sides[0] - height))
    logits = network(both).float()[:, : -(-height // stride), : -(-width // stride)]
    return torch.sigmoid((logits[0] + logits[1].flip(-1)) / 2)


def fill_up(values: Tensor, stride: int) -> Tensor:
    """0 to the right and below until both sides are multiples of the stride."""
    height, width = values.shape[-2:]
    return F.pad(values, (0, -width % stride, 0, -height % stride))


def cell_means(values: Tensor, stride: int) -> Tensor:
    """[C, H, W] → [C, h, w]: means of cells of stride × stride, beyond the edges of 0."""
    return F.avg_pool2d(fill_up(values, stride), stride)


def colours_of_cells(image: Tensor, stride: int) -> Tensor:
    """[3, H, W] → mean colours [3, h, w]; those of cells over the edges, of what they have of the image."""
    height, width = image.shape[1:]
    filled = F.pad(image[None], (0, -width % stride, 0, -height % stride), mode="replicate")
    return F.avg_pool2d(filled, stride)[0]

"""Pixel-adaptive refinement: pixels that look alike lend each other their values, again and again.

PAMR: Araslanov and Roth, Single-Stage Semantic Segmentation from Image Labels, CVPR 2020, section 3.2.
PAR: Ru et al., Learning Affinity from Attention, CVPR 2022, section 3.4, equations 8 to 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from camkit.settings.pixel import PixelSettings

EPSILON = 1e-8
AROUND = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))


def affinities(photos: Tensor, settings: PixelSettings) -> Tensor:
    """photos [B, 3, H, W] → how much each pixel takes of each of its neighbours [B, K, H, W]; they sum to 1.

    K: 8 for each dilation, in the order of `neighbours`. Scaling the photo changes nothing but what EPSILON does.
    """
    count = len(settings.dilations) * len(AROUND)
    spread = _deviation(photos, settings, count)
    weights = photos.new_empty(len(photos), count, *photos.shape[2:])
    for place, there in enumerate(neighbours(photos, settings.dilations)):
        difference = (there - photos).abs() / (settings.width * spread + EPSILON)
        weights[:, place] = -(difference.square() if settings.squared else difference).mean(dim=1)
    weights = weights.softmax(dim=1)
    if settings.position:
        weights += settings.position * _by_distance(settings, weights)[None, :, None, None]
        weights /= 1 + settings.position  # PAR's program does not: all that it gives is 1.01^rounds as large
    return weights


def refine(maps: Tensor, weights: Tensor, settings: PixelSettings) -> Tensor:
    """maps [B, C, H, W], weights of `affinities` → [B, C, H, W]: in each round the weighted mean of the neighbours."""
    for _ in range(settings.rounds):
        sums = torch.zeros_like(maps)
        for place, there in enumerate(neighbours(maps, settings.dilations)):
            sums.addcmul_(weights[:, place, None], there)
        maps = sums
    return maps


def neighbours(values: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """Views [B, C, H, W] of the values so far away, in eight directions; what lies outside is as the border is."""
    reach = max(dilations)
    height, width = values.shape[-2:]
    padded = F.pad(values, (reach,) * 4, mode="replicate")
    for dilation in dilations:
        for down, right in AROUND:
            top, left = reach + down * dilation, reach + right * dilation
            yield padded[..., top : top + height, left : left + width]


def _deviation(photos: Tensor, settings: PixelSettings, count: int) -> Tensor:
    """[B, 3, H, W]: the standard deviation of each colour over the neighbours, and over the centres where they count.

    Of differences to the pixel itself, so that float32 is enough for photos without contrast.
    """
    total, squares = torch.zeros_like(photos), torch.zeros_like(photos)
    for there in neighbours(photos, settings.dilations):
        difference = there - photos
        total += difference
        squares.addcmul_(difference, difference)
    if settings.centre:
        count += len(settings.dilations)  # whose differences are 0
    return ((squares - total.square() / count).clamp(min=0) / (count - 1)).sqrt()


def _by_distance(settings: PixelSettings, like: Tensor) -> Tensor:
    """[K]: as colours do it, with a neighbour's distance in place of the difference."""
    steps = torch.tensor([float(abs(down) + abs(right)) for down, right in AROUND], dtype=like.dtype).sqrt()
    dilations = torch.tensor(settings.dilations, dtype=like.dtype)
    distances = (dilations[:, None] * steps).flatten()
    return (-(distances / (distances.std() + EPSILON) / settings.width).square()).softmax(dim=0).to(like.device)

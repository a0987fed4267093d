"""SEAM's refined maps: class activation maps spread over the positions that look alike (its pixel correlation module).

Paper: "Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic Segmentation" (CVPR 2020).
Here a class's map depends on the others: where another class scores higher, it starts from 0, absent classes included.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from camkit.methods.response import EPSILON, network_input, scale_pyramid, sum_responses
from camkit.types import Classifier, Size

LARGEST_BLOCK = 1 << 25
"""So many similarities are held at once: a large photo at twice its size has a hundred million of them."""


class Refiner(Classifier, Protocol):
    """A classifier that has learned which positions belong together."""

    def features_and_embedding(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] normalised RGB → features [B, D, h, w], and what tells positions apart [B, E, h, w]."""


def refined_cam(images: Tensor, classes: Tensor, network: Refiner) -> Tensor:
    """SEAM's refined CAM as a response map, at the images' own resolution: bind the network with `partial`."""
    features, embedding = network.features_and_embedding(network_input(images, network))
    scores = torch.einsum("cd,bdhw->bchw", network.weight.to(features.dtype), features).float()
    winning = winning_maps(scores)
    places = classes.clamp_min(0)[..., None, None].expand(-1, -1, *winning.shape[-2:])
    asked = winning.gather(1, places) * (classes >= 0)[..., None, None]
    refined = spread(asked, embedding.float())
    return F.interpolate(refined, images.shape[-2:], mode="bilinear", align_corners=True)


def winning_maps(scores: Tensor) -> Tensor:
    """Each class's map divided by its maximum, and 0 where another class's is higher.

    scores [B, num_classes, h, w], of any sign → the same in [0, 1]
    """
    maps = (scores - EPSILON).relu() / (scores.relu().amax((-2, -1), keepdim=True) + EPSILON)
    return maps * (maps >= maps.amax(1, keepdim=True))


def spread(maps: Tensor, embedding: Tensor) -> Tensor:
    """To every position the mean of all positions' values, weighted by ReLU of the embeddings' cosine.

    maps [B, C, h, w], embedding [B, E, h, w] → [B, C, h, w]
    """
    values, directions = maps.flatten(2), embedding.flatten(2)
    directions = directions / (directions.norm(dim=1, keepdim=True) + EPSILON)
    batch, _, positions = values.shape
    found = torch.empty_like(values)
    block = max(1, LARGEST_BLOCK // (batch * positions))
    for start in range(0, positions, block):
        part = slice(start, start + block)
        similarity = torch.bmm(directions.mT, directions[..., part]).relu_()  # [B, h·w, part]
        found[..., part] = torch.bmm(values, similarity) / (similarity.sum(1, keepdim=True) + EPSILON)
    return found.unflatten(-1, maps.shape[-2:])


def stretch(maps: Tensor) -> Tensor:
    """From each map's own minimum to its maximum: [B, C, h, w] → the same in [0, 1]. A constant map becomes 0."""
    lowest, highest = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - lowest - EPSILON).clamp_min(0) / (highest - lowest + EPSILON)


def multi_scale_refined_cam(
    images: Tensor, classes: Tensor, size: Size, *, network: Refiner, scales: Sequence[float], flip: bool = True
) -> Tensor:
    """Refined CAM summed over scales and mirror images and stretched to [0, 1], as SEAM's program does it.

    It lets a map's lowest pixels end below 0, and a class that wins no position at -1 everywhere: here both are 0.
    """
    response = partial(refined_cam, network=network)
    return stretch(sum_responses(response, scale_pyramid(images, scales), classes, size, flip=flip))

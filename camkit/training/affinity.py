"""What training AffinityNet and IRN adds to the loop: sure labels, warped like their photo, and the loss of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from camkit.methods.response import normalised
from camkit.methods.walk import learning
from camkit.methods.walk.confident import UNDECIDED
from camkit.models.affinity import BoundaryNet, PairNetwork
from camkit.pipeline.device import Device
from camkit.pipeline.load import Failure
from camkit.settings.recipe import Augmentation
from camkit.training.classify import stack_photos
from camkit.training.planes import Warped, WithPlane, load_warped, stack_planes
from camkit.training.ranks import Ranks

GRID = 16
"""Every network's strides divide it."""

SHARES = {"background": 1 / 4, "foreground": 1 / 4, "different": 1 / 2}
"""Of the mean losses of each kind of pair."""


class Batch(NamedTuple):
    images: Tensor  # [B, 3, H, W] float32 in [0, 255]
    labels: Tensor  # [B, H, W] int64: 0 background, class + 1, UNDECIDED (as is what lies outside of a photo)


def load_sample(
    item: WithPlane, rng: np.random.Generator, *, augmentation: Augmentation, num_classes: int,
    fill: tuple[int, int, int],
) -> Warped | Failure:  # fmt: skip
    warped = load_warped(item, rng, augmentation=augmentation, fill=fill)
    if isinstance(warped, Failure):
        return warped
    return Warped(warped.photo, np.where(warped.plane <= num_classes, warped.plane, UNDECIDED))


def collate(
    samples: Sequence[Warped], *, device: Device, fill: tuple[int, int, int], channels_last: bool = False
) -> Batch:
    images = stack_photos(
        [sample.photo for sample in samples], device=device, fill=fill, channels_last=channels_last, multiple=GRID
    )
    height, width = images.shape[-2:]
    return Batch(images, stack_planes([sample.plane for sample in samples], (height, width), device))


def losses(network: nn.Module, batch: Batch, epochs_done: float, *, radius: int, ranks: Ranks) -> dict[str, Tensor]:
    """By kind of pair: its share of the loss, each the mean over all pairs of the batch, on whatever rank they are."""
    assert isinstance(network, PairNetwork)
    found = network(normalised(batch.images, network.mean, network.std)).float()
    if isinstance(network, BoundaryNet):
        labels = learning.labels_at_corners(batch.labels, network.stride)
        affinities = learning.boundary_affinities(torch.sigmoid(found), radius)
    else:
        labels = learning.labels_of_cells(batch.labels, network.stride)
        affinities = learning.feature_affinities(found, radius)
    sums, counts = learning.sums_of_losses(affinities, learning.kinds_of_pairs(labels, radius))
    photos = len(batch.images)
    *pairs, everything = ranks.total(torch.cat([counts, counts.new_tensor([photos])])).tolist()
    # the loop weights a rank's loss by its photos, whatever they show
    return {
        name: share * total * everything / (max(1.0, count) * photos)
        for (name, share), total, count in zip(SHARES.items(), sums, pairs, strict=True)
    }

"""What training ICD adds to the loop: superpixels warped like their photo, and the losses of equation 13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from camkit.methods import icd
from camkit.methods.response import network_input
from camkit.models.icd import IcdNetwork
from camkit.models.levels import on_grid, sample_at
from camkit.pipeline.device import Device
from camkit.pipeline.load import Failure
from camkit.settings.icd import IcdRecipe
from camkit.settings.recipe import Augmentation, LossOver
from camkit.training import classify
from camkit.training.planes import OUTSIDE, WithPlane, load_warped, stack_planes
from camkit.training.ranks import Ranks


class Sample(NamedTuple):
    seen: classify.Sample
    superpixels: np.ndarray  # [h, w] int32, OUTSIDE where the crop was filled up; all 0 inside if there are none


class Batch(NamedTuple):
    seen: classify.Batch
    superpixels: Tensor  # [B, H, W] int64 as above


def load_sample(
    item: WithPlane, rng: np.random.Generator, *, augmentation: Augmentation, num_classes: int,
    fill: tuple[int, int, int],
) -> Sample | Failure:  # fmt: skip
    warped = load_warped(item, rng, augmentation=augmentation, fill=fill)
    if isinstance(warped, Failure):
        return warped
    return Sample(classify.Sample(warped.photo, classify.target_of(item.photo, num_classes)), warped.plane)


def collate(
    samples: Sequence[Sample], *, device: Device, fill: tuple[int, int, int], channels_last: bool = False
) -> Batch:
    seen = classify.collate([one.seen for one in samples], device=device, fill=fill, channels_last=channels_last)
    height, width = seen.images.shape[-2:]
    return Batch(seen, stack_planes([one.superpixels for one in samples], (height, width), device))


def losses(
    network: nn.Module,
    batch: Batch,
    epochs_done: float,
    *,
    recipe: IcdRecipe,
    over: LossOver,
    with_superpixels: bool,
    ranks: Ranks,
) -> dict[str, Tensor]:
    """Equation 13. The bottom-up loss reaches the directions alone, the top-down loss its own branch and the trunk."""
    assert isinstance(network, IcdNetwork)
    branches = network.branches(network_input(batch.seen.images, network), batch.superpixels != OUTSIDE)
    # detached: the features are to learn from the top-down loss alone
    raw = icd.project(branches.normal.detach(), icd.unit_directions(network.directions))
    superpixels = sample_at(batch.superpixels, raw.shape[-2:])
    present, inside = batch.seen.targets > 0, superpixels != OUTSIDE
    with torch.no_grad():
        cams = icd.project(branches.top, network.weight).relu().float()
        sums = icd.cam_sums(raw, on_grid(cams, raw.shape[-2:]), present, inside)
        network.heads.note_cams(ranks.total(sums))
        refined = raw * icd.signs(*network.cam_means)[:, None, None]
        if with_superpixels:
            refined = icd.average_in_superpixels(refined, superpixels, recipe.superpixel_vote)
        refined = icd.one_class_each(refined, present)
    bottom_up = icd.bottom_up_losses(raw, present, inside, recipe.bottom_up)
    found = {
        "classification": classify.classification_loss(branches.logits, batch.seen.targets, over),
        "bottom_up": recipe.bottom_up_weight * _mean_of_single(bottom_up, icd.has_one_class(present), ranks),
    }
    if branches.adapted is not None:
        top_down = icd.top_down_losses(branches.adapted, refined, present, inside, recipe.ignore_band)
        found["top_down"] = icd.top_down_weight(epochs_done, recipe.top_down_warmup) * top_down.mean()
    return found


def _mean_of_single(losses: Tensor, single: Tensor, ranks: Ranks) -> Tensor:
    """Mean over the photos with one class, of the shares of all ranks; 0 where there is none. [B], [B] bool."""
    photos, everything = ranks.total(torch.stack([single, torch.ones_like(single)]).sum(1)).tolist()
    # the loop weights a rank's loss by its photos, of whatever classes
    return (losses * single).sum() * everything / (max(1, photos) * len(single))

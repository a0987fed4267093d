"""ICD (Fan et al., 2020): a direction per class that tells foreground from background within the class's own images.

scores   [B, C, h, w], signed: foreground above 0, background below
present  [B, C] bool, the classes each photo has
inside   [B, h, w] bool, positions that belong to the photo; others, where a crop was filled up, count nowhere
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F

from camkit.methods.response import network_input
from camkit.settings.icd import Form, Vote
from camkit.types import Classifier

WARMUP_STEEPNESS = 10.0


class Discriminator(Classifier, Protocol):
    """What scores are made from: of all of a network's classes C."""

    @property
    def directions(self) -> torch.Tensor:
        """[C, D]"""

    @property
    def cam_means(self) -> tuple[torch.Tensor, torch.Tensor]:
        """[C] each: the mean CAM where the raw score is positive, and where it is negative."""

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] normalised RGB → batch-normalised features [B, D, h, w]."""

    def adapted(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] normalised RGB → scores of the top-down branch [B, C, h, w]."""


def top_down_scores(images: torch.Tensor, classes: torch.Tensor, network: Discriminator) -> torch.Tensor:
    """The final scores, adapted ones (equation 7), of the classes asked for.

    images [B, 3, H, W] in [0, 255], classes [B, C] (−1: none) → [B, C, h, w], 0 where the class is −1
    """
    return _of_classes(network.adapted(network_input(images, network)), classes)


def bottom_up_scores(images: torch.Tensor, classes: torch.Tensor, network: Discriminator) -> torch.Tensor:
    """The scores along the directions, their sign corrected (equation 5), as above."""
    raw = project(network.normal(network_input(images, network)), unit_directions(network.directions))
    return _of_classes(raw * signs(*network.cam_means)[:, None, None], classes)


def _of_classes(scores: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    at = classes.clamp_min(0)[:, :, None, None].expand(-1, -1, *scores.shape[-2:])
    return scores.gather(1, at) * (classes >= 0)[:, :, None, None]


def unit_directions(directions: torch.Tensor) -> torch.Tensor:
    """Equation 2: [C, D] → the same, each of length 1."""
    return F.normalize(directions, dim=1)


def project(features: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Equation 3: features [B, D, h, w] along directions [C, D] → raw scores [B, C, h, w] of the features' type."""
    with torch.autocast(features.device.type, enabled=False):
        return F.conv2d(features, directions.to(features.dtype)[:, :, None, None])


def _sigmoid_loss(scores: torch.Tensor) -> torch.Tensor:
    """Equations 9 and 10: the scores' own signs are the labels."""
    return F.binary_cross_entropy_with_logits(scores, (scores > 0).to(scores.dtype), reduction="none")


FORMS: Mapping[Form, Callable[[torch.Tensor], torch.Tensor]] = {
    "square": lambda scores: -scores.square(),
    "absolute": lambda scores: -scores.abs(),
    "sigmoid": _sigmoid_loss,
}


def bottom_up_losses(
    scores: torch.Tensor, present: torch.Tensor, inside: torch.Tensor, form: Form = "square"
) -> torch.Tensor:
    """Equations 1, 8 and 10 of each photo [B], of raw scores: mean over pixels, sum over the classes it has."""
    return _per_photo(FORMS[form](scores), present, inside)


def has_one_class(present: torch.Tensor) -> torch.Tensor:
    """[B] bool: the photos directions are learned from, so that no foreground is taken for another's background."""
    return present.sum(1) == 1


def cam_sums(scores: torch.Tensor, cams: torch.Tensor, present: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Equation 4 of a batch, before it is divided: [3, C].

    Each photo gives its mean CAM where its raw score is positive, and its mean where that is negative. The rows are the
    sums of both over the photos of the class that have pixels of either sign, and the number of these photos.
    """
    there = (inside[:, None] & present[:, :, None, None]).to(scores.dtype)
    positive, negative = (scores > 0) * there, (scores < 0) * there
    counts = torch.stack([positive.sum((2, 3)), negative.sum((2, 3))])
    means = torch.stack([(cams * positive).sum((2, 3)), (cams * negative).sum((2, 3))]) / counts.clamp_min(1)
    decided = (counts > 0).all(0).to(scores.dtype)
    return torch.cat([(means * decided).sum(1), decided.sum(0, keepdim=True)])


def signs(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Equation 5: −1 for a class whose CAM lies where its raw score is negative, else 1.

    positive, negative [C]: mean CAM where the raw score has that sign
    """
    return torch.where(negative > positive, -1.0, 1.0)


def average_in_superpixels(scores: torch.Tensor, superpixels: torch.Tensor, vote: Vote = "mean") -> torch.Tensor:
    """Every pixel gets the score of its superpixel; those outside of all keep their own.

    superpixels [B, h, w] int64, −1 for none → scores [B, C, h, w]
    """
    batch, classes = scores.shape[:2]
    numbers = int(superpixels.max()) + 2
    places = superpixels + 1 + numbers * torch.arange(batch, device=scores.device)[:, None, None]
    places = places.flatten()
    rows = scores.permute(0, 2, 3, 1).reshape(-1, classes)

    def add_up(values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(batch * numbers, classes).index_add_(0, places, values)

    if vote == "sign":
        prevailing = torch.where(add_up(rows.sign()) > 0, 1.0, -1.0)[places]
        chosen = (rows.sign() == prevailing).to(rows.dtype)
    else:
        chosen = torch.ones_like(rows)
    means = add_up(rows * chosen) / add_up(chosen).clamp_min(1)
    averaged = means[places].reshape(batch, *scores.shape[2:], classes).permute(0, 3, 1, 2)
    return torch.where(superpixels[:, None] >= 0, averaged, scores)


def one_class_each(scores: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """No pixel is foreground of two classes: where another of the photo's classes scores higher, at most 0 is left."""
    best = scores.masked_fill(~present[:, :, None, None], -torch.inf).argmax(1, keepdim=True)
    winner = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, value=True)
    return torch.where(winner, scores, scores.clamp_max(0))


def decided(refined: torch.Tensor, inside: torch.Tensor, band: float) -> torch.Tensor:
    """[B, C, h, w] bool: where a refined score is at least `band` of the photo's largest of that class, of either sign.

    The published program ignores the others (0.2), the paper none (0). With a band, scores of 0 are never decided.
    """
    sizes = refined.abs() * inside[:, None]
    enough = sizes >= band * sizes.amax((2, 3), keepdim=True)
    return enough & (sizes > 0) if band > 0 else enough


def top_down_losses(
    adapted: torch.Tensor, refined: torch.Tensor, present: torch.Tensor, inside: torch.Tensor, band: float = 0.0
) -> torch.Tensor:
    """Equations 6 and 7 of each photo [B]: the adapted scores are to have the signs of the refined ones."""
    foreground = (refined > 0).to(adapted.dtype)
    losses = F.binary_cross_entropy_with_logits(adapted, foreground, reduction="none")
    return _per_photo(losses * decided(refined, inside, band), present, inside)


def top_down_weight(epochs_done: float, warmup: float) -> float:
    """Rises exponentially, from next to nothing to 1 in `warmup` epochs."""
    if epochs_done >= warmup:
        return 1.0
    return math.exp(-WARMUP_STEEPNESS * (1 - epochs_done / warmup))


def _per_photo(losses: torch.Tensor, present: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """[B, C, h, w] → [B]: mean over the photo's pixels, sum over its classes."""
    pixels = inside.sum((1, 2)).clamp_min(1)
    return ((losses * inside[:, None]).sum((2, 3)) * present).sum(1) / pixels

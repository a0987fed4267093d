"""DCSM: distinct class-specific saliency maps, from gradients at intermediate layers.

Paper: "Distinct Class-specific Saliency Maps for Weakly Supervised Semantic Segmentation" (Shimoda and Yanai, ECCV
2016), section 3.3. Its baseline, gradients of the photo: "Deep Inside Convolutional Networks" (Simonyan et al. 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.errors import UsageError
from camkit.methods.guided import INPUT, Recording, at_rest, record
from camkit.methods.resize import resize_maps
from camkit.methods.response import network_input, scale_pyramid
from camkit.settings.dcsm import DcsmSettings
from camkit.types import Classifier, Size

LARGEST_GROUP = 4  # candidate classes that are back-propagated together
CHANNEL_GROUP = 16  # channels that are upsampled together
PROBE_SIZE = (64, 96)


@dataclass(frozen=True)
class Layer:
    """Channels, pixels of the photo per cell, and whether its gradients are the same at every position.

    They are where only a mean over positions and a linear layer follow: the maps of such a layer tell nothing.
    """

    channels: int
    stride: int
    blind: bool


@dataclass(frozen=True, eq=False)
class Competition:
    """Who competes in each image: `classes` [B, K] int64, those asked first (−1: none); their `scores` [B, K]."""

    classes: Tensor
    scores: Tensor

    def notes(self) -> list[dict[str, Any]]:
        """For the store: class and score of every candidate, best first; {} where no class was asked."""
        rows = zip(self.classes.tolist(), self.scores.tolist(), strict=True)
        candidates = (
            sorted(([c, round(score, 4)] for c, score in zip(*row, strict=True) if c >= 0), key=_rank) for row in rows
        )
        return [{"candidates": found} if found else {} for found in candidates]


def _rank(candidate: Sequence[float]) -> tuple[float, float]:
    return -candidate[1], candidate[0]


def dcsm(
    images: Tensor,
    classes: Tensor,
    size: Size,
    *,
    classifier: Classifier,
    saliency: DcsmSettings,
    scales: Sequence[float],
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Equation 5: maps [B, C, *size] in [0, tanh(alpha)], not divided by their maximum; and who competed.

    images [B, 3, H, W] in [0, 255], classes [B, C] (−1: none). The scale nearest to 1 says who competes in all.
    """
    total = images.new_zeros(*classes.shape, *size, dtype=torch.float32)
    competition: Competition | None = None
    for photos in scale_pyramid(images, sorted(scales, key=lambda scale: abs(log(scale)))):
        recording = _record(photos, classifier, saliency)
        competition = competition or compete(recording, classes, classifier, saliency)
        total += saliency_maps(recording, competition, classes.shape[1], size, classifier, saliency)
    assert competition is not None
    return total / len(scales), competition.notes()


def dcsm_response(images: Tensor, classes: Tensor, *, classifier: Classifier, saliency: DcsmSettings) -> Tensor:
    """DCSM of one scale as a response map, on the finest layer's grid: bind the others with `functools.partial`."""
    recording = _record(images, classifier, saliency)
    competition = compete(recording, classes, classifier, saliency)
    return saliency_maps(recording, competition, classes.shape[1], None, classifier, saliency)


def _record(photos: Tensor, classifier: Classifier, saliency: DcsmSettings) -> Recording:
    layers = find_layers(classifier, saliency.layers or ())
    return record(classifier, network_input(photos, classifier), layers, guided=saliency.guided)


def find_layers(classifier: Classifier, names: Sequence[str]) -> dict[str, nn.Module | None]:
    """Modules by name: `layer3`, a part of it as `layer3.1.conv2`, or `input`: None."""
    found: dict[str, nn.Module | None] = {}
    for name in names:
        first, _, part = name.partition(".")
        try:
            found[name] = None if name == INPUT else classifier.layers[first].get_submodule(part)
        except (KeyError, AttributeError):
            known = ", ".join([INPUT, *classifier.layers])
            raise UsageError(
                f"--layers {name}: the network has no such layer; it has {known}, and their parts"
            ) from None
    return found


def probe_layers(classifier: Classifier, names: Sequence[str], *, guided: bool) -> tuple[dict[str, Layer], int]:
    """What the layers are like, found with a small picture, and how many ReLUs above the lowest were guided."""
    layers, weight = find_layers(classifier, names), classifier.weight.detach()
    height, width = PROBE_SIZE
    probe = torch.linspace(-999, 999, 3 * height * width, device=weight.device).sin().reshape(1, 3, height, width)
    recording = record(classifier, probe, layers, guided=guided)
    gradients = recording.gradients(weight.abs().amax(0)[None, None])
    found = {
        name: Layer(gradient.shape[2], round(width / gradient.shape[4]), _is_constant(gradient))
        for name, gradient in zip(layers, gradients, strict=True)
    }
    return found, recording.guided


def _is_constant(gradient: Tensor) -> bool:
    spread = (gradient - gradient[..., :1, :1]).abs().max()
    return gradient[0, 0, 0].numel() > 1 and bool(spread <= 1e-6 * gradient.abs().max()) and bool(gradient.any())


def compete(recording: Recording, classes: Tensor, classifier: Classifier, saliency: DcsmSettings) -> Competition:
    """The classes asked, and where maps are subtracted those that the classifier takes to be there."""
    with torch.no_grad(), at_rest(classifier):
        scores = classifier.pool(recording.features.detach()).float().sigmoid()
    rivals = [
        rivals_of(row, asked, saliency) if saliency.candidates and max(asked) >= 0 else []
        for row, asked in zip(scores.tolist(), classes.tolist(), strict=True)
    ]
    most = max(map(len, rivals))
    padded = [[*row, *[-1] * (most - len(row))] for row in rivals]
    table = torch.cat([classes, classes.new_tensor(padded).view(len(rivals), most)], dim=1)
    return Competition(table, scores.gather(1, table.clamp_min(0)))


def rivals_of(scores: Sequence[float], asked: Sequence[int], saliency: DcsmSettings) -> list[int]:
    """Candidates beside the classes asked: those above the threshold, filled up to the least number by score."""
    ranked = sorted(range(len(scores)), key=lambda c: -scores[c])
    above = sum(score > saliency.candidate_threshold for score in scores)
    return [c for c in ranked[: max(above, saliency.candidates)] if c not in asked]


def saliency_maps(
    recording: Recording,
    competition: Competition,
    asked: int,
    size: Size | None,
    classifier: Classifier,
    saliency: DcsmSettings,
) -> Tensor:
    """The mean of tanh(alpha · M̃) over the layers, of the first `asked` candidates: [B, asked, h, w].

    size  of the maps; None: the finest layer's grid
    """
    present = competition.classes >= 0
    weights = classifier.weight.detach()[competition.classes.clamp_min(0)] * present.unsqueeze(-1)  # [B, K, D]
    total: Tensor | None = None
    raw = raw_maps(recording, weights, size, channels=saliency.upsample_channels)
    for maps in raw:
        distinct = subtract(maps, present, asked) if saliency.candidates else maps[:, :asked]
        squashed = squash(distinct, saliency.alpha, normalise=saliency.normalise)
        total = squashed if total is None else total.add_(squashed)
    assert total is not None
    return total / len(raw)


def raw_maps(recording: Recording, weights: Tensor, size: Size | None, *, channels: bool) -> list[Tensor]:
    """M: of each layer the largest |gradient| of any channel, [B, K, *size] float32; weights [B, K, D]."""
    groups = weights.transpose(0, 1).split(LARGEST_GROUP)
    found: list[list[Tensor]] = []
    for number, tops in enumerate(groups, start=1):
        gradients = recording.gradients(tops, again=number < len(groups))
        if size is None:
            size = max((gradient.shape[-2], gradient.shape[-1]) for gradient in gradients)
        found.append([_strongest(gradient, size, channels=channels) for gradient in gradients])
    return [torch.cat(parts).transpose(0, 1) for parts in zip(*found, strict=True)]


def _strongest(gradient: Tensor, size: Size, *, channels: bool) -> Tensor:
    """[K, B, D, h, w] → [K, B, *size]"""
    if not channels:
        return resize_maps(gradient.abs().amax(2).float(), size)
    parts = [
        resize_maps(part.flatten(0, 1).float(), size).abs().amax(1).unflatten(0, gradient.shape[:2])
        for part in gradient.split(CHANNEL_GROUP, dim=2)
    ]
    return torch.stack(parts).amax(0)


def subtract(maps: Tensor, present: Tensor, asked: int) -> Tensor:
    """Equation 4: M̃_c = Σ max(M_c − M_c', 0) over the other candidates, of the first `asked`.

    Where there is no other candidate there is nothing to subtract: M̃_c = M_c.
    maps [B, K, h, w], present [B, K] bool → [B, asked, h, w]
    """
    own = maps[:, :asked]
    total = torch.zeros_like(own)
    for column in range(maps.shape[1]):
        rival = maps[:, column : column + 1]
        total += F.relu(own - rival) * present[:, column, None, None, None]
    alone = present.sum(1) == 1
    return torch.where(alone[:, None, None, None], own, total)


def squash(maps: Tensor, alpha: float, *, normalise: bool) -> Tensor:
    """tanh(alpha · M̃ / max M̃), [B, C, h, w] in [0, 1]; without `normalise` as equation 5 has it: tanh(alpha · M̃)."""
    if normalise:
        maps = maps / maps.amax(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    return (alpha * maps).tanh()

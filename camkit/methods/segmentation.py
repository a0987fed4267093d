"""Segmentation networks: what they learn from, and how their scores at several scales become probabilities.

images    [B, 3, H, W] float RGB in [0, 255]
logits    [B, 1 + C, h, w], the background first
labels    [B, H, W] int64: 0 background, class + 1, IGNORED where nobody knows
saliency  [B, H, W] in [0, 1]: how much each pixel draws the eye; NaN where there is no saliency map, or no photo
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from camkit.methods.resize import resize_maps, resize_photos, scaled_size
from camkit.methods.response import normalised
from camkit.settings.segmentation import ALPHA, Fusion, Resizing
from camkit.types import Size

IGNORED = 255
SALIENT = 0.5
"""From here on a pixel is taken for an object where a map of saliency has to be a mask."""

Loss = Callable[..., Tensor]
"""(logits, and what is known of each position of their grid: labels, saliency) → a number."""


class Segmenter(Protocol):
    """All that is asked of a network here; see camkit.models.segmentation.network."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    corners: bool
    padded_grid: int
    coarse_labels: bool
    pyramid: tuple[float, ...]
    weights: tuple[float, ...]

    def logits(self, x: Tensor) -> Tensor: ...

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]: ...


def label_losses(logits: Tensor, labels: Tensor, *, balanced: bool = False) -> tuple[Tensor, Tensor]:
    """Sums of the cross entropies of pixels with a label, and how many these are; [2], [2] if they are told apart:
    background, and everything else; otherwise [1], [1].

    labels  may also be soft: [B, 1 + C, H, W], which sum to 1, or are all 0 where nobody knows
    """
    if labels.ndim == logits.ndim:
        losses, parts = F.cross_entropy(logits, labels, reduction="none"), [labels.sum(1) > 0]
    else:
        losses = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")
        known = labels != IGNORED
        parts = [labels == 0, known & (labels != 0)] if balanced else [known]
    return torch.stack([(losses * part).sum() for part in parts]), torch.stack([part.sum() for part in parts])


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the pixels that have a label; 0 where none has."""
    sums, counts = label_losses(logits, labels)
    return (sums / counts.clamp_min(1)).mean()


def balanced_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Half the mean over the background, half the mean over everything else; one that is not there gives nothing."""
    sums, counts = label_losses(logits, labels, balanced=True)
    return (sums / counts.clamp_min(1)).mean()


def hard_labels(labels: Tensor) -> Tensor:
    """Soft ones [B, 1 + C, H, W] → [B, H, W]: the most probable; hard ones as they are."""
    return labels if labels.ndim == 3 else torch.where(labels.sum(1) > 0, labels.argmax(1), IGNORED)


def with_hard_background(labels: Tensor, saliency: Tensor) -> Tensor:
    """The labels [B, H, W], but background wherever nothing is salient: what equation 4 is better than."""
    return torch.where(saliency < SALIENT, 0, labels)


def on_grid(plane: Tensor, size: Sequence[int]) -> Tensor:
    """[..., H, W] → [..., *size]: of the pixel in the middle of each position's share; Pillow's nearest."""
    rows, columns = (
        (2 * torch.arange(new, device=plane.device) + 1) * old // (2 * new)
        for new, old in zip(size, plane.shape[-2:], strict=True)
    )
    return plane[..., rows[:, None], columns]


def to_photo(logits: Tensor, size: Size, *, corners: bool = False, multiple: int = 1) -> Tensor:
    """[B, C, h, w] → [B, C, *size], bilinear; `corners` and `multiple` (its padded grid) are facts of the network."""
    if corners:
        return F.interpolate(logits, size, mode="bilinear", align_corners=True)
    return resize_maps(logits, size, multiple)


def outputs_to_train(network: Segmenter, x: Tensor, resizing: Resizing = "bilinear") -> tuple[Tensor, ...]:
    """Everything that learns from the labels of a batch, x [B, 3, H, W] normalised: see `multi_output_loss`.

    A network with a pyramid gives its logits at each scale, and the largest of them all.
    """
    outputs = network.outputs(x)
    if not network.pyramid:
        return outputs
    outputs = (*outputs, *(network.logits(scaled(x, scale, resizing)) for scale in network.pyramid))
    return (*outputs, largest(outputs))


def multi_output_loss(network: Segmenter, outputs: Sequence[Tensor], loss: Loss, *planes: Tensor) -> Tensor:
    """Weighted sum of each output's loss. Either what is known goes down to its grid or it goes up to theirs.

    planes  [B, H, W] labels, and what else the loss wants to know
    """
    weights = (*network.weights, *(1.0 for _ in outputs[len(network.weights) :]))
    size = (planes[0].shape[-2], planes[0].shape[-1])
    total = outputs[0].new_zeros(())
    for weight, output in zip(weights, outputs, strict=True):
        if network.coarse_labels:
            total = total + weight * loss(output, *(on_grid(plane, output.shape[-2:]) for plane in planes))
        else:
            fine = to_photo(output, size, corners=network.corners, multiple=network.padded_grid)
            total = total + weight * loss(fine, *planes)
    return total


def agreement(labels: Tensor, saliency: Tensor) -> Tensor:
    """τ of equation 4, [B] in [0, 1]: how well the labels' background is the saliency's.

    Mean intersection over union of the two classes, background and not, over pixels with a label and saliency. A class
    that neither has does not count; without any such pixel there is no agreement: 0.
    """
    known = (labels != IGNORED) & ~saliency.isnan()
    object_by = {"labels": (labels != 0) & known, "saliency": (saliency >= SALIENT) & known}
    scores, there = [], []
    for wanted in (True, False):
        first, second = ((mask == wanted) & known for mask in object_by.values())
        union = (first | second).sum((1, 2))
        scores.append((first & second).sum((1, 2)) / union.clamp_min(1))
        there.append(union > 0)
    return torch.stack(scores).sum(0) / torch.stack(there).sum(0).clamp_min(1)


def saliency_weights(agreements: Tensor, alpha: float = ALPHA) -> Tensor:
    """α (e^τ − 1) of equation 4: nothing where labels and saliency conflict."""
    return alpha * torch.expm1(agreements)


def saliency_losses(logits: Tensor, saliency: Tensor) -> Tensor:
    """BCE(p_background, 1 − saliency) of each photo, [B]: its mean over pixels with saliency, 0 without any.

    logits [B, 1 + C, H, W], of the saliency's grid
    """
    known = ~saliency.isnan()
    salient = torch.where(known, saliency, 0.0).to(logits.dtype)
    everything = logits.logsumexp(1)
    background, foreground = logits[:, 0] - everything, logits[:, 1:].logsumexp(1) - everything
    losses = -((1 - salient) * background + salient * foreground) * known
    return losses.sum((1, 2)) / known.sum((1, 2)).clamp_min(1)


def refinement_loss(
    logits: Tensor, labels: Tensor, saliency: Tensor | None, weights: Tensor | None = None, *, alpha: float = ALPHA
) -> Tensor:
    """InferCam's equation 4: L = CE + α (e^τ − 1) BCE(p_background, 1 − saliency), all of one grid.

    Photos without saliency learn from their labels alone.

    weights  [B] of the second term, instead of the adaptive ones
    """
    loss = cross_entropy(logits, labels)
    if saliency is None:
        return loss
    if weights is None:
        weights = saliency_weights(agreement(labels, saliency), alpha)
    return loss + (weights.to(logits.dtype) * saliency_losses(logits, saliency)).mean()


def scaled(images: Tensor, scale: float, resizing: Resizing = "pillow") -> Tensor:
    """[B, 3, H, W] at a scale of the pyramid. Pillow needs whole numbers in [0, 255], the others take any."""
    height, width = images.shape[-2:]
    if resizing == "pillow":
        return resize_photos(images, scaled_size((height, width), scale))
    if scale == 1:
        return images
    size = (max(1, int(height * scale)), max(1, int(width * scale)))
    if resizing == "factor" and min(height, width) * scale >= 1:
        return F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
    return F.interpolate(images, size, mode="bilinear", align_corners=resizing == "corners")


def logits_of_scales(
    images: Tensor, network: Segmenter, scales: Sequence[float] = (1.0,), *, flip: bool = False,
    resizing: Resizing = "pillow",
) -> Iterator[Tensor]:  # fmt: skip
    """The network's logits of the photos at each scale, and of their mirror images, mirrored back; one at a time."""
    for scale in scales:
        x = normalised(scaled(images, scale, resizing), network.mean, network.std)
        yield network.logits(x)
        if flip:
            yield network.logits(x.flip(-1)).flip(-1)


def largest(maps: Iterable[Tensor]) -> Tensor:
    """The largest values of maps of several grids, on the grid of the first: [B, C, h, w]."""
    maps = iter(maps)
    found = next(maps)
    for other in maps:
        found = torch.maximum(found, resize_maps(other, (found.shape[-2], found.shape[-1])))
    return found


def fuse(
    maps: Iterable[Tensor], size: Size, fusion: Fusion = "mean", *, corners: bool = False, multiple: int = 1
) -> Tensor:
    """Logits of several grids → [B, 1 + C, *size] in [0, 1], which sum to 1 unless they are the largest of several.

    corners, multiple  as in `to_photo`
    """
    if fusion == "max-logits":
        return to_photo(largest(maps), size, corners=corners, multiple=multiple).softmax(1)
    total, count = None, 0
    for logits in maps:
        probabilities = to_photo(logits, size, corners=corners, multiple=multiple).softmax(1)
        count += 1
        if total is None:
            total = probabilities
        elif fusion == "mean":
            total += probabilities
        else:
            total = torch.maximum(total, probabilities)
    if total is None:
        raise ValueError("the scale pyramid is empty")
    return total / count if fusion == "mean" else total


def segment(
    images: Tensor, network: Segmenter, size: Size, scales: Sequence[float] = (1.0,), *, flip: bool = False,
    fusion: Fusion = "mean", resizing: Resizing = "pillow",
) -> Tensor:  # fmt: skip
    """Probabilities [B, 1 + C, *size] of photos; they sum to 1."""
    maps = logits_of_scales(images, network, scales, flip=flip, resizing=resizing)
    found = fuse(maps, size, fusion, corners=network.corners, multiple=network.padded_grid)
    return found / found.sum(1, keepdim=True)

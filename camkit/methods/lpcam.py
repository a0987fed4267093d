"""LPCAM: class activation maps from prototypes of what a class looks like, and of what lies around it.

Paper: "Extracting Class Activation Maps from Non-Discriminative Features as well" (CVPR 2023), section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from camkit.methods.cam import class_maps
from camkit.methods.resize import resize_maps
from camkit.methods.response import network_input, normalise, scale_pyramid
from camkit.types import Classifier, Size


def foreground_cells(maps: Tensor, grid: Size, threshold: float, *, nearest: bool = False) -> Tensor:
    """Which cells of the features' grid are foreground (eq. 2); all others are context.

    maps [B, C, h, w] in [0, 1], each divided by its maximum (eq. 1) → [B, C, *grid] bool

    nearest  maps of another size are resized by nearest neighbour, as the published program does
    """
    if maps.shape[-2:] != tuple(grid):
        maps = F.interpolate(maps, grid, mode="nearest") if nearest else resize_maps(maps, grid)
    return maps >= threshold


def scores(centres: Tensor, weight: Tensor) -> Tensor:
    """How the classifier sees each centre: softmax over all classes of centre · w (eq. 3 and 4).

    The sum in the equations' denominator is printed over centres; it is over classes.

    centres [K, D], weight [num_classes, D] → [K, num_classes]
    """
    return (centres @ weight.T).softmax(dim=1)


def select_foreground(scores: Tensor, high: float, *, take_best: bool = False) -> Tensor:
    """z_i > μ_f: scores [K] of the class → [K] bool

    take_best  where none is above, the largest, as the published program does on COCO
    """
    kept = scores > high
    if take_best and len(scores) and not kept.any():
        kept[scores.argmax()] = True
    return kept


def select_context(scores: Tensor, high: float, low: float) -> Tensor:
    """z_i < μ_b; `low`: and above it, as the published program has it on VOC: scores [K] of the class → [K] bool"""
    return (scores < high) & ((scores > low) | (low == 0))


@dataclass(frozen=True, eq=False)
class Directions:
    """All prototypes of a class in one direction, for the mean of cosines is the cosine's product with a mean:

    mean_i sim(f, F_i) − mean_j sim(f, B_j) = f/|f| · (mean_i F_i/|F_i| − mean_j B_j/|B_j|)

    weight      [num_classes, D]: what stands in the last brackets
    falls_back  [num_classes] bool: classes without a foreground prototype, which have their CAM instead
    """

    weight: Tensor
    falls_back: Tensor


def fold(foreground: Mapping[int, Tensor], context: Mapping[int, Tensor], weight: Tensor) -> Directions:
    """The prototypes of each class, {class: [K, D]}, as directions on the device of the classifier's `weight`.

    Without context, {}, it is LPCAM-F of Table 1.
    """
    directions = torch.zeros_like(weight, dtype=torch.float32)
    falls_back = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
    for number, prototypes in foreground.items():
        if not len(prototypes):
            continue
        falls_back[number] = False
        direction = _mean_direction(prototypes)
        if len(context.get(number, ())):
            direction = direction - _mean_direction(context[number])
        directions[number] = direction
    return Directions(directions, falls_back)


def _mean_direction(prototypes: Tensor) -> Tensor:
    return F.normalize(prototypes.double(), dim=1).mean(0)


def similarity_maps(features: Tensor, directions: Tensor, classes: Tensor) -> Tensor:
    """A_n = ReLU(FG_n − BG_n) (eq. 5 and 6), not yet divided by its maximum.

    features [B, D, h, w], directions [num_classes, D], classes [B, C] (−1: none) → [B, C, h, w]
    """
    lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True, dtype=torch.float32)
    maps = class_maps(features, directions, classes)  # |f| is positive: it may be divided by after the ReLU
    return maps.float() / lengths.clamp_min(torch.finfo(torch.float32).tiny)


def lpcam(images: Tensor, classes: Tensor, *, classifier: Classifier, directions: Directions) -> Tensor:
    """LPCAM as a response map: bind the classifier and the directions with `functools.partial`."""
    features = classifier.features(network_input(images, classifier))
    return response_of(features, classes, classifier, directions)


def response_of(
    features: Tensor, classes: Tensor, classifier: Classifier, directions: Directions, *, mirrored: bool = False
) -> Tensor:
    """LPCAM of the classes that have prototypes, CAM of those that fall back.

    features [B, D, h, w], or of the images and then of their mirror images, [2B, D, h, w]; classes [B, C]
    """
    if mirrored:
        straight, turned = features.chunk(2)
        both = straight + turned.flip(-1)
    else:
        both = features
    maps = similarity_maps(both, directions.weight, classes)
    falls_back = directions.falls_back[classes.clamp_min(0)] & (classes >= 0)
    if not falls_back.any():
        return maps
    others = classes.where(falls_back, -1)
    if mirrored:
        straight, turned = class_maps(features, classifier.weight, torch.cat([others, others])).float().chunk(2)
        return maps + straight + turned.flip(-1)
    return maps + class_maps(features, classifier.weight, others).float()


def multi_scale_lpcam(
    images: Tensor,
    classes: Tensor,
    size: Size,
    *,
    classifier: Classifier,
    directions: Directions,
    scales: Sequence[float],
    flip: bool = True,
    multiple: int = 1,
) -> Tensor:
    """LPCAM summed over scales, each class divided by its maximum: → [B, C, *size] in [0, 1].

    Features of an image and of its mirror image are added before the similarity. A map with nothing left is 0.
    """
    total: Tensor | None = None
    for scaled in scale_pyramid(images, scales):
        seen = torch.cat([scaled, scaled.flip(-1)]) if flip else scaled
        features = classifier.features(network_input(seen, classifier))
        maps = resize_maps(response_of(features, classes, classifier, directions, mirrored=flip), size, multiple)
        total = maps if total is None else total.add_(maps)
    if total is None:
        raise ValueError("the scale pyramid is empty")
    return normalise(total)

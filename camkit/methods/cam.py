"""Class activation maps (Zhou et al., 2016): where the classifier sees a class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from camkit.methods.response import network_input, normalise, scale_pyramid, sum_responses
from camkit.types import Classifier, Size


def class_maps(features: torch.Tensor, weight: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """A_c = ReLU(w_c · f(I)), as below."""
    return class_scores(features, weight, classes).relu_()


def class_scores(features: torch.Tensor, weight: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """w_c · f(I): what speaks against a class is below 0.

    features [B, D, h, w], weight [num_classes, D], classes [B, C] (−1: none) → [B, C, h, w]
    """
    present = (classes >= 0).unsqueeze(-1)
    chosen = weight[classes.clamp_min(0)] * present  # [B, C, D]
    maps = torch.bmm(chosen.to(features.dtype), features.flatten(2))
    return maps.unflatten(-1, features.shape[-2:])


def cam(images: torch.Tensor, classes: torch.Tensor, classifier: Classifier) -> torch.Tensor:
    """CAM as a response map: bind the classifier with `functools.partial`."""
    features = classifier.features(network_input(images, classifier))
    return class_maps(features, classifier.weight, classes).float()


def signed_cam(images: torch.Tensor, classes: torch.Tensor, classifier: Classifier) -> torch.Tensor:
    """CAM without its ReLU, a scorer as those of camkit.methods.signed are (ICD's Table 2 and Figure 4)."""
    features = classifier.features(network_input(images, classifier))
    return class_scores(features, classifier.weight, classes).float()


def multi_scale_cam(
    images: torch.Tensor,
    classes: torch.Tensor,
    size: Size,
    *,
    classifier: Classifier,
    scales: Sequence[float],
    flip: bool = True,
    multiple: int = 1,
) -> torch.Tensor:
    """CAM summed over scales and mirror images, each class divided by its maximum: → [B, C, *size] in [0, 1]."""
    response = partial(cam, classifier=classifier)
    pyramid = scale_pyramid(images, scales)
    return normalise(sum_responses(response, pyramid, classes, size, flip=flip, multiple=multiple))

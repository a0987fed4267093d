"""Signed scores over scales and mirror images, and their positive part as a response map.

A scorer is to signed scores what a response map is to maps: ICD's scores of either branch, or CAM without its ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from camkit.methods.response import EPSILON, scale_pyramid, sum_responses
from camkit.types import Size

Scorer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""images [B, 3, H, W] in [0, 255], classes [B, C] (-1: none) → [B, C, h, w], above 0 where the class is."""


def multi_scale_scores(
    images: torch.Tensor,
    classes: torch.Tensor,
    size: Size,
    *,
    scorer: Scorer,
    scales: Sequence[float],
    flip: bool = False,
    raw: bool = False,
    multiple: int = 1,
) -> torch.Tensor:
    """Mean of the scores over scales and mirror images, upsampled: → [B, C, *size], in [−1, 1] unless `raw`."""
    total = sum_responses(scorer, scale_pyramid(images, scales), classes, size, flip=flip, multiple=multiple)
    mean = total / (len(scales) * (1 + flip))
    return mean if raw else balance(mean)


def balance(scores: torch.Tensor) -> torch.Tensor:
    """Every class divided by its largest score of either sign + 1e-5: [B, C, h, w] → in [−1, 1], signs as before."""
    return scores / (scores.abs().amax(dim=(-2, -1), keepdim=True) + EPSILON)


def positive_scores(images: torch.Tensor, classes: torch.Tensor, scorer: Scorer) -> torch.Tensor:
    """How much each position is foreground: a response map once the scorer is bound with `functools.partial`."""
    return scorer(images, classes).clamp_min(0)

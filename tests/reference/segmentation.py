"""Losses of segmentation networks and fusion of their scales, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np

IGNORED = 255


def probabilities(logits: np.ndarray) -> np.ndarray:
    """[C, ...] → the same, softmax over the first axis."""
    exponentials = np.exp(logits - logits.max(axis=0))
    return exponentials / exponentials.sum(axis=0)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """logits [B, C, H, W], labels [B, H, W]."""
    losses = [loss for loss, _ in _losses(logits, labels)]
    return sum(losses) / len(losses) if losses else 0.0


def balanced_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    background = [loss for loss, label in _losses(logits, labels) if label == 0]
    foreground = [loss for loss, label in _losses(logits, labels) if label != 0]
    return sum(0.5 * sum(part) / len(part) for part in (background, foreground) if part)


def _losses(logits: np.ndarray, labels: np.ndarray) -> list[tuple[float, int]]:
    found = []
    for photo, row, column in np.ndindex(*labels.shape):
        label = int(labels[photo, row, column])
        if label != IGNORED:
            found.append((-math.log(probabilities(logits[photo, :, row, column])[label]), label))
    return found


def agreement(labels: np.ndarray, saliency: np.ndarray) -> float:
    """τ of one photo: labels [H, W], saliency [H, W] with NaN where there is none."""
    both, either = {True: 0, False: 0}, {True: 0, False: 0}
    for row, column in np.ndindex(*labels.shape):
        if labels[row, column] == IGNORED or np.isnan(saliency[row, column]):
            continue
        labelled, salient = bool(labels[row, column] != 0), bool(saliency[row, column] >= 0.5)
        for wanted in (True, False):
            both[wanted] += labelled == wanted and salient == wanted
            either[wanted] += wanted in (labelled, salient)
    scores = [both[wanted] / either[wanted] for wanted in (True, False) if either[wanted]]
    return sum(scores) / len(scores) if scores else 0.0


def saliency_loss(logits: np.ndarray, saliency: np.ndarray) -> float:
    """Of one photo: logits [C, H, W], saliency [H, W]."""
    found = []
    for row, column in np.ndindex(*saliency.shape):
        salient = saliency[row, column]
        if not np.isnan(salient):
            background = probabilities(logits[:, row, column])[0]
            found.append(-(1 - salient) * math.log(background) - salient * math.log(1 - background))
    return sum(found) / len(found) if found else 0.0


def refinement_loss(logits: np.ndarray, labels: np.ndarray, saliency: np.ndarray, alpha: float) -> float:
    """Equation 4 of InferCam."""
    second = 0.0
    for photo in range(len(labels)):
        weight = alpha * (math.exp(agreement(labels[photo], saliency[photo])) - 1)
        second += weight * saliency_loss(logits[photo], saliency[photo])
    return cross_entropy(logits, labels) + second / len(labels)


def fuse(maps: list[np.ndarray], fusion: str) -> np.ndarray:
    """Logits [C, H, W] of one size → [C, H, W]."""
    if fusion == "max-logits":
        return probabilities(np.max(maps, axis=0))
    found = [probabilities(logits) for logits in maps]
    return np.mean(found, axis=0) if fusion == "mean" else np.max(found, axis=0)

"""Seeds from signed scores (ICD, sections 4.5 and 5.6), and their positive part where maps are wanted. NumPy only."""

from __future__ import annotations

import numpy as np

from camkit.defaults import SALIENT_FROM
from camkit.methods.seeds import mask_labels


def seeds_of_scores(
    scores: np.ndarray,
    classes: np.ndarray,
    num_classes: int,
    cams: np.ndarray | None = None,
    saliency: np.ndarray | None = None,
) -> np.ndarray:
    """A pixel is foreground where a score is above 0, background where all are below (of one class: where not above).

    Of several classes that claim a pixel the one with the largest product of CAM and score gets it, or without CAMs the
    one with the largest score: scores as they are given, which camkit icd-apply balances per class. Saliency decides in
    place of the scores what is background. What is neither or both, or claimed where the CAMs of all that claim it are
    0, is undecided.

    scores [C_i, H, W] signed, classes [C_i], cams [C_i, H, W] in [0, 1], saliency [H, W] in [0, 1]
    → [H, W]: 0, class + 1, or undecided; without classes all background
    """
    labels = mask_labels(classes, num_classes)
    if len(classes) == 0:
        return np.zeros(scores.shape[1:], labels.dtype)
    claims = scores > 0
    foreground = claims.any(axis=0)
    background = (scores < 0).all(axis=0) if len(classes) > 1 else ~foreground
    if saliency is not None:
        background = saliency < SALIENT_FROM
    weights = np.where(claims, scores if cams is None else scores * cams, -1.0)
    winner, undecided = weights.argmax(axis=0), np.iinfo(labels.dtype).max
    seeds = np.where(foreground, labels[1:][winner], labels[0])
    nobodys = (claims.sum(axis=0) > 1) & (weights.max(axis=0) <= 0)
    seeds[(foreground == background) | nobodys] = undecided
    return seeds


def jointly_normalised(cams: np.ndarray) -> np.ndarray:
    """Signed CAMs [C, H, W]: what is above 0, divided by the largest of all classes together → in [0, 1]."""
    positive = np.maximum(cams, 0)
    largest = positive.max(initial=0)
    return positive / largest if largest > 0 else positive


def positive_part(scores: np.ndarray) -> np.ndarray:
    """Signed scores as maps: what is above 0, of a class that exceeds 1 divided by its largest score.

    [C, H, W] → in [0, 1]
    """
    positive = np.maximum(scores, 0)
    return positive / np.maximum(positive.max(axis=(1, 2), keepdims=True), 1.0)

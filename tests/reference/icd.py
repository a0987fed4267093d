"""ICD, pixel by pixel as the paper's equations read: slow, and independent of camkit."""

from __future__ import annotations

import numpy as np


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def raw_scores(features: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Equations 2 and 3: features [B, D, h, w], directions [C, D] → [B, C, h, w]."""
    photos, _, height, width = features.shape
    scores = np.zeros((photos, len(directions), height, width))
    for c, direction in enumerate(directions):
        unit = direction / np.sqrt((direction**2).sum())
        for i, y, x in np.ndindex(photos, height, width):
            scores[i, c, y, x] = unit @ features[i, :, y, x]
    return scores


def bottom_up_term(score: float, form: str) -> float:
    """Under the sums of equations 1, 8 and 10, with its sign."""
    if form == "square":
        return -(score**2)
    if form == "absolute":
        return -abs(score)
    label = 1.0 if score > 0 else 0.0
    return -(label * np.log(sigmoid(score)) + (1 - label) * np.log(1 - sigmoid(score)))


def weight_of_feature(score: float, form: str) -> float:
    """Equation 12; of the square the derivative has a factor 2 that the paper leaves out."""
    if form == "square":
        return 2 * abs(score)
    if form == "absolute":
        return 1.0
    return abs(sigmoid(score) - (1.0 if score > 0 else 0.0))


def bottom_up_losses(scores: np.ndarray, present: np.ndarray, inside: np.ndarray, form: str) -> np.ndarray:
    """[B]: mean over the pixels inside, sum over present classes."""
    losses = np.zeros(len(scores))
    for i in range(len(scores)):
        for c in np.flatnonzero(present[i]):
            terms = [bottom_up_term(scores[i, c, y, x], form) for y, x in np.argwhere(inside[i])]
            losses[i] += np.mean(terms)
    return losses


def gradient(features: np.ndarray, scores: np.ndarray, present: np.ndarray, form: str) -> np.ndarray:
    """Equation 11 of the sum over photos of the mean over pixels: [C, D]."""
    photos, dimensions, height, width = features.shape
    found = np.zeros((scores.shape[1], dimensions))
    for i, y, x in np.ndindex(photos, height, width):
        for c in np.flatnonzero(present[i]):
            score = scores[i, c, y, x]
            found[c] -= np.sign(score) * weight_of_feature(score, form) * features[i, :, y, x] / (height * width)
    return found


def cam_means(
    scores: np.ndarray, cams: np.ndarray, present: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Equation 4: [C] mean CAM over positive and negative pixels, NaN for a class without photos that have both."""
    classes = scores.shape[1]
    means = np.full((2, classes), np.nan)
    for c in range(classes):
        both = []
        for i in np.flatnonzero(present[:, c]):
            positive = cams[i, c][(scores[i, c] > 0) & inside[i]]
            negative = cams[i, c][(scores[i, c] < 0) & inside[i]]
            if len(positive) and len(negative):
                both.append((positive.mean(), negative.mean()))
        if both:
            means[:, c] = np.mean(both, axis=0)
    return means[0], means[1]


def average(scores: np.ndarray, superpixels: np.ndarray, vote: str) -> np.ndarray:
    """scores [C, h, w], superpixels [h, w], negative for none."""
    result = scores.astype(np.float64).copy()
    for number in np.unique(superpixels[superpixels >= 0]):
        there = superpixels == number
        for c in range(len(scores)):
            values = scores[c][there].astype(np.float64)
            if vote == "sign":
                kept = values[values > 0] if np.sign(values).sum() > 0 else values[values < 0]
                result[c][there] = kept.mean() if len(kept) else 0.0
            else:
                result[c][there] = values.mean()
    return result


def one_class_each(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """scores [C, h, w]; classes: the indices present."""
    result = np.minimum(scores, 0)
    for y, x in np.ndindex(scores.shape[1:]):
        winner = classes[np.argmax(scores[classes, y, x])]
        result[winner, y, x] = scores[winner, y, x]
    return result


def top_down_losses(
    adapted: np.ndarray, refined: np.ndarray, present: np.ndarray, inside: np.ndarray, band: float
) -> np.ndarray:
    """Equations 6 and 7: [B]; pixels in the band add nothing, but count among the photo's."""
    losses = np.zeros(len(adapted))
    for i in range(len(adapted)):
        for c in np.flatnonzero(present[i]):
            largest = np.abs(refined[i, c][inside[i]]).max()
            terms = []
            for y, x in np.argwhere(inside[i]):
                score, label = sigmoid(adapted[i, c, y, x]), refined[i, c, y, x] > 0
                ignored = abs(refined[i, c, y, x]) < band * largest
                terms.append(0.0 if ignored else -np.log(score if label else 1 - score))
            losses[i] += np.mean(terms)
    return losses

"""LPCAM as the paper has it, slowly: one prototype, one pixel at a time, each similarity by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.reference.cam import class_map, resize_map, resize_photo

Features = Callable[[np.ndarray], np.ndarray]
"""[h, w, 3] uint8 → [D, h', w']"""


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.sqrt(sum(v * v for v in a)) * np.sqrt(sum(v * v for v in b))
    return float(sum(u * v for u, v in zip(a, b, strict=True)) / lengths) if lengths else 0.0


def similarity_map(features: np.ndarray, foreground: np.ndarray, context: np.ndarray) -> np.ndarray:
    """ReLU(FG − BG): features [D, h, w], prototypes [K, D] → [h, w]."""
    features = features.astype(np.float64)
    result = np.zeros(features.shape[1:])
    for y in range(result.shape[0]):
        for x in range(result.shape[1]):
            local = features[:, y, x]
            value = sum(cosine(local, prototype) for prototype in foreground) / len(foreground)
            if len(context):
                value -= sum(cosine(local, prototype) for prototype in context) / len(context)
            result[y, x] = max(value, 0)
    return result


def multi_scale_lpcam(
    image: np.ndarray, classes: Sequence[int], features: Features, weight: np.ndarray,
    foreground: Mapping[int, np.ndarray], context: Mapping[int, np.ndarray], scales: Sequence[float],
    size: tuple[int, int], *, flip: bool = True, multiple: int = 1,
) -> np.ndarray:  # fmt: skip
    """image [H, W, 3] uint8, prototypes {class: [K, D]} → [C, *size]; of classes without prototypes CAM."""
    padded = tuple(-(-side // multiple) * multiple for side in size)
    total = np.zeros((len(classes), *size))
    for scale in scales:
        scaled = resize_photo(image, (max(round(image.shape[0] * scale), 1), max(round(image.shape[1] * scale), 1)))
        straight = features(scaled)
        turned = features(np.ascontiguousarray(scaled[:, ::-1]))[:, :, ::-1]
        for row, c in enumerate(classes):
            if len(foreground.get(c, ())):
                seen = straight + turned if flip else straight
                values = similarity_map(seen, foreground[c], context.get(c, np.empty((0, len(seen)))))
            else:
                values = class_map(straight, weight[c]) + (class_map(turned, weight[c]) if flip else 0)
            total[row] += resize_map(values, padded)[: size[0], : size[1]]
    for row in range(len(classes)):
        total[row] /= total[row].max() + 1e-5
    return total


def scores(centres: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Softmax of each centre's products with the classes' weights: [K, D], [num_classes, D] → [K, num_classes]."""
    result = np.zeros((len(centres), len(weight)))
    for k, centre in enumerate(centres.astype(np.float64)):
        products = [float((centre * one).sum()) for one in weight.astype(np.float64)]
        powers = [np.exp(product - max(products)) for product in products]
        for c, power in enumerate(powers):
            result[k, c] = power / sum(powers)
    return result

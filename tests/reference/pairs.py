"""What networks of affinities learn, as their programs have it, slowly: pixel by pixel, pair by pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from tests.reference.walk import pairs

UNDECIDED = -1
Cell = tuple[int, int]
Kind = str | None
"""background, foreground, different; None: of an undecided cell."""


def kind_of(here: int, there: int) -> Kind:
    if UNDECIDED in (here, there):
        return None
    if here != there:
        return "different"
    return "background" if here == 0 else "foreground"


def kinds(labels: np.ndarray, radius: int) -> dict[tuple[Cell, Cell], Kind]:
    """Of labels [h, w], for every pair of cells nearer than the radius."""
    return {(a, b): kind_of(int(labels[a]), int(labels[b])) for a, b in pairs(labels.shape, radius)}


def losses(
    labels: np.ndarray, radius: int, affinity: Callable[[int, Cell, Cell], float]
) -> tuple[dict[str, float], Counter[str]]:
    """The published loss of labels [B, h, w] and `affinity(photo, a, b)`, by kind of pair: the sum is what is learned.

    Its means are over all pairs of the batch. Also how many pairs there are of each kind.
    """
    sums, counts = dict.fromkeys(("background", "foreground", "different"), 0.0), Counter[str]()
    for photo, plane in enumerate(labels):
        for (a, b), kind in kinds(plane, radius).items():
            if kind is None:
                continue
            found = affinity(photo, a, b)
            sums[kind] += float(-np.log(1.0 + 1e-5 - found) if kind == "different" else -np.log(found + 1e-5))
            counts[kind] += 1
    shares = {"background": 1 / 4, "foreground": 1 / 4, "different": 1 / 2}
    return {kind: share * sums[kind] / (counts[kind] + 1e-5) for kind, share in shares.items()}, counts


def majorities(labels: np.ndarray, stride: int) -> np.ndarray:
    """[H, W] → [⌈H / stride⌉, ⌈W / stride⌉]: what more than half of a cell's stride² pixels are, else undecided."""
    height, width = (-(-side // stride) for side in labels.shape)
    found = np.full((height, width), UNDECIDED)
    for y in range(height):
        for x in range(width):
            cell = labels[y * stride : (y + 1) * stride, x * stride : (x + 1) * stride]
            label, count = Counter(cell.ravel().tolist()).most_common(1)[0]
            if 2 * count > stride * stride:
                found[y, x] = label
    return found


def sure_of_affinitynet(low_alpha: np.ndarray, high_alpha: np.ndarray) -> np.ndarray:
    """What two CRFs say [H, W] → labels: of the first, its background undecided, and over it that of the second."""
    sure = low_alpha.copy()
    for y, x in np.ndindex(sure.shape):
        if low_alpha[y, x] == 0:
            sure[y, x] = UNDECIDED
        if high_alpha[y, x] == 0:
            sure[y, x] = 0
    return sure


def sure_of_irn(foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The same of IRN's program: background is where both say so; a class that the first is sure of stays."""
    sure = foreground.copy()
    for y, x in np.ndindex(sure.shape):
        if foreground[y, x] == 0:
            sure[y, x] = 0 if background[y, x] == 0 else UNDECIDED
    return sure

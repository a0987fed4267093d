"""The confusion matrix of masks against the ground truth, over a whole data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camkit.blocks import row_blocks
from camkit.errors import InputError

GROUP_NAMES = ("0", "1", "2", "3+")
"""Images are also counted apart by how many foreground classes their ground truth holds (InferCam, Table 3)."""


@dataclass(frozen=True, eq=False, slots=True)
class Confusion:
    """What was counted over a data set.

    counts   [4, K + 1, K + 2] int64: images with 0, 1, 2, 3 or more classes; true class; predicted class,
             the last being undecided
    images   [4] int64: how many images of each group
    ignored  pixels the ground truth leaves out
    """

    counts: np.ndarray
    images: np.ndarray
    ignored: int

    @property
    def matrix(self) -> np.ndarray:
        """[K + 1, K + 1] int64 over the decided pixels, rows true, columns predicted."""
        return self.counts.sum(axis=0)[:, :-1]

    @property
    def undecided(self) -> np.ndarray:
        """[K + 1] int64: pixels of each true class for which the prediction says nothing."""
        return self.counts.sum(axis=0)[:, -1]

    @property
    def ignored_share(self) -> float:
        """Share of all pixels that the ground truth leaves out."""
        return self.ignored / max(self.ignored + int(self.counts.sum()), 1)

    @property
    def undecided_share(self) -> float:
        """Share of the pixels with a ground truth for which the prediction says nothing."""
        return int(self.undecided.sum()) / max(int(self.counts.sum()), 1)


class ConfusionAccumulator:
    """Counts masks against the ground truth, image by image.

    Where a prediction is undecided (255, or 65535 in uint16) the pixel is outside the seeds' non-empty region:
    IoU, precision, FP and FN do not see it, recall counts it as a miss, and its share is reported (ICD, Table 2).
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._counts = np.zeros((len(GROUP_NAMES), num_classes + 1, num_classes + 2), dtype=np.int64)
        self._images = np.zeros(len(GROUP_NAMES), dtype=np.int64)
        self._ignored = 0

    def update(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Add one image: prediction and truth [H, W] integers, 0 background, class + 1, 255 undecided or ignored."""
        check_same_size(prediction.shape, truth.shape, "the prediction")
        table = np.zeros((self.num_classes + 3, self.num_classes + 3), dtype=np.int64)
        for rows in row_blocks(truth.shape):
            table += self._count(prediction[rows], truth[rows])
        known = table[: self.num_classes + 1, : self.num_classes + 2]
        group = group_of(known.sum(axis=1))
        self._counts[group] += known
        self._images[group] += 1
        self._ignored += int(table[self.num_classes + 1].sum())

    def merge(self, other: ConfusionAccumulator) -> None:
        """Take over what another worker counted."""
        if other.num_classes != self.num_classes:
            raise InputError(f"counts over {other.num_classes} classes cannot join those over {self.num_classes}")
        self._counts += other._counts
        self._images += other._images
        self._ignored += other._ignored

    def compute(self) -> Confusion:
        """What was counted so far."""
        return Confusion(self._counts.copy(), self._images.copy(), self._ignored)

    def _count(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Pixels per (true label, predicted label)."""
        labels = self.num_classes + 3
        codes = label_codes(truth, self.num_classes, step=labels, name="the ground truth")
        codes += label_codes(prediction, self.num_classes, step=1, name="the prediction")
        return np.bincount(codes.ravel(), minlength=labels * labels).reshape(labels, labels)


def label_codes(mask: np.ndarray, num_classes: int, *, step: int, name: str) -> np.ndarray:
    """The mask's labels as intp [H, W], times `step`: 0 … K stay, 255 (or 65535) becomes K + 1, others are an error."""
    if mask.dtype not in (np.uint8, np.uint16):
        mask = _as_uint16(mask, name)
    codes = np.take(_code_table(num_classes, mask.dtype) * step, mask)
    if codes.size and codes.max() == (num_classes + 2) * step:
        value = mask.flat[int(codes.argmax())]
        allowed = f"0 background, 1 … {num_classes}, 255 left out"
        raise InputError(f"{name} holds the value {value}, but there are {num_classes} classes ({allowed})")
    return codes


def group_of(true_pixels: np.ndarray) -> int:
    """Index into GROUP_NAMES for an image with `true_pixels` [K + 1] of each class, background first."""
    return min(int(np.count_nonzero(true_pixels[1:])), len(GROUP_NAMES) - 1)


def check_same_size(shape: tuple[int, ...], truth: tuple[int, ...], name: str) -> None:
    """Raise when `shape` (H, W) is not that of the ground truth."""
    if len(truth) != 2:
        raise InputError(f"the ground truth must be [H, W], not of shape {list(truth)}")
    if shape != truth:
        found = " x ".join(map(str, shape))
        raise InputError(f"size mismatch: {name} is {found} pixels (H x W), the ground truth {truth[0]} x {truth[1]}")


def _code_table(num_classes: int, dtype: np.dtype) -> np.ndarray:
    """Label → 0 … K, K + 1 for 255 and 65535, K + 2 for values that mean nothing."""
    table = np.full(np.iinfo(dtype).max + 1, num_classes + 2, dtype=np.intp)
    classes = min(num_classes + 1, len(table))
    table[:classes] = np.arange(classes)
    table[-1] = num_classes + 1
    if num_classes < 255:
        table[255] = num_classes + 1
    return table


def _as_uint16(mask: np.ndarray, name: str) -> np.ndarray:
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise InputError(f"{name} must hold integers, not {mask.dtype}")
    if mask.size and (mask.min() < 0 or mask.max() > 65535):
        raise InputError(f"{name} holds values outside 0 … 65535")
    return mask.astype(np.uint16)

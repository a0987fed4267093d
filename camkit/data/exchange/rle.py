"""COCO's run lengths: of a binary mask read column by column, the lengths of its runs of 0, 1, 0, 1 …

As text they are numbers of 5 bits a character, from 48 up, the lowest first; 32 says that more follow, 16 in the last
that the number is negative. From the fourth on, each is the difference to the one before the last.
"""

from __future__ import annotations

import numpy as np

from camkit.types import Size

_MOST_DIGITS = 7  # of 5 bits each: more than any count of pixels needs


def encode(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool → counts [n] int64."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], [0] if flat[:1].any() else [], changes, [flat.size]]).astype(np.int64)
    return np.diff(starts)


def decode(counts: np.ndarray, size: Size) -> np.ndarray:
    """counts [n] int64 → [H, W] bool; ValueError unless they are the runs of a mask of this size."""
    height, width = size
    if (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(f"its run lengths are not those of {height} x {width} pixels")
    values = np.zeros(len(counts), bool)
    values[1::2] = True
    return np.repeat(values, counts).reshape(width, height).T


def to_text(counts: np.ndarray) -> str:
    """counts [n] int64 → the compressed form."""
    rest = counts.astype(np.int64)
    rest[3:] -= counts[1:-2]
    digits = np.zeros((len(rest), _MOST_DIGITS), np.uint8)
    used = np.zeros(digits.shape, bool)
    open_ = np.ones(len(rest), bool)
    for place in range(_MOST_DIGITS):
        digit = rest & 31
        rest = rest >> 5
        used[:, place] = open_
        open_ = open_ & (rest != np.where(digit & 16, -1, 0))
        digits[:, place] = digit + 48 + 32 * open_
    return digits[used].tobytes().decode("ascii")


def from_text(text: str) -> np.ndarray:
    """The compressed form → counts [n] int64; ValueError for what is none."""
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        raise ValueError("its run lengths hold other characters than those of COCO") from None
    last = codes & 32 == 0
    if codes.size and (codes.min() < 0 or codes.max() > 63 or not last[-1]):
        raise ValueError("its run lengths are cut off, or hold other characters than those of COCO")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[: len(ends)]
    lengths = ends - starts + 1
    if (lengths > _MOST_DIGITS).any():
        raise ValueError("its run lengths hold a number beyond all images")
    places = np.arange(codes.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * places), starts) if codes.size else np.zeros(0, np.int64)
    negative = codes[ends] & 16 != 0
    numbers = numbers - np.where(negative, np.int64(1) << (5 * lengths), 0)
    return _undo_differences(numbers)


def _undo_differences(numbers: np.ndarray) -> np.ndarray:
    counts = numbers.copy()
    counts[1::2] = np.cumsum(numbers[1::2])
    counts[2::2] = np.cumsum(numbers[2::2])
    return counts

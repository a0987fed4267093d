"""Label Studio's brush: run lengths in bits, of a mask's RGBA bytes.

32 bits: how many bytes; 5: bits of a word, less 1; four times 4: how many bits a length may take, less 1. Then blocks:
1 bit: a run of one word, or words that differ; 2: which of the four sizes; the length, less 1; the word, or the words.
"""

from __future__ import annotations

import numpy as np

WORD_BITS = 8
SIZES = (3, 4, 8, 16)
CHANNELS = 4


def brush_lengths(mask: np.ndarray) -> list[int]:
    """[H, W] bool → bytes as whole numbers; what is painted is 255 in all channels."""
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    bits = [_bits(flat.size * CHANNELS, 32), _bits(WORD_BITS - 1, 5), *(_bits(size - 1, 4) for size in SIZES)]
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        word = _bits(255 if flat[start] else 0, WORD_BITS)
        left = (end - start) * CHANNELS
        while left:
            length = min(left, 1 << SIZES[-1])
            size = next(place for place, most in enumerate(SIZES) if length <= 1 << most)
            bits += ["1", _bits(size, 2), _bits(length - 1, SIZES[size]), word]
            left -= length
    text = "".join(bits)
    padded = text + "0" * (-len(text) % 8)
    return np.packbits(np.frombuffer(padded.encode(), np.uint8) - ord("0")).tolist()


def _bits(number: int, count: int) -> str:
    return f"{number:0{count}b}"

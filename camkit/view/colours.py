"""Colours that colour-blind readers tell apart too: of heat, of signed scores, and of classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

INK, MUTED, PAPER, OUTLINE = "#222222", "#6b6b6b", "#ffffff", "#141414"

# Viridis at nine even steps: lightness rises with the value.
_HEAT = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
_SIGNED = ("#0a4a94", "#2f7fc4", "#9cc9e8", "#ffffff", "#fbc98a", "#ee8113", "#b34700")
# Okabe and Ito's colours; further classes take them lighter, then darker, in an order that parts the shades of one.
_CLASSES = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_LIGHTER, _DARKER = 0.4, 0.25


@cache
def heat_table() -> np.ndarray:
    """[256, 3] uint8: the colours of 0 … 1."""
    return _table(_HEAT)


@cache
def signed_table() -> np.ndarray:
    """[256, 3] uint8: the colours of −1 … 1; white lies at 0."""
    return _table(_SIGNED)


def class_colour(index: int) -> tuple[int, int, int]:
    """Of a foreground class; the same index has the same colour everywhere, and every 21st class."""
    shade, base = divmod(index % (3 * len(_CLASSES)), len(_CLASSES))
    colour = _rgb(_CLASSES[(base + 3 * shade) % len(_CLASSES)])
    if shade == 1:
        colour = colour + (255 - colour) * _LIGHTER
    elif shade == 2:
        colour = colour * (1 - _DARKER)
    red, green, blue = (round(float(part)) for part in colour)
    return red, green, blue


def _table(anchors: Sequence[str]) -> np.ndarray:
    colours = np.stack([_rgb(anchor) for anchor in anchors])
    at = np.linspace(0, 1, len(anchors))
    channels = [np.interp(np.linspace(0, 1, 256), at, colours[:, channel]) for channel in range(3)]
    table = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    table.flags.writeable = False
    return table


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], dtype=np.float64)

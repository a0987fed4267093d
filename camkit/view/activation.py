"""One activation over its photo, for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from camkit.errors import UsageError
from camkit.types import Activation
from camkit.upsample import upsample
from camkit.view import overlay

LONGEST, GREY = 640, 128


def activation_overlay(activation: Activation, photo: Any = None, names: Sequence[str] | None = None) -> Image.Image:
    """Maps as heat, several by colour; probabilities by the most probable class; masks in their colours."""
    values, classes = activation.values, [int(index) for index in activation.classes]
    if values.ndim not in (2, 3):
        raise UsageError("scores of classes are not drawn over a photo")
    seen = _seen(photo, activation.size)
    if values.ndim == 2:
        count = int(values[values < np.iinfo(values.dtype).max].max(initial=0))
        return overlay.mask_tile(seen, overlay.nearest(values, _size(seen)), names or [*map(str, range(count))])
    known = names or [str(index) for index in range(max(classes, default=-1) + 1)]
    large = upsample(values, _size(seen))
    if len(values) > len(classes):  # background first
        labels = np.concatenate([[0], activation.classes + 1])
        mask = labels.astype(np.uint16)[large.argmax(axis=0)]
        return overlay.mask_tile(seen, mask, known)
    if not classes:
        return overlay.empty_tile(seen, "no map")
    if len(classes) > 1:
        return overlay.classes_tile(seen, np.clip(large, 0, 1), classes, known)
    draw = overlay.signed_tile if large.min() < 0 or large.max() > 1 else overlay.heat_tile
    return draw(seen, large[0], known[classes[0]])


def _seen(photo: Any, size: tuple[int, int]) -> np.ndarray:
    """[h, w, 3] uint8, twice as large as what is drawn."""
    height, width = (max(2, round(side * overlay.OVERSAMPLING * LONGEST / max(size))) for side in size)
    if photo is None:
        return np.full((height, width, 3), GREY, np.uint8)
    if isinstance(photo, str | Path):
        with Image.open(photo) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    else:
        picture = (Image.fromarray(photo) if isinstance(photo, np.ndarray) else photo).convert("RGB")
    return np.array(picture.resize((width, height), Image.Resampling.BICUBIC))


def _size(photo: np.ndarray) -> tuple[int, int]:
    return photo.shape[0], photo.shape[1]

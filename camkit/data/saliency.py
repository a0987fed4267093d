"""Saliency maps as grey pictures: how much each pixel draws the eye, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from camkit.data.images import read_image
from camkit.data.lists import IMAGE_SUFFIXES, files_by_id
from camkit.data.reading import is_folder
from camkit.errors import InputError


def find_saliency(folder: Path) -> Mapping[str, Path]:
    """id → picture, for a folder of saliency maps."""
    if not is_folder(folder):
        raise InputError(f"there is no folder of saliency maps at {folder}")
    maps = files_by_id(folder, IMAGE_SUFFIXES)
    if not maps:
        raise InputError(f"no saliency maps in {folder}: looked for files ending in {' '.join(IMAGE_SUFFIXES)}")
    return maps


def read_saliency(path: Path) -> np.ndarray:
    """[h, w] float32 in [0, 1], white is 1; of any size."""
    image, _ = read_image(path)
    return image.mean(axis=2, dtype=np.float32) / 255

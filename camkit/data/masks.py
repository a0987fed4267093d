"""Masks as PNG: 0 background, class + 1, 255 undecided (65535 in 16 bits)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from camkit.data.images import MAX_PIXELS, decoding, open_image, unpacking
from camkit.data.lists import files_by_id
from camkit.data.reading import is_folder
from camkit.data.voc import find_voc
from camkit.data.writing import write_whole
from camkit.errors import ImageError, InputError

_COMPRESSION = 6
_BYTES_PER_PIXEL = {"1": 10, "L": 10, "P": 10, "I": 18, "I;16": 14}
"""While a mask is read and looked at, from its own pixels to what is counted."""
_MOST_BYTES_PER_PIXEL = 24


@functools.cache
def voc_palette() -> np.ndarray:
    """[256, 3] uint8, the colours of PASCAL VOC: bits 0, 3, 6 of the index are the top bits of red, and so on."""
    index = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= ((index >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    palette.flags.writeable = False
    return palette


def read_mask(path: Path) -> np.ndarray:
    """[H, W] uint8 or uint16 indices, from a palette, grey or 1-bit PNG, or from an RGB one in VOC's colours."""
    with open_image(path, ("PNG",), MAX_PIXELS) as image:
        decoding(path, lambda: _load(image))
        if image.mode in ("P", "L"):
            return np.array(image)
        if image.mode == "1":
            return np.array(image, dtype=np.uint8)
        if image.mode == "I" or image.mode.startswith("I;16"):
            return np.array(image).astype(np.uint16)
        if image.mode in ("RGB", "RGBA"):
            return _indices_of_colours(np.asarray(image)[:, :, :3], path)
        raise ImageError(f"cannot read mask {path}: a PNG of mode {image.mode} holds no class indices")


def _load(image: Image.Image) -> None:
    with unpacking(image, _BYTES_PER_PIXEL.get(image.mode, _MOST_BYTES_PER_PIXEL)):
        image.load()


def write_mask(path_or_file: Path | IO[bytes], mask: np.ndarray) -> None:
    """[H, W] uint8 as a PNG with VOC's palette, uint16 as a grey one. A file appears whole or not at all."""
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a mask is [H, W] uint8 or uint16, not {mask.shape} {mask.dtype}")
    if not isinstance(path_or_file, Path):
        _encode(path_or_file, mask)
        return
    write_whole(path_or_file, lambda file: _encode(file, mask), "the mask ")


def find_masks(folder: Path) -> Mapping[str, Path]:
    """id -> PNG, for a folder of masks or a VOC root."""
    if not is_folder(folder):
        raise InputError(f"there is no folder of masks at {folder}")
    voc = find_voc(folder)
    if voc and not voc.masks:
        raise InputError(f"{voc.root} has no masks: neither SegmentationClass nor SegmentationClassAug")
    root = voc.masks if voc and voc.masks else folder
    masks = files_by_id(root, (".png",))
    if not masks:
        raise InputError(f"no masks in {root}: looked for .png files")
    return masks


def _encode(file: IO[bytes], mask: np.ndarray) -> None:
    image = Image.fromarray(mask)
    if mask.dtype == np.uint8:
        image.putpalette(voc_palette().tobytes())
    image.save(file, "PNG", compress_level=_COMPRESSION)


@functools.cache
def _index_parts() -> np.ndarray:
    """[3, 256] uint8: the bits of the index that a red, green, blue value stands for."""
    value = np.arange(256)
    parts = np.zeros((3, 256), np.uint8)
    for bit in range(8):
        parts[bit % 3] |= ((value >> (7 - bit // 3) & 1) << bit).astype(np.uint8)
    return parts


def _indices_of_colours(colours: np.ndarray, path: Path) -> np.ndarray:
    """[H, W, 3] uint8 -> [H, W] uint8, `voc_palette` backwards."""
    red, green, blue = (part[colours[..., channel]] for channel, part in enumerate(_index_parts()))
    indices: np.ndarray = red | green | blue
    strange = (voc_palette()[indices] != colours).any(axis=-1)
    if strange.any():
        y, x = np.unravel_index(int(strange.argmax()), strange.shape)
        colour = ", ".join(str(value) for value in colours[y, x])
        raise ImageError(
            f"cannot read mask {path}: colour ({colour}) at row {y}, column {x} is none of VOC's palette\n"
            "masks are palette or grey PNGs of class indices, or RGB in VOC's colours"
        )
    return indices

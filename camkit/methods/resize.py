"""Resizing as the published programs do it: photos by Pillow's bicubic filter, maps bilinearly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from camkit.types import Size

PRECISION = 22  # bits behind the point in Pillow's weights


def scaled_size(size: Size, scale: float) -> Size:
    """The size of an image at a scale of the pyramid, at least one pixel: (round(H·s), round(W·s))."""
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def resize_photos(images: torch.Tensor, size: Size) -> torch.Tensor:
    """Pillow's bicubic filter, to the last grey level.

    Of a few shapes Pillow filters columns before rows; on a GPU rows always come first, which changes a level at most.

    images [B, 3, H, W] float, whole numbers in [0, 255] → [B, 3, *size] of the same
    """
    if images.shape[-2:] == tuple(size):
        return images
    return (_by_pillow if images.device.type == "cpu" else by_weights)(images, size)


def _by_pillow(images: torch.Tensor, size: Size) -> torch.Tensor:
    """Pillow itself, the fastest there is on a CPU."""
    bicubic = Image.Resampling.BICUBIC
    resized = [
        np.asarray(Image.fromarray(photo).resize((size[1], size[0]), bicubic))
        for photo in images.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    ]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).to(images.dtype)


def by_weights(images: torch.Tensor, size: Size) -> torch.Tensor:
    """The same where the images are, in the fixed-point arithmetic of Pillow, rows first."""
    height, width = images.shape[-2:]
    levels = images.to(torch.int32)
    if width != size[1]:
        levels = _filtered(levels, -1, width, size[1])
    if height != size[0]:
        levels = _filtered(levels, -2, height, size[0])
    return levels.to(images.dtype)


def resize_maps(maps: torch.Tensor, size: Size, multiple: int = 1) -> torch.Tensor:
    """Bilinear without aligned corners: [B, C, h, w] → [B, C, *size].

    multiple  the grid is stretched over the next multiple of this many pixels and cut at `size`, as programs
              do whose network pads the image to whole cells of its stride
    """
    padded = [-(-side // multiple) * multiple for side in size]
    maps = F.interpolate(maps, padded, mode="bilinear", align_corners=False)
    return maps[..., : size[0], : size[1]]


def _filtered(levels: torch.Tensor, axis: int, before: int, after: int) -> torch.Tensor:
    """One pass over int32 levels along an axis."""
    starts, weights = _taps(before, after)
    shape = [-1, 1] if axis == -2 else [-1]
    total = torch.full((), 1 << (PRECISION - 1), dtype=torch.int32, device=levels.device)
    for tap in range(weights.shape[1]):
        at = torch.from_numpy(np.minimum(starts + tap, before - 1)).to(levels.device)
        weight = torch.from_numpy(weights[:, tap].copy()).to(levels.device).view(shape)
        total = total + levels.index_select(axis, at) * weight
    return (total >> PRECISION).clamp_(0, 255)


@lru_cache(maxsize=64)
def _taps(before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel after: the first pixel before that counts [after], and the weights from there on [after, taps]."""
    step = before / after
    stretch = max(step, 1.0)
    reach = 2.0 * stretch
    centres = (np.arange(after) + 0.5) * step
    starts = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    ends = np.minimum((centres + reach + 0.5).astype(np.int64), before)
    at = starts[:, None] + np.arange(int((ends - starts).max()))
    weights = np.where(at < ends[:, None], _cubic((at - centres[:, None] + 0.5) / stretch), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    fixed = np.trunc(weights * (1 << PRECISION) + np.copysign(0.5, weights))
    return starts, fixed.astype(np.int32)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = −1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))

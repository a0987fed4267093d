"""Resizing as the published programs do it: photos by Pillow's bicubic filter, maps bilinearly."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from camkit.types import Size


def scaled_size(size: Size, scale: float) -> Size:
    """The size of an image at a scale of the pyramid, at least one pixel: (round(H·s), round(W·s))."""
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def resize_photos(images: torch.Tensor, size: Size) -> torch.Tensor:
    """Bicubic with antialiasing, in Pillow's order: columns first, whole grey levels after each pass.

    images [B, 3, H, W] float in [0, 255] → [B, 3, *size] of whole numbers in [0, 255]
    """
    height, width = images.shape[-2:]
    if (height, width) == tuple(size):
        return images
    if width != size[1]:
        images = _whole_levels(_bicubic(images, (height, size[1])))
    if height != size[0]:
        images = _whole_levels(_bicubic(images, size))
    return images


def resize_maps(maps: torch.Tensor, size: Size, multiple: int = 1) -> torch.Tensor:
    """Bilinear without aligned corners: [B, C, h, w] → [B, C, *size].

    multiple  the grid is stretched over the next multiple of this many pixels and cut at `size`, as programs
              do whose network pads the image to whole cells of its stride
    """
    padded = [-(-side // multiple) * multiple for side in size]
    maps = F.interpolate(maps, padded, mode="bilinear", align_corners=False)
    return maps[..., : size[0], : size[1]]


def _bicubic(images: torch.Tensor, size: Size) -> torch.Tensor:
    return F.interpolate(images, size, mode="bicubic", align_corners=False, antialias=True)


def _whole_levels(images: torch.Tensor) -> torch.Tensor:
    return (images + 0.5).floor_().clamp_(0, 255)

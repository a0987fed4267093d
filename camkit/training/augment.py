"""How a photo is varied: one geometry is drawn, and whatever belongs to the photo is warped by it alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from camkit.defaults import LARGEST_SIDE
from camkit.settings.recipe import Augmentation
from camkit.types import Size


@dataclass(frozen=True)
class Geometry:
    """A photo of `source` pixels becomes `scaled` ones; its pixel (top, left) then comes to lie at (0, 0) of `size`."""

    source: Size
    scaled: Size
    size: Size
    top: int
    left: int
    mirrored: bool

    def warp(self, values: np.ndarray, *, fill: int | tuple[int, int, int], nearest: bool = False) -> np.ndarray:
        """[*source] or [*source, 3] uint8 → [*size] or [*size, 3], `fill` where it has nothing."""
        picture = Image.fromarray(values)
        top, bottom = max(0, self.top), min(self.scaled[0], self.top + self.size[0])
        left, right = max(0, self.left), min(self.scaled[1], self.left + self.size[1])
        down, across = self.source[0] / self.scaled[0], self.source[1] / self.scaled[1]
        resampling = Image.Resampling.NEAREST if nearest else Image.Resampling.BICUBIC
        part = picture.resize(
            (right - left, bottom - top), resampling, box=(left * across, top * down, right * across, bottom * down)
        )
        if part.size != (self.size[1], self.size[0]):
            canvas = Image.new(picture.mode, (self.size[1], self.size[0]), fill)
            canvas.paste(part, (left - self.left, top - self.top))
            part = canvas
        if self.mirrored:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(part)


def draw_geometry(source: Size, augmentation: Augmentation, rng: np.random.Generator) -> Geometry:
    scaled = _scaled(source, augmentation, rng)
    size = scaled if augmentation.crop is None else (augmentation.crop, augmentation.crop)
    top, left = (_offset(have, want, rng) for have, want in zip(scaled, size, strict=True))
    mirrored = augmentation.flip and rng.random() < 0.5
    return Geometry(source, scaled, size, top, left, mirrored)


def _scaled(source: Size, augmentation: Augmentation, rng: np.random.Generator) -> Size:
    longer = max(source)
    if augmentation.long_side is not None:
        low, high = augmentation.long_side
        factor = int(rng.integers(low, high + 1)) / longer
    else:
        base = augmentation.resize or min(longer, LARGEST_SIDE)
        factor = rng.uniform(*augmentation.scale_range) * base / longer
    return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))


def _offset(have: int, want: int, rng: np.random.Generator) -> int:
    """Anywhere inside where there is more than wanted; where there is less, anywhere inside what is wanted."""
    return int(rng.integers(0, have - want + 1)) if have >= want else -int(rng.integers(0, want - have + 1))


def jitter_colours(photo: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """[h, w, 3] uint8 with random brightness, contrast, saturation (× 1 ± strength) and hue (± strength / 3 turns)."""
    if strength == 0:
        return photo
    picture = Image.fromarray(photo)
    factors = rng.uniform(max(0.0, 1 - strength), 1 + strength, 3)
    turn = rng.uniform(-strength / 3, strength / 3)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for which in rng.permutation(4):
        picture = _turned(picture, turn) if which == 3 else enhancers[which](picture).enhance(float(factors[which]))
    return np.asarray(picture)


def _turned(picture: Image.Image, turn: float) -> Image.Image:
    hue, saturation, value = picture.convert("HSV").split()
    shifted = (np.asarray(hue).astype(np.int16) + round(255 * turn)).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(shifted), saturation, value)).convert("RGB")

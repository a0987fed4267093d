"""Masks, parts and saliency, from the same outlines as the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from camkit.data.toy.layout import Layout
from camkit.data.toy.noise import fractal_noise
from camkit.data.toy.paint import SUPERSAMPLE
from camkit.data.toy.shapes import BODY, HEAD, LIMB
from camkit.types import Size

Bounds = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, all included."""

IGNORED = 255
_PER_OBJECT = 4
_MOST_OF_A_PIXEL = 0.9
_IN_SIGHT, _HEAD_IN_SIGHT, _HEAD_HIDDEN = 0.45, 0.55, 0.08
_SMALLEST = 0.012


@dataclass(frozen=True, eq=False)
class Sight:
    """What is seen of each object: shares [objects, 4, H, W] of pixels by part (index 0 unused), in [0, 1]."""

    shares: np.ndarray
    props: np.ndarray


def see(layout: Layout) -> Sight:
    """Draws codes of object and part, nearer ones over farther ones, supersampled."""
    height, width = layout.size
    sheet = Image.new("L", (width * SUPERSAMPLE, height * SUPERSAMPLE))
    draw = ImageDraw.Draw(sheet)
    prop = len(layout.areas) * _PER_OBJECT + _PER_OBJECT
    for placed in layout.placed:
        for piece in placed.figure.pieces:
            code = placed.number * _PER_OBJECT + piece.part if placed.number else prop
            draw.polygon((piece.outline * SUPERSAMPLE - 0.5).ravel().tolist(), fill=code)
    shares = np.zeros((len(layout.areas), _PER_OBJECT, height, width), np.float32)
    for number in range(len(layout.areas)):
        for part in (HEAD, BODY, LIMB):
            shares[number, part] = _share_of(sheet, (number + 1) * _PER_OBJECT + part)
    return Sight(shares, _share_of(sheet, prop))


def _share_of(sheet: Image.Image, code: int) -> np.ndarray:
    only = sheet.point([255 if value == code else 0 for value in range(256)])
    return np.asarray(only.reduce(SUPERSAMPLE), np.float32) / 255


def acceptable(layout: Layout, sight: Sight) -> bool:
    """Enough is seen of every object, and of its head unless that is meant to be hidden."""
    seen = sight.shares.sum(axis=(2, 3))
    whole = layout.areas
    pixels = layout.size[0] * layout.size[1]
    for n, hidden in enumerate(layout.hidden):
        if seen[n].sum() < max(_IN_SIGHT * whole[n].sum(), _SMALLEST * pixels):
            return False
        head = seen[n, HEAD] / whole[n, 0]
        if head > _HEAD_HIDDEN if hidden else head < _HEAD_IN_SIGHT:
            return False
    return True


def masks_of(layout: Layout, sight: Sight) -> tuple[np.ndarray, np.ndarray]:
    """[H, W] uint8 twice: 0 background, class + 1; 0 background, part. Both 255 in a seam of 1 or 2 pixels."""
    by_object = sight.shares.sum(axis=1)
    layers = np.concatenate([1 - by_object.sum(axis=0, keepdims=True), by_object])
    number = layers.argmax(axis=0).astype(np.uint8)
    classes = np.zeros(len(layers), np.uint8)
    for placed in layout.placed:
        if placed.number:
            classes[placed.number] = placed.class_index + 1
    mask = classes[number]
    parts = sight.shares[:, HEAD:].sum(axis=0).argmax(axis=0).astype(np.uint8) + 1
    parts[number == 0] = 0
    around = np.asarray(Image.fromarray(number).filter(ImageFilter.MaxFilter(3)))
    seam = (around != number) | (layers.max(axis=0) < _MOST_OF_A_PIXEL)
    mask[seam] = parts[seam] = IGNORED
    return mask, parts


def boxes_of(sight: Sight) -> list[Bounds]:
    """Of each object, what is seen."""
    boxes = []
    for seen in sight.shares.sum(axis=1) > 0.5:
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        boxes.append((int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])))
    return boxes


def saliency_of(rng: np.random.Generator, sight: Sight, size: Size) -> np.ndarray:
    """[H, W] uint8 as a saliency network would see it: soft, uneven, limbs fainter, props faint."""
    strength = np.array([0, 1, 1, 0.8], np.float32)[None, :, None, None] * rng.uniform(
        0.75, 1, (len(sight.shares), 1, 1, 1)
    )
    bright = (sight.shares * strength).sum(axis=(0, 1)) + sight.props * rng.uniform(0.05, 0.3)
    uneven = 1 + 0.1 * fractal_noise(rng, size, (size[0] * 0.15, size[1] * 0.15), 2)
    haze = 0.04 * np.abs(fractal_noise(rng, size, (size[0] * 0.3, size[1] * 0.3), 2))
    sheet = Image.fromarray(np.clip(255 * (bright * uneven + haze), 0, 255).astype(np.uint8))
    return np.asarray(sheet.filter(ImageFilter.GaussianBlur(0.018 * min(size))))

"""A scene: its picture, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
from PIL import Image, ImageFilter

from camkit.data.toy.backdrop import paint_backdrop
from camkit.data.toy.layout import Layout, choose_cast, lay_out
from camkit.data.toy.noise import fractal_noise
from camkit.data.toy.paint import cast_shadow, mirror_in_water, paint_figure
from camkit.data.toy.truth import Bounds, acceptable, boxes_of, masks_of, saliency_of, see


@dataclass(frozen=True, eq=False)
class ToyScene:
    """image [H, W, 3] uint8 RGB; mask, parts and saliency [H, W] uint8; classes: those in the mask, ascending.

    mask      0 background, class + 1, 255 in a seam around each object
    parts     0 background, 1 head, 2 body, 3 limb, 255 where the mask is
    saliency  0 to 255: how much a pixel draws the eye
    boxes     class and (left, top, right, bottom), all included, of what is seen of each object
    """

    image: np.ndarray
    mask: np.ndarray
    parts: np.ndarray
    saliency: np.ndarray
    classes: tuple[int, ...]
    boxes: tuple[tuple[int, Bounds], ...]


def draw_scene(seed: int, index: int) -> ToyScene:
    """The scene `index` of the world `seed`; it depends on nothing else."""
    cast = choose_cast(seed, index)
    for attempt in count():
        rng = np.random.default_rng([seed, index, 2, attempt])
        layout = lay_out(rng, cast)
        sight = see(layout)
        if acceptable(layout, sight):
            break
    mask, parts = masks_of(layout, sight)
    saliency = saliency_of(rng, sight, layout.size)
    return ToyScene(
        image=_photograph(rng, layout),
        mask=mask,
        parts=parts,
        saliency=saliency,
        classes=tuple(sorted(set(cast.classes))),
        boxes=tuple(zip(cast.classes, boxes_of(sight), strict=True)),
    )


def _photograph(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    canvas, ripples = paint_backdrop(layout.setting, layout.size)
    light = layout.setting.light
    darkness = rng.uniform(0.3, 0.55)
    first = next(n for n, placed in enumerate(layout.placed) if placed.number)
    for n, placed in enumerate(layout.placed):
        if n == first:
            canvas = _out_of_focus(canvas, float(rng.uniform(0.3, 1.3)))
        if not placed.floats:
            cast_shadow(canvas, placed, light, darkness)
        paint_figure(canvas, placed, light)
        if placed.floats:
            mirror_in_water(canvas, placed, ripples, layout.setting.shore)
    return _develop(rng, canvas, layout)


def _out_of_focus(canvas: np.ndarray, radius: float) -> np.ndarray:
    sheet = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    return np.asarray(sheet.filter(ImageFilter.GaussianBlur(radius)), np.float32)


def _develop(rng: np.random.Generator, canvas: np.ndarray, layout: Layout) -> np.ndarray:
    """Light and colour of the hour, a vignette, a slightly soft lens, noise of the sensor."""
    height, width = layout.size
    warmth = layout.setting.scheme.warmth + rng.normal(0, 0.03)
    tint = rng.uniform(0.95, 1.18) * np.array([1 + warmth, 1, 1 - warmth])
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    vignette = 1 - rng.uniform(0.04, 0.16) * (x**2 + y**2)
    dapple = 1 + 0.05 * fractal_noise(rng, layout.size, (height * 0.5, width * 0.5), 2)
    canvas = canvas * (tint.astype(np.float32) * (vignette * dapple).astype(np.float32)[..., None])
    canvas = 128 + np.float32(rng.uniform(0.92, 1.12)) * (canvas - 128)
    soft = _out_of_focus(canvas, float(rng.uniform(0.2, 0.6)))
    noise = rng.standard_normal((height, width, 3), dtype=np.float32) * np.float32(rng.uniform(1, 4))
    return np.clip(soft + noise, 0, 255).astype(np.uint8)

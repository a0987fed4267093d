"""Things that are background: rocks, balls, boxes, trees to look at, bushes and posts to hide behind."""

from __future__ import annotations

import numpy as np

from camkit.data.toy.shapes import (
    NO_PART,
    Coat,
    Colour,
    Figure,
    Piece,
    blob,
    box,
    corners,
    ellipse,
    hsv,
    mix,
    smooth,
    stroke,
)

_BARK: Colour = (92, 72, 56)


def rock(rng: np.random.Generator) -> Figure:
    grey = hsv(rng.uniform(0.05, 0.6), rng.uniform(0, 0.12), rng.uniform(0.4, 0.7))
    shapes = [blob(rng, 0, 0, 0.5, 0.32)]
    if rng.random() < 0.5:
        shapes.append(blob(rng, rng.choice([-0.45, 0.45]), 0.14, 0.25, 0.18))
    return Figure(
        tuple(Piece(shape, NO_PART, None, 1, 1.2) for shape in shapes),
        Coat(grey, mix(grey, (40, 40, 40), 0.3), "leaves", 0.12),
    )


def ball(rng: np.random.Generator) -> Figure:
    hue, second = rng.random(), hsv(rng.random(), rng.uniform(0, 0.7), 0.95)
    stripe = smooth([(-0.49, -0.05), (0, 0.1), (0.49, -0.05), (0.47, 0.17), (0, 0.32), (-0.47, 0.17)])
    return Figure(
        (
            Piece(ellipse(0, 0, 0.5, 0.5), NO_PART, hsv(hue, 0.75, 0.85), 1, 1.2),
            Piece(stripe, NO_PART, second, 0.95, 0),
            Piece(ellipse(-0.12, -0.24, 0.1, 0.07), NO_PART, (255, 250, 245), 1, 0),
        ),
        Coat(second, second),
    )


def crate(rng: np.random.Generator) -> Figure:
    wood = hsv(rng.uniform(0.06, 0.11), rng.uniform(0.3, 0.6), rng.uniform(0.5, 0.8))
    slats = [Piece(box(-0.5, y, 0.5, y + 0.02), NO_PART, wood, 0.65, 0) for y in (-0.17, 0.15)]
    return Figure(
        (
            Piece(corners((-0.5, -0.5), (-0.34, -0.62), (0.66, -0.62), (0.5, -0.5)), NO_PART, wood, 1.2, 0),
            Piece(corners((0.5, -0.5), (0.66, -0.62), (0.66, 0.38), (0.5, 0.5)), NO_PART, wood, 0.7, 0),
            Piece(box(-0.5, -0.5, 0.5, 0.5), NO_PART, wood, 1, 0.3),
            *slats,
            Piece(box(-0.5, -0.5, -0.42, 0.5), NO_PART, wood, 0.85, 0),
            Piece(box(0.42, -0.5, 0.5, 0.5), NO_PART, wood, 0.85, 0),
        ),
        Coat(wood, wood),
    )


def tree(rng: np.random.Generator) -> Figure:
    """About 2 high."""
    coat = _leaves(rng)
    trunk = Piece(stroke([(0, -0.8), (0.02, -0.3), (0, 0.1)], [0.1, 0.13, 0.18]), NO_PART, _BARK, rng.uniform(0.8, 1.2))
    if rng.random() < 0.4:
        tiers = [
            Piece(corners((0, y - 0.75), (wide, y), (0, y + 0.07), (-wide, y)), NO_PART, None, 0.8, 0.8)
            for y, wide in ((-0.25, 0.5), (-0.6, 0.42), (-0.95, 0.32))
        ]
        return Figure((trunk, *tiers), coat)
    crowns = [
        Piece(
            blob(rng, rng.uniform(-0.3, 0.3), -1.1 + rng.uniform(-0.3, 0.25), 0.48, 0.42, 0.22),
            NO_PART,
            None,
            shade,
            1.1,
        )
        for shade in (0.75, 0.9, 1.05)
    ]
    return Figure((trunk, *crowns), coat)


def bush(rng: np.random.Generator, width: float = 1.0, height: float = 0.7) -> Figure:
    lumps = [
        Piece(
            blob(rng, width * rng.uniform(-0.28, 0.28), height * rng.uniform(-0.75, -0.3), width / 4, height / 4, 0.25),
            NO_PART, None, shade, 1,
        )
        for shade in (0.85, 1.0, 1.15)
    ]  # fmt: skip
    whole = Piece(blob(rng, 0, -0.5 * height, 0.5 * width, 0.5 * height, 0.2), NO_PART, None, 0.8, 1)
    return Figure((whole, *lumps), _leaves(rng))


def post(rng: np.random.Generator, width: float = 0.12, height: float = 2.0) -> Figure:
    """A trunk or pier post that stands on 0 and reaches up to `height`."""
    grey = mix(_BARK, hsv(rng.random(), 0.15, 0.6), rng.uniform(0, 0.7))
    sway = width * rng.uniform(-0.08, 0.08)
    shape = corners(
        (sway - width / 2, -height), (sway + width / 2, -height), (width * 0.52, -0.3 * width), (width * 0.58, 0),
        (-width * 0.58, 0), (-width * 0.52, -0.3 * width),
    )  # fmt: skip
    return Figure(
        (Piece(shape, NO_PART, None, 1, 1.4),), Coat(grey, mix(grey, (30, 26, 24), 0.25), "leaves", width * 0.08)
    )


def tuft(rng: np.random.Generator) -> Figure:
    """High grass or reeds, about 1 wide."""
    coat = _leaves(rng)
    blades = []
    for x in np.linspace(-0.45, 0.45, 13) + rng.uniform(-0.04, 0.04, 13):
        lean, height = rng.uniform(-0.15, 0.15), rng.uniform(0.4, 0.75)
        path = [(x + lean, -height), (x + lean * 0.3, -height / 2), (x, 0.02)]
        blades.append(Piece(stroke(path, [0.01, 0.05, 0.06]), NO_PART, coat.base, rng.uniform(0.65, 1.25), 0.3))
    return Figure(tuple(blades), coat)


def wave(water: Colour) -> Figure:
    """The water before a hull of length 1."""
    crest = smooth([(-0.56, 0.02), (-0.3, -0.012), (0, 0.004), (0.3, -0.012), (0.58, 0.02), (0.3, 0.05), (-0.3, 0.05)])
    foam = stroke(
        [(-0.52, 0.012), (-0.3, -0.008), (0, 0.008), (0.3, -0.008), (0.54, 0.012)], [0.006, 0.016, 0.012, 0.018, 0.006]
    )
    pieces = (
        Piece(crest, NO_PART, mix(water, (20, 40, 60), 0.1), 1, 0),
        Piece(foam, NO_PART, mix(water, (250, 252, 252), 0.7), 1, 0),
    )
    return Figure(pieces, Coat(water, water))


def _leaves(rng: np.random.Generator) -> Coat:
    base = hsv(rng.uniform(0.2, 0.36), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.6))
    if rng.random() < 0.15:
        base = hsv(rng.uniform(0.04, 0.13), rng.uniform(0.5, 0.7), rng.uniform(0.5, 0.7))
    return Coat(base, mix(base, (16, 26, 16), 0.5), "leaves", 0.1, int(rng.integers(1 << 30)))

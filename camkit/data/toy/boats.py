"""Sloop and dhow share hull, mast and mainsail, and differ by the sail before the mast."""

from __future__ import annotations

import numpy as np

from camkit.data.toy.shapes import (
    BODY,
    HEAD,
    LIMB,
    Coat,
    Colour,
    Figure,
    Piece,
    box,
    corners,
    curve,
    ellipse,
    hsv,
    mix,
    smooth,
    stroke,
)

_WOOD: Colour = (112, 78, 50)
_CANVAS: Colour = (240, 234, 218)


def boat(rng: np.random.Generator, name: str) -> Figure:
    coat = _paint(rng)
    length, height = rng.uniform(0.92, 1.1), rng.uniform(0.95, 1.15)
    hull = smooth(
        [(-0.5, -0.02), (0, 0.0), (0.4, -0.03), (0.66, -0.1), (0.46, 0.12), (0.3, 0.17), (-0.36, 0.17), (-0.47, 0.12)],
        4,
    ) * (length, 1)
    cabin = smooth([(-0.3, 0.0), (-0.28, -0.1), (-0.05, -0.1), (0.02, 0.0)], 4)
    mast = box(0.045, -height - 0.04, 0.08, 0.02)
    boom = stroke([(0.06, -0.12), (-0.2, -0.1), (-0.5 * length, -0.1)], [0.03, 0.03, 0.025])
    rudder = corners((-0.53 * length, 0.0), (-0.46 * length, 0.0), (-0.45 * length, 0.17), (-0.56 * length, 0.17))
    flag = corners((0.05, -height - 0.04), (-0.12, -height - 0.0), (0.05, -height + 0.03))
    return Figure(
        (
            Piece(rudder, LIMB, _WOOD, 0.9, 0.4),
            *_mainsail(rng, length, height),
            Piece(mast, LIMB, _WOOD, 1.1, 0.4),
            Piece(boom, LIMB, _WOOD, 1, 0.4),
            Piece(flag, LIMB, hsv(rng.random(), 0.8, 0.85), 1, 0),
            *(_sloop if name == "sloop" else _dhow)(length, height),
            Piece(cabin, BODY, mix(coat.second, _CANVAS, 0.4), 1, 0.7),
            Piece(hull, BODY, None, 1, 1),
        ),
        coat,
    )


def _paint(rng: np.random.Generator) -> Coat:
    wooden = rng.random() < 0.4
    base = (
        mix(_WOOD, (176, 128, 80), rng.random())
        if wooden
        else hsv(rng.random(), rng.uniform(0, 0.8), rng.uniform(0.3, 0.95))
    )
    second = hsv(rng.random(), rng.uniform(0, 0.8), rng.uniform(0.3, 0.95))
    pattern = str(rng.choice(["plain", "planks", "halves"]))
    return Coat(base, second, pattern, float(rng.uniform(0.05, 0.07)), int(rng.integers(1 << 30)), 0.02)


def _mainsail(rng: np.random.Generator, length: float, height: float) -> list[Piece]:
    colour = mix(_CANVAS, hsv(rng.random(), 0.7, 0.8), 0.0 if rng.random() < 0.4 else rng.uniform(0.2, 0.8))
    leech = curve([(0.04, -height), (-0.3 * length, -0.6 * height), (-0.48 * length, -0.13)], 8)
    seams = []
    for share in (0.35, 0.65):
        y = -height + (height - 0.13) * share
        x = float(np.interp(y, [p[1] for p in leech], [p[0] for p in leech]))
        seams.append(Piece(stroke([(0.03, y + 0.03), (x / 2, y + 0.015), (x, y)], [0.012] * 3), BODY, colour, 0.78, 0))
    return [Piece(corners(*leech, (0.04, -0.13)), BODY, colour, 1, 0.8), *seams]


def _sloop(length: float, height: float) -> list[Piece]:
    """A straight jib from the masthead to the bow, with two bands."""
    bow, head = (0.46 * length, -0.1), (0.085, -0.6 * height)
    clew = (0.13, -0.13)
    jib = corners(head, *curve([head, (0.35 * length, -0.31 * height), bow], 6)[1:], clew)
    bands = []
    for low, high in ((0.45, 0.6), (0.72, 0.87)):
        left = [(head[0] + (clew[0] - head[0]) * s, head[1] + (clew[1] - head[1]) * s) for s in (low, high)]
        right = [(head[0] + (bow[0] - head[0]) * s, head[1] + (bow[1] - head[1]) * s) for s in (low, high)]
        bands.append(Piece(corners(left[0], right[0], right[1], left[1]), HEAD, (206, 52, 52), 1, 0))
    return [Piece(jib, HEAD, (246, 244, 240), 1, 0.7), *bands]


def _dhow(length: float, height: float) -> list[Piece]:
    """A lateen sail below a slanting yard, with a crescent."""
    low, high = (0.45 * length, -0.13), (0.13, -0.66 * height)
    sail = corners(
        high,
        low,
        *curve([low, (0.28, -0.13), (0.13, -0.24)], 5)[1:],
        *curve([(0.13, -0.24), (0.2, -0.45 * height), high], 6)[1:-1],
    )
    yard = [(0.49 * length, -0.09), (0.29 * length, -0.395 * height), (0.1, -0.73 * height)]
    x, y = 0.25 * length, -0.28 * height
    return [
        Piece(sail, HEAD, (214, 160, 92), 1, 0.8),
        Piece(ellipse(x, y, 0.065, 0.065), HEAD, (96, 44, 36), 1, 0),
        Piece(ellipse(x + 0.032, y - 0.016, 0.054, 0.054), HEAD, (214, 160, 92), 1, 0),
        Piece(stroke(yard, [0.03, 0.04, 0.025]), HEAD, (84, 56, 38), 1, 0.5),
    ]

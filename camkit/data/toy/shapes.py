"""Outlines, and the figures made of them: flat pieces lying on one another, as in a paper theatre.

Coordinates are a figure's own: about 1 is its length, x points to where it looks, y points down.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 255]."""

PARTS = ("head", "body", "limb")
NO_PART, HEAD, BODY, LIMB = range(4)

_PIXELS_PER_UNIT = 80


@dataclass(frozen=True, eq=False)
class Piece:
    """outline [N, 2]; colour None: the figure's coat; shade: times the colour; relief: how round it looks (0: flat)."""

    outline: np.ndarray
    part: int
    colour: Colour | None = None
    shade: float = 1.0
    relief: float = 1.0


@dataclass(frozen=True)
class Coat:
    """The texture of a figure's larger pieces; pitch: the length of what repeats in it; grain: how mottled it is."""

    base: Colour
    second: Colour
    pattern: str = "plain"
    pitch: float = 0.15
    seed: int = 0
    grain: float = 0.05


@dataclass(frozen=True, eq=False)
class Figure:
    """pieces: the farthest first; underlay: what it stands on and brings along (rails)."""

    pieces: tuple[Piece, ...]
    coat: Coat
    underlay: tuple[Piece, ...] = ()


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, count: int = 26) -> np.ndarray:
    """[N, 2]; turn in degrees, clockwise on the screen."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return moved(np.stack([rx * np.cos(angle), ry * np.sin(angle)], axis=1), turn=turn, by=(x, y))


def smooth(points: Sequence[tuple[float, float]], steps: int = 5) -> np.ndarray:
    """[N, 2] a closed Catmull-Rom curve through the points."""
    p = np.asarray(points, float)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = (np.arange(steps) / steps)[:, None, None]
    curve = (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - beyond) * t**2
        + (3 * p - before - 3 * after + beyond) * t**3
    ) / 2
    return curve.transpose(1, 0, 2).reshape(-1, 2)


def corners(*points: tuple[float, float]) -> np.ndarray:
    return np.asarray(points, float)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> np.ndarray:
    """[N, 2] a rectangle with round corners."""
    if radius <= 0:
        return corners((left, top), (right, top), (right, bottom), (left, bottom))
    angle = np.linspace(0, np.pi / 2, 5)
    arc = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    parts = []
    for x, y, turn in ((right, bottom, 0), (left, bottom, 90), (left, top, 180), (right, top, 270)):
        centre = (x - radius if x == right else x + radius, y - radius if y == bottom else y + radius)
        parts.append(moved(arc, turn=turn, by=centre))
    return np.concatenate(parts)


def stroke(points: Sequence[tuple[float, float]], widths: Sequence[float] | np.ndarray) -> np.ndarray:
    """[N, 2] a ribbon along the points, as wide at each as told, with a round end."""
    p, half = np.asarray(points, float), np.asarray(widths, float)[:, None] / 2
    along = np.gradient(p, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    tip = p[-1] + along[-1] * half[-1] * 0.8
    return np.concatenate([p + across * half, tip[None], (p - across * half)[::-1]])


def curve(points: Sequence[tuple[float, float]], count: int = 9) -> list[tuple[float, float]]:
    """Points along the quadratic or cubic Bézier curve of 3 or 4 points."""
    t = np.linspace(0, 1, count)[:, None]
    p = np.asarray(points, float)[:, None]
    while len(p) > 1:
        p = p[:-1] * (1 - t) + p[1:] * t
    return [(float(x), float(y)) for x, y in p[0]]


def blob(rng: np.random.Generator, x: float, y: float, rx: float, ry: float, rough: float = 0.15) -> np.ndarray:
    """[N, 2] an ellipse with dents: a bush, a stone."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    waves = sum(rng.uniform(0.3, 1) / k**0.5 * np.sin(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 5, 8, 11))
    radius = 1 + rough * waves / 2
    return np.stack([x + rx * radius * np.cos(angle), y + ry * radius * np.sin(angle)], axis=1)


def moved(outline: np.ndarray, *, size: float = 1.0, turn: float = 0.0, by: tuple[float, float] = (0, 0)) -> np.ndarray:
    """[N, 2] scaled, turned by degrees (clockwise on the screen), then shifted."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    matrix = size * np.array([[cos, sin], [-sin, cos]])
    shifted: np.ndarray = outline @ matrix + np.asarray(by, float)
    return shifted


def moved_pieces(pieces: Sequence[Piece], *, size: float, turn: float, by: tuple[float, float]) -> list[Piece]:
    return [replace(piece, outline=moved(piece.outline, size=size, turn=turn, by=by)) for piece in pieces]


def part_areas(figure: Figure) -> tuple[float, float, float]:
    """What can be seen of head, body and limbs from the side, in square units."""
    points = np.concatenate([piece.outline for piece in figure.pieces])
    low = points.min(axis=0)
    width, height = np.ceil((points.max(axis=0) - low) * _PIXELS_PER_UNIT).astype(int) + 1
    sheet = Image.new("L", (int(width), int(height)))
    draw = ImageDraw.Draw(sheet)
    for piece in figure.pieces:
        draw.polygon(((piece.outline - low) * _PIXELS_PER_UNIT).ravel().tolist(), fill=piece.part)
    counts = np.array(sheet.histogram()[: LIMB + 1]) / _PIXELS_PER_UNIT**2
    return float(counts[HEAD]), float(counts[BODY]), float(counts[LIMB])


def hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return 255 * red, 255 * green, 255 * blue


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b."""
    red, green, blue = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return red, green, blue

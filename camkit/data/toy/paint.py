"""Painting figures onto a picture: coverage of a piece by supersampling, its texture, its light and its shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from camkit.data.toy.noise import fractal_noise, soft_step
from camkit.data.toy.shapes import Coat, Figure, Piece
from camkit.types import Size

SUPERSAMPLE = 3
_RELIEF = 0.0034
_BLOTCHES = {"spots": (0.45, 1, 0.5, 0.75, 0.4), "patches": (1.5, 2, 0.55, 0.35, 0.25), "leaves": (1, 3, 0.8, 0.2, 1.6)}
"""pattern -> cell of the noise in pitches, octaves, fade; where the second colour begins, how softly."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A figure in the picture: outlines in pixels, and where its own x axis lies.

    number  1, 2 … for objects, 0 for what is background
    """

    figure: Figure
    origin: tuple[float, float]
    size: float
    turn: float
    mirrored: bool
    number: int = 0
    class_index: int = -1
    floats: bool = False

    @property
    def floor(self) -> float:
        """y of its lowest point."""
        return float(_points(self.figure.pieces)[:, 1].max())


def place(
    figure: Figure, foot: tuple[float, float], size: float, turn: float, mirrored: bool, draught: float = 0.0
) -> Placed:
    """The figure with its lowest point `draught` below `foot`, as a share of its own unit."""
    matrix = np.diag([-size if mirrored else size, size]) @ turning(turn)
    lowest = float((_points(figure.pieces) @ matrix)[:, 1].max())
    origin = (float(foot[0]), float(foot[1]) - lowest + draught * size)
    pieces, underlay = (_carried(each, matrix, origin) for each in (figure.pieces, figure.underlay))
    return Placed(Figure(pieces, figure.coat, underlay), origin, float(size), turn, mirrored)


def turning(degrees: float) -> np.ndarray:
    """[2, 2]: `points @ matrix` turns clockwise on the screen."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, sin], [-sin, cos]])


def _points(pieces: tuple[Piece, ...]) -> np.ndarray:
    return np.concatenate([piece.outline for piece in pieces])


def _carried(pieces: tuple[Piece, ...], matrix: np.ndarray, origin: tuple[float, float]) -> tuple[Piece, ...]:
    if not pieces:
        return ()
    moved = np.split(_points(pieces) @ matrix + origin, np.cumsum([len(piece.outline) for piece in pieces])[:-1])
    return tuple(
        Piece(outline, piece.part, piece.colour, piece.shade, piece.relief)
        for outline, piece in zip(moved, pieces, strict=True)
    )


Window = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, right and bottom not included."""


def window_of(pieces: tuple[Piece, ...], size: Size, margin: float = 1) -> Window | None:
    """What of the picture the pieces can touch."""
    points = _points(pieces)
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    left, top = max(int(x0 - margin), 0), max(int(y0 - margin), 0)
    right, bottom = min(int(x1 + margin) + 1, size[1]), min(int(y1 + margin) + 1, size[0])
    return (left, top, right, bottom) if right > left and bottom > top else None


def coverage(piece: Piece, window: Window) -> Image.Image:
    """How much of each pixel of the window the piece covers, 0 to 255."""
    left, top, right, bottom = window
    sheet = Image.new("L", ((right - left) * SUPERSAMPLE, (bottom - top) * SUPERSAMPLE))
    points = (piece.outline - (left, top)) * SUPERSAMPLE - 0.5
    ImageDraw.Draw(sheet).polygon(points.ravel().tolist(), fill=255)
    return sheet.reduce(SUPERSAMPLE)


def silhouette(placed: Placed, window: Window) -> Image.Image:
    """The whole figure's shape, 0 or 255."""
    left, top, right, bottom = window
    sheet = Image.new("L", (right - left, bottom - top))
    draw = ImageDraw.Draw(sheet)
    for piece in placed.figure.pieces:
        draw.polygon((piece.outline - (left, top)).ravel().tolist(), fill=255)
    return sheet


def paint_figure(canvas: np.ndarray, placed: Placed, light: tuple[float, float]) -> None:
    """canvas [H, W, 3] float32; light: where it comes from, in pixels right and down."""
    size = (canvas.shape[0], canvas.shape[1])
    paint_flat(canvas, placed.figure.underlay, light)
    window = window_of(placed.figure.pieces, size)
    if window is None:
        return
    coat = coat_of(placed, window)
    for piece in placed.figure.pieces:
        paint_piece(canvas, piece, window, coat, light, placed.size)


def paint_flat(canvas: np.ndarray, pieces: tuple[Piece, ...], light: tuple[float, float]) -> None:
    """Pieces without a coat."""
    for piece in pieces:
        window = window_of((piece,), (canvas.shape[0], canvas.shape[1]))
        if window is not None:
            paint_piece(canvas, piece, window, None, light, 20)


def paint_piece(
    canvas: np.ndarray,
    piece: Piece,
    around: Window,
    coat: np.ndarray | None,
    light: tuple[float, float],
    scale: float,
) -> None:
    """coat: [h, w, 3] of the window `around`; scale: pixels of the figure's unit."""
    window = window_of((piece,), (canvas.shape[0], canvas.shape[1]))
    if window is None:
        return
    left, top, right, bottom = window
    covered = coverage(piece, window)
    share = np.asarray(covered, np.float32)[..., None] * np.float32(1 / 255)
    if piece.colour is None:
        assert coat is not None
        colour = coat[top - around[1] : bottom - around[1], left - around[0] : right - around[0]] * np.float32(
            piece.shade
        )
    else:
        colour = np.array(piece.colour, np.float32) * np.float32(piece.shade)
    if piece.relief:
        colour = colour * relief(covered, light, min(right - left, bottom - top), piece.relief)[..., None]
    below = canvas[top:bottom, left:right]
    below += share * (colour - below)


def relief(covered: Image.Image, light: tuple[float, float], extent: int, strength: float) -> np.ndarray:
    """[h, w] brightness of a piece that bulges: light on the rim towards the light, dark on the other."""
    reach = float(max(min(extent * 0.16, 9.0), 0.8))
    wide = Image.new("L", (covered.width + 16, covered.height + 16))
    wide.paste(covered, (8, 8))
    soft = wide.filter(ImageFilter.GaussianBlur(reach))
    step = max(round(reach * 0.8), 1)
    dx, dy = round(light[0] * step), round(light[1] * step)
    lit = ImageChops.offset(soft, dx, dy)
    dark = ImageChops.offset(soft, -dx, -dy)
    difference = np.asarray(dark, np.float32) - np.asarray(lit, np.float32)
    return 1 - np.float32(_RELIEF * strength) * difference[8:-8, 8:-8]


def coat_of(placed: Placed, window: Window) -> np.ndarray:
    """[h, w, 3] float32: the coat of a figure as it lies in the window, lighter above than below."""
    left, top, right, bottom = window
    coat, size = placed.figure.coat, (bottom - top, right - left)
    rng = np.random.default_rng(coat.seed)
    angle = np.radians(placed.turn)
    x = (np.arange(left, right, dtype=np.float32) + 0.5 - np.float32(placed.origin[0])) / np.float32(placed.size)
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - np.float32(placed.origin[1]))[:, None] / np.float32(
        placed.size
    )
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across, down = (x * cos + y * sin) * (-1 if placed.mirrored else 1), y * cos - x * sin
    share = pattern(coat, rng, across, down, coat.pitch * placed.size)
    grain = (
        1 + np.float32(coat.grain) * fractal_noise(rng, size, (3, 3), 2) - np.float32(0.22) * np.clip(down, -0.6, 0.6)
    )
    colours: np.ndarray = np.array(coat.base, np.float32) + share[..., None] * np.float32(
        np.subtract(coat.second, coat.base)
    )
    colours *= grain[..., None]
    return colours


def pattern(coat: Coat, rng: np.random.Generator, across: np.ndarray, down: np.ndarray, pitch: float) -> np.ndarray:
    """[h, w] in [0, 1]: the share of the second colour. across, down: the figure's own coordinates."""
    size = (down.shape[0], across.shape[1])
    if coat.pattern == "stripes":
        bend = fractal_noise(rng, size, (pitch * 2, pitch * 2), 2)
        return soft_step(np.sin(2 * np.pi * across / np.float32(coat.pitch) + bend * np.float32(0.8)), 0.35, 0.7)
    if coat.pattern in _BLOTCHES:
        cells, octaves, fade, at, width = _BLOTCHES[coat.pattern]
        return soft_step(fractal_noise(rng, size, (pitch * cells, pitch * cells), octaves, fade), at, width)
    if coat.pattern == "planks":
        return np.float32(0.3) * soft_step(np.sin(2 * np.pi * down / np.float32(coat.pitch)), 0.7, 0.5)
    middle = {"band": -0.1, "halves": -0.13}.get(coat.pattern)
    if middle is None:
        return np.zeros(size, np.float32)
    below = soft_step(down, middle, 0.02)
    return below * soft_step(-down, -middle - coat.pitch, 0.02) if coat.pattern == "band" else below


def cast_shadow(canvas: np.ndarray, placed: Placed, light: tuple[float, float], darkness: float) -> None:
    """A soft shadow: the figure laid down on the ground it stands on, and blurred."""
    flat = _laid_down(placed, light)
    blur = float(max(placed.size * 0.025, 1.0))
    window = window_of(flat, (canvas.shape[0], canvas.shape[1]), 2.5 * blur)
    if window is None:
        return
    left, top, right, bottom = window
    sheet = Image.new("L", (right - left, bottom - top))
    draw = ImageDraw.Draw(sheet)
    for piece in flat:
        draw.polygon((piece.outline - (left, top)).ravel().tolist(), fill=255)
    soft = np.asarray(sheet.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    canvas[top:bottom, left:right] *= 1 - soft[..., None] * np.float32(darkness / 255)


def _laid_down(placed: Placed, light: tuple[float, float]) -> tuple[Piece, ...]:
    """Flattened towards the line it stands on, which is turned as the figure is."""
    turned = turning(placed.turn)
    low = float(((_points(placed.figure.pieces) - placed.origin) @ turned.T)[:, 1].max())
    flat = turned.T @ np.array([[1, 0], [0.45 * light[0], 0.16]]) @ turned
    lift = np.array([-0.45 * light[0] * low, 0.84 * low + 0.03 * placed.size]) @ turned
    origin = np.asarray(placed.origin)
    shift = origin - origin @ flat + lift
    return _carried(placed.figure.pieces, flat, (float(shift[0]), float(shift[1])))


def mirror_in_water(canvas: np.ndarray, placed: Placed, ripples: np.ndarray, shore: float) -> None:
    """The figure upside down below its floor, broken by ripples; ripples [H, W] near 0 ± 1; shore: the last row."""
    height, width = canvas.shape[:2]
    window = window_of(placed.figure.pieces, (height, width))
    waterline = min(round(placed.floor), height - 1)
    if window is None or waterline <= window[1]:
        return
    left, top, right, _ = window
    depth = min(height - waterline, waterline - top, int(shore) - waterline)
    if depth < 2:
        return
    shape = np.asarray(
        silhouette(placed, (left, waterline - depth, right, waterline)).filter(ImageFilter.GaussianBlur(1.5))
    )
    above, below = slice(waterline - depth, waterline), slice(waterline, waterline + depth)
    fading = np.linspace(0.55, 0.1, depth, dtype=np.float32)[:, None]
    share = shape[::-1].astype(np.float32) / 255 * fading * np.clip(1 + 0.7 * ripples[below, left:right], 0, 1.3)
    picture = canvas[above, left:right][::-1] * np.float32(0.82)
    canvas[below, left:right] += share[..., None] * (picture - canvas[below, left:right])

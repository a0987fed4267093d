"""The curve of a threshold sweep as a picture: mIoU, precision and recall over the threshold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from camkit.errors import OutputError, UsageError

if TYPE_CHECKING:
    from camkit.evaluate.report import CurvePoint

WIDTH, HEIGHT = 900, 560
LEFT, TOP, RIGHT, BOTTOM = 74, 84, 150, 66
OVERSAMPLING = 4

INK, MUTED, GRID, PAPER = "#222222", "#6b6b6b", "#e6e6e6", "#ffffff"
# Okabe and Ito's colours, told apart by colour-blind readers too.
LINES = (
    ("mIoU", "miou", "#0072b2", 3.2),
    ("precision", "precision", "#d55e00", 2.0),
    ("recall", "recall", "#009e73", 2.0),
)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Axes:
    """From thresholds and fractions to pixels of the oversampled picture."""

    lowest: float
    highest: float
    top: float

    def x(self, threshold: float) -> float:
        share = (threshold - self.lowest) / (self.highest - self.lowest)
        return (LEFT + share * (WIDTH - LEFT - RIGHT)) * OVERSAMPLING

    def y(self, fraction: float) -> float:
        return (HEIGHT - BOTTOM - fraction / self.top * (HEIGHT - TOP - BOTTOM)) * OVERSAMPLING


def draw_curve(points: Sequence[CurvePoint], path: Path, *, title: str = "") -> None:
    """Write the PNG `path`: figures in percent over the threshold, the threshold with the best mIoU marked."""
    measured = [point for point in points if point.miou is not None]
    if len(measured) < 2:
        raise UsageError("a curve needs at least two thresholds; leave out the fixed threshold to sweep")
    picture = _picture(measured, title or "Threshold sweep")
    try:
        picture.save(path, format="PNG", optimize=True)
    except OSError as error:
        raise OutputError(f"cannot write the curve {path}: {error.strerror or error}") from error


def _picture(points: Sequence[CurvePoint], title: str) -> Image.Image:
    picture = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING), PAPER)
    draw = ImageDraw.Draw(picture)
    axes = _Axes(points[0].threshold, points[-1].threshold, _top(points))
    best = max(points, key=lambda point: point.miou or 0.0)
    _draw_grid(draw, axes)
    _draw_best(draw, axes, best)
    for _, field, colour, width in reversed(LINES):
        line = [(axes.x(point.threshold), axes.y(getattr(point, field))) for point in points]
        _draw_line(draw, line, colour, width * OVERSAMPLING)
    _draw_dot(draw, (axes.x(best.threshold), axes.y(best.miou or 0.0)), LINES[0][2])
    _draw_names(draw, axes, points[-1])
    _draw_titles(draw, title, best)
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _top(points: Sequence[CurvePoint]) -> float:
    """The next tenth above everything drawn, so that weak results still fill the picture."""
    highest = max(getattr(point, field) for point in points for _, field, _, _ in LINES)
    return min(1.0, max(0.1, (int(highest * 10 - 1e-9) + 1) / 10))


def _draw_grid(draw: ImageDraw.ImageDraw, axes: _Axes) -> None:
    left, right = axes.x(axes.lowest), axes.x(axes.highest)
    for fraction in _ticks(0.0, axes.top):
        colour = MUTED if fraction == 0 else GRID
        draw.line([(left, axes.y(fraction)), (right, axes.y(fraction))], fill=colour, width=OVERSAMPLING)
        _write(draw, (left - 10 * OVERSAMPLING, axes.y(fraction)), f"{100 * fraction:.4g}", "rm", size=14, colour=MUTED)
    for threshold in _ticks(axes.lowest, axes.highest):
        at = axes.x(threshold)
        draw.line([(at, axes.y(0)), (at, axes.y(0) + 5 * OVERSAMPLING)], fill=MUTED, width=OVERSAMPLING)
        _write(draw, (at, axes.y(0) + 10 * OVERSAMPLING), f"{threshold:.4g}", "ma", size=14, colour=MUTED)
    middle = (left + right) / 2
    _write(draw, (middle, axes.y(0) + 34 * OVERSAMPLING), "threshold", "ma", size=14, colour=INK)


def _draw_best(draw: ImageDraw.ImageDraw, axes: _Axes, best: CurvePoint) -> None:
    at, end = axes.x(best.threshold), axes.y(axes.top)
    step = 5 * OVERSAMPLING
    for start in range(round(end), round(axes.y(0)), 2 * step):
        draw.line([(at, start), (at, min(start + step, axes.y(0)))], fill=MUTED, width=OVERSAMPLING)


def _draw_line(draw: ImageDraw.ImageDraw, line: list[Point], colour: str, width: float) -> None:
    draw.line(line, fill=colour, width=round(width), joint="curve")


def _draw_dot(draw: ImageDraw.ImageDraw, centre: Point, colour: str) -> None:
    for radius, fill in ((8, PAPER), (6, colour)):
        reach = radius * OVERSAMPLING
        draw.ellipse([centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach], fill=fill)


def _draw_names(draw: ImageDraw.ImageDraw, axes: _Axes, last: CurvePoint) -> None:
    """The names of the lines at their right ends, moved apart where they would overlap."""
    ends = sorted((axes.y(getattr(last, field)), name, colour) for name, field, colour, _ in LINES)
    gap, lowest = 20 * OVERSAMPLING, axes.y(0)
    places = [end for end, _, _ in ends]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    places[-1] = min(places[-1], lowest)
    for index in reversed(range(len(places) - 1)):
        places[index] = min(places[index], places[index + 1] - gap)
    for place, (_, name, colour) in zip(places, ends, strict=True):
        _write(draw, (axes.x(axes.highest) + 12 * OVERSAMPLING, place), name, "lm", size=16, colour=colour)


def _draw_titles(draw: ImageDraw.ImageDraw, title: str, best: CurvePoint) -> None:
    left = LEFT * OVERSAMPLING
    best_line = f"best mIoU {100 * (best.miou or 0.0):.1f} % at threshold {best.threshold:.4g}"
    _write(draw, (left, 22 * OVERSAMPLING), _shortened(title), "la", size=22, colour=INK)
    _write(draw, (left, 52 * OVERSAMPLING), f"{best_line}; all figures in percent", "la", size=15, colour=MUTED)


def _shortened(title: str, length: int = 68) -> str:
    return title if len(title) <= length else title[: length - 3] + "..."


def _ticks(lowest: float, highest: float) -> Iterator[float]:
    """Round numbers from lowest to highest, at most eleven."""
    steps = (base * 10.0**power for power in range(-8, 9) for base in (1, 2, 5))
    step = next((size for size in steps if (highest - lowest) / size <= 10 + 1e-6), highest - lowest)
    first, last = math.ceil(lowest / step - 1e-6), math.floor(highest / step + 1e-6)
    for index in range(first, last + 1):
        yield round(index * step, 10)


def _write(draw: ImageDraw.ImageDraw, at: Point, text: str, anchor: str, *, size: int, colour: str) -> None:
    draw.text(at, text, fill=colour, anchor=anchor, font=ImageFont.load_default(size * OVERSAMPLING))

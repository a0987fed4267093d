"""A small chart drawer: axes, grid and lines that carry their names, drawn large and scaled down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from camkit.view.picture import save_picture

OVERSAMPLING = 4

INK, MUTED, GRID, PAPER = "#222222", "#6b6b6b", "#e6e6e6", "#ffffff"
# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"

Point = tuple[float, float]


def plain(value: float) -> str:
    """A tick label."""
    return f"{value:.4g}"


def percent(fraction: float) -> str:
    """A tick label in percent, for an axis of fractions."""
    return f"{100 * fraction:.4g}"


@dataclass(frozen=True, slots=True)
class Axis:
    """What it shows, from where to where; ticks stand at least `least_step` apart."""

    label: str
    lowest: float
    highest: float
    form: Callable[[float], str] = plain
    least_step: float = 0.0

    def share(self, value: float) -> float:
        """Where a value lies between the ends, in [0, 1]."""
        return (value - self.lowest) / (self.highest - self.lowest)


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through points with ascending x."""

    name: str
    points: Sequence[Point]
    colour: str
    width: float = 2.0


@dataclass(frozen=True, slots=True)
class Frame:
    """The pixels between which a chart's lines are drawn; names, numbers and labels stand around them."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over two axes. The first line is drawn on top; `best` is a point of it that is marked."""

    x: Axis
    y: Axis
    lines: Sequence[Line]
    best: Point | None = None


class Canvas:
    """A white picture to draw charts on."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._picture = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), PAPER)
        self._draw = ImageDraw.Draw(self._picture)

    def title(self, left: int, title: str, line: str) -> None:
        """At the top: the title, and a line about what is shown."""
        self._write((left, 22), _shortened(title), "la", size=22, colour=INK)
        self._write((left, 52), line, "la", size=15, colour=MUTED)

    def chart(self, chart: Chart, frame: Frame) -> None:
        """Draw the chart with its lines inside the frame."""
        place = _Place(chart, frame)
        self._grid(chart, place)
        if chart.best:
            self._dashes(place, place.x(chart.best[0]))
        for line in reversed(chart.lines):
            self._line(line, place)
        if chart.best:
            self._dot(place(chart.best), 6, chart.lines[0].colour)
        self._names(chart.lines, place)

    def save(self, path: Path, what: str) -> None:
        """Write the PNG `path`; `what` names it in errors."""
        small = self._picture.resize(self._size, Image.Resampling.LANCZOS)
        save_picture(small, path, what, optimize=True)

    def _grid(self, chart: Chart, place: _Place) -> None:
        frame = place.frame
        for value in ticks(chart.y):
            colour, y = MUTED if value == chart.y.lowest else GRID, place.y(value)
            self._stroke([(frame.left, y), (frame.right, y)], colour)
            self._write((frame.left - 10, y), chart.y.form(value), "rm", size=14, colour=MUTED)
        for value in ticks(chart.x):
            x = place.x(value)
            self._stroke([(x, frame.bottom), (x, frame.bottom + 5)], MUTED)
            self._write((x, frame.bottom + 10), chart.x.form(value), "ma", size=14, colour=MUTED)
        middle = (frame.left + frame.right) / 2
        self._write((middle, frame.bottom + 34), chart.x.label, "ma", size=14, colour=INK)
        self._write((frame.left, frame.top - 22), chart.y.label, "ls", size=15, colour=INK)

    def _dashes(self, place: _Place, x: float) -> None:
        step, bottom = 5, place.frame.bottom
        for start in range(place.frame.top, bottom, 2 * step):
            self._stroke([(x, start), (x, min(start + step, bottom))], MUTED)

    def _line(self, line: Line, place: _Place) -> None:
        if len(line.points) == 1:
            self._dot(place(line.points[0]), 4, line.colour)
            return
        self._stroke([place(point) for point in line.points], line.colour, line.width)

    def _names(self, lines: Sequence[Line], place: _Place) -> None:
        """The names of the lines at their right ends, moved apart where they would overlap."""
        ends = sorted((place.y(line.points[-1][1]), line.name, line.colour) for line in lines)
        heights = spread([end for end, _, _ in ends], gap=20, highest=place.frame.bottom)
        for height, (_, name, colour) in zip(heights, ends, strict=True):
            self._write((place.frame.right + 12, height), name, "lm", size=16, colour=colour)

    def _stroke(self, points: list[Point], colour: str, width: float = 1.0) -> None:
        large = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
        self._draw.line(large, fill=colour, width=round(width * OVERSAMPLING), joint="curve")

    def _dot(self, centre: Point, size: float, colour: str) -> None:
        for radius, fill in ((size + 2, PAPER), (size, colour)):
            box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
            self._draw.ellipse([side * OVERSAMPLING for side in box], fill=fill)

    def _write(self, at: Point, text: str, anchor: str, *, size: int, colour: str) -> None:
        font = ImageFont.load_default(size * OVERSAMPLING)
        self._draw.text((at[0] * OVERSAMPLING, at[1] * OVERSAMPLING), text, fill=colour, anchor=anchor, font=font)


@dataclass(frozen=True, slots=True)
class _Place:
    """From values to pixels."""

    chart: Chart
    frame: Frame

    def __call__(self, point: Point) -> Point:
        return self.x(point[0]), self.y(point[1])

    def x(self, value: float) -> float:
        return self.frame.left + self.chart.x.share(value) * (self.frame.right - self.frame.left)

    def y(self, value: float) -> float:
        return self.frame.bottom - self.chart.y.share(value) * (self.frame.bottom - self.frame.top)


def spread(places: Sequence[float], *, gap: float, highest: float) -> list[float]:
    """Ascending places moved at least `gap` apart, none above `highest`."""
    moved = list(places)
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + gap)
    if moved:
        moved[-1] = min(moved[-1], highest)
    for index in reversed(range(len(moved) - 1)):
        moved[index] = min(moved[index], moved[index + 1] - gap)
    return moved


def round_above(value: float) -> float:
    """The next 1, 1.5, 2, 3, 5 or 7.5 times a power of ten that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 1.5, 2, 3, 5, 7.5, 10) if factor * power >= value * (1 - 1e-9))


def ticks(axis: Axis) -> Iterator[float]:
    """Round numbers from end to end, at most eleven."""
    length = axis.highest - axis.lowest
    steps = (base * 10.0**power for power in range(-8, 9) for base in (1, 2, 5))
    fitting = (size for size in steps if length / size <= 10 + 1e-6 and size >= axis.least_step)
    step = next(fitting, length)
    first, last = math.ceil(axis.lowest / step - 1e-6), math.floor(axis.highest / step + 1e-6)
    for index in range(first, last + 1):
        yield round(index * step, 10)


def _shortened(title: str, length: int = 68) -> str:
    return title if len(title) <= length else title[: length - 3] + "..."

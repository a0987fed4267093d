"""What prototypes look like: for each a row of the patches nearest to it, the foreground's beside the context's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from camkit.types import Box
from camkit.view.colours import INK, MUTED, PAPER
from camkit.view.text import shortened, write

MARGIN, GAP, BETWEEN = 16, 3, 28
LABEL = 74
TITLE, HEADER = 34, 26
CELLS, SMALLEST = 3, 48
"""A patch shows so many cells of the features' grid across, and at least so many pixels of the photo."""

_NAME, _SCORE, _SMALL = 18, 14, 11
_FADED = 0.55
_MISSING = "#e8e8e4"
_KEPT = "#0072b2"


@dataclass(frozen=True, slots=True)
class PrototypeRow:
    """A centre: its score and the number of its features, where they are known; tiles are None where there is no photo.

    kept  whether it is a prototype
    """

    kept: bool
    score: float | None
    count: int | None
    tiles: Sequence[Image.Image | None]


@dataclass(frozen=True, slots=True)
class Side:
    """The centres of the foreground, or of the context."""

    name: str
    rows: Sequence[PrototypeRow]

    @property
    def heading(self) -> str:
        kept = f"{self.name}: {sum(row.kept for row in self.rows)} of {len(self.rows)} centres are prototypes"
        return f"{kept}; before each the probability of the class, and its features"


def patch(photo: np.ndarray, box: Box, tile: int) -> Image.Image:
    """A tile of the surroundings of a cell, which is framed; photo [H, W, 3] uint8."""
    height, width = photo.shape[:2]
    top, left, bottom, right = box
    side = min(max(CELLS * max(bottom - top, right - left), SMALLEST), height, width)
    y = int(np.clip((top + bottom - side) // 2, 0, height - side))
    x = int(np.clip((left + right - side) // 2, 0, width - side))
    shown = Image.fromarray(photo[y : y + side, x : x + side])
    picture = shown.resize((tile, tile), Image.Resampling.LANCZOS)
    scale = tile / side
    start = (left - x) * scale, (top - y) * scale
    frame = (*start, max((right - x) * scale - 1, start[0]), max((bottom - y) * scale - 1, start[1]))
    draw = ImageDraw.Draw(picture)
    draw.rectangle(frame, outline="#141414", width=2)
    draw.rectangle(frame, outline="#ffffff", width=1)
    return picture


def class_size(counts: Sequence[int], columns: int, tile: int) -> tuple[int, int]:
    """(height, width) of a class's picture, of sides with so many rows, each of so many tiles."""
    height = TITLE + HEADER + max(counts, default=0) * (tile + GAP) + MARGIN
    return height, 2 * MARGIN + len(counts) * (LABEL + columns * (tile + GAP)) + (len(counts) - 1) * BETWEEN


def draw_class(name: str, sides: Sequence[Side], columns: int, tile: int) -> Image.Image:
    """Prototypes first, those of the most features first; centres that are none are paler."""
    height, width = class_size([len(side.rows) for side in sides], columns, tile)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 8), shortened(name, width - 2 * MARGIN, _NAME), size=_NAME)
    left = MARGIN
    for side in sides:
        across = LABEL + columns * (tile + GAP)
        write(draw, (left, TITLE + 4), shortened(side.heading, across, _SMALL + 1), size=_SMALL + 1, colour=MUTED)
        for number, row in enumerate(sorted(side.rows, key=lambda row: (not row.kept, -(row.count or 0)))):
            _draw_row(sheet, draw, row, left, TITLE + HEADER + number * (tile + GAP), tile)
        left += across + BETWEEN
    return sheet


def _draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, row: PrototypeRow, left: int, top: int, tile: int) -> None:
    colour = INK if row.kept else MUTED
    if row.kept:
        draw.rectangle((left, top, left + 2, top + tile - 1), fill=_KEPT)
    middle = top + tile // 2
    score = "no score" if row.score is None else f"{row.score:.3f}"
    write(draw, (left + 9, middle - 2), score, size=_SCORE, colour=colour, anchor="ls")
    if row.count is not None:
        write(draw, (left + 9, middle + 4), f"{row.count:,}", size=_SMALL, colour=MUTED, anchor="la")
    for place, picture in enumerate(row.tiles):
        at = (left + LABEL + place * (tile + GAP), top)
        if picture is None:
            draw.rectangle((*at, at[0] + tile - 1, at[1] + tile - 1), fill=_MISSING)
        else:
            sheet.paste(picture if row.kept else _paler(picture), at)


def _paler(picture: Image.Image) -> Image.Image:
    return Image.blend(picture, Image.new("RGB", picture.size, PAPER), _FADED)


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """One below the other, on white."""
    sheet = Image.new("RGB", (max(one.width for one in pictures), sum(one.height for one in pictures)), PAPER)
    top = 0
    for one in pictures:
        sheet.paste(one, (0, top))
        top += one.height
    return sheet

"""A contact sheet: rows of tiles of one size under the names of their columns, on white paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from camkit.errors import UsageError
from camkit.view.colours import INK, MUTED, PAPER
from camkit.view.text import shortened, write

LONGEST_SIDE = 16_000  # a WebP can have 16,383 px
WAY_OUT = "show fewer (--limit), smaller (--tile), or make a page (--html FILE)"

MARGIN = 16
HEADER = 46
CAPTION = 18
GAP, GAP_WITHIN, GAP_BETWEEN = 8, 6, 12
_HEADING, _SMALL = 15, 11


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands over a column; `about` smaller below it."""

    name: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Tiles of one size and a caption under each, in the order of the columns; None and "" where there is nothing.

    first  whether it begins an image; the further classes of the image follow closely
    """

    tiles: tuple[Image.Image | None, ...]
    captions: tuple[str, ...]
    first: bool = True

    @property
    def height(self) -> int:
        return max(tile.height for tile in self.tiles if tile) + (CAPTION if any(self.captions) else 0)


def sheet_size(heights: Sequence[int], firsts: Sequence[bool], columns: int, tile: int) -> tuple[int, int]:
    """(height, width) of the sheet whose rows have these heights."""
    gaps = sum(GAP_BETWEEN if first else GAP_WITHIN for first in firsts)
    return HEADER + sum(heights) + gaps + MARGIN, 2 * MARGIN + columns * tile + (columns - 1) * GAP


def draw_sheet(headings: Sequence[Heading], rows: Sequence[Row], tile: int) -> Image.Image:
    heights, firsts = [row.height for row in rows], [row.first for row in rows]
    height, width = sheet_size(heights, firsts, len(headings), tile)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    lefts = [MARGIN + column * (tile + GAP) for column in range(len(headings))]
    for left, heading in zip(lefts, headings, strict=True):
        write(draw, (left, 8), shortened(heading.name, tile, _HEADING), size=_HEADING)
        write(draw, (left, 29), shortened(heading.about, tile, _SMALL), size=_SMALL, colour=MUTED)
    top = HEADER
    for row in rows:
        top += GAP_BETWEEN if row.first else GAP_WITHIN
        _draw_row(sheet, draw, row, lefts, top, tile)
        top += row.height
    return sheet


def _draw_row(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, lefts: Sequence[int], top: int, width: int
) -> None:
    for left, tile, caption in zip(lefts, row.tiles, row.captions, strict=True):
        if tile is not None:
            sheet.paste(tile, (left, top))
        below = top + max(tile.height for tile in row.tiles if tile) + 3
        write(draw, (left, below), shortened(caption, width, _SMALL), size=_SMALL, colour=INK)


def side_by_side(tiles: Sequence[Image.Image]) -> Image.Image:
    """Tiles of one size in a row, nothing around them."""
    height = max(tile.height for tile in tiles)
    width = sum(tile.width for tile in tiles) + GAP * (len(tiles) - 1)
    picture = Image.new("RGB", (width, height), PAPER)
    left = 0
    for tile in tiles:
        picture.paste(tile, (left, 0))
        left += tile.width + GAP
    return picture


def check_picture_size(height: int, width: int, longest: int = LONGEST_SIDE, way_out: str = WAY_OUT) -> None:
    if max(height, width) > longest:
        raise UsageError(f"the picture would be {width:,} x {height:,} px; the limit is {longest:,}\n{way_out}")

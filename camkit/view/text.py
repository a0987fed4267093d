"""Writing into pictures: a font that has the letters, an outline that keeps them legible, lengths that fit."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageDraw, ImageFont

from camkit.view.colours import INK, OUTLINE

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pillow brings letters of English alone; for others the system's fonts are asked, by their usual names.
_FALLBACKS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf",
    "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "msgothic.ttc", "PingFang.ttc",
)  # fmt: skip
_LONGEST = 300
_NO_CHARACTER = "\uffff"


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    size: int,
    anchor: str = "la",
    colour: str = INK,
    outlined: bool = False,
) -> None:
    """`text` in a font of `size` px; `outlined`: with a dark rim, to be read on any photo."""
    text, font = _legible(text, size)
    rim = max(1, round(size / 8)) if outlined else 0
    draw.text(at, text, fill=colour, font=font, anchor=anchor, stroke_width=rim, stroke_fill=OUTLINE)


def text_width(text: str, size: int) -> float:
    text, font = _legible(text, size)
    return font.getlength(text)


def shortened(text: str, width: float, size: int) -> str:
    """At most `width` px wide: what does not fit is taken out of the middle, for ids differ at their ends."""
    if text_width(text, size) <= width:
        return text
    kept = min(len(text) - 1, _LONGEST)
    while kept > 1 and text_width(_without_middle(text, kept), size) > width:
        kept -= 1
    return _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    end = kept // 2
    return text[: kept - end] + "…" + text[len(text) - end :]


def _legible(text: str, size: int) -> tuple[str, Font]:
    """The text and the first font that has all its letters; else without accents, and ? for what no font has."""
    fonts = ("", *_FALLBACKS)
    complete = next((name for name in fonts if all(_has(name, letter) for letter in text)), None)
    if complete is not None:
        return text, _font(complete, size)
    plain = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if _has("", letter) else "?" for letter in plain), _font("", size)


@cache
def _font(name: str, size: int) -> Font:
    """The font of that name; the empty one is Pillow's own."""
    if not name:
        return ImageFont.load_default(size)
    return ImageFont.truetype(name, size)


@cache
def _has(name: str, letter: str) -> bool:
    try:
        font = _font(name, 16)
    except OSError:  # this system does not have the font
        return False
    drawn, missing = font.getmask(letter), font.getmask(_NO_CHARACTER)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.errors import OutputError, UsageError
from camkit.view.picture import check_picture, save_picture
from camkit.view.sheet import (
    CAPTION,
    GAP,
    GAP_BETWEEN,
    GAP_WITHIN,
    HEADER,
    LONGEST_SIDE,
    MARGIN,
    Heading,
    Row,
    check_picture_size,
    draw_sheet,
    sheet_size,
    side_by_side,
)

RED, BLUE = (200, 0, 0), (0, 0, 200)
HEADINGS = [Heading("photo"), Heading("cams", "maps, threshold 0.30")]


def tile(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_tiles_stand_under_their_columns() -> None:
    rows = [
        Row((tile(RED), tile(BLUE)), ("2007_000032", "IoU 61.3 %")),
        Row((None, tile(RED)), ("", ""), first=False),
        Row((tile(RED, (30, 60)), None), ("b", "")),
    ]
    sheet = draw_sheet(HEADINGS, rows, 60)
    heights, firsts = [40 + CAPTION, 40, 60 + CAPTION], [True, False, True]
    assert (sheet.height, sheet.width) == sheet_size(heights, firsts, 2, 60)
    left, right = MARGIN, MARGIN + 60 + GAP
    first = HEADER + GAP_BETWEEN
    second = first + heights[0] + GAP_WITHIN
    third = second + heights[1] + GAP_BETWEEN
    for x, y, colour in ((left, first, RED), (right, first, BLUE), (right, second, RED), (left, third, RED)):
        assert sheet.getpixel((x, y)) == colour
        assert sheet.getpixel((x - 1, y)) == (255, 255, 255)
        assert sheet.getpixel((x, y - 1)) == (255, 255, 255)
    assert sheet.getpixel((left, second)) == (255, 255, 255)
    assert sheet.getpixel((left + 30, third)) == (255, 255, 255)


def test_names_and_captions_stay_within_their_column() -> None:
    long = "a name that is far too long for sixty pixels"
    rows = [Row((tile(RED), tile(BLUE)), (long, long))]
    ink = np.asarray(draw_sheet([Heading(long, long), Heading(long, long)], rows, 60).convert("L")) < 200
    gap = ink[:, MARGIN + 60 : MARGIN + 60 + GAP]
    assert not gap.any()
    assert ink[:HEADER].any()
    assert not ink[:, : MARGIN - 1].any()
    below = ink[HEADER + GAP_BETWEEN + 40 :]
    assert below[:, MARGIN : MARGIN + 60].any()
    assert below[:, MARGIN + 60 + GAP :].any()


def test_large_tiles_side_by_side() -> None:
    picture = side_by_side([tile(RED), tile(BLUE)])
    assert picture.size == (120 + GAP, 40)
    assert picture.getpixel((60, 10)) == (255, 255, 255)
    assert side_by_side([tile(RED)]).size == (60, 40)


@pytest.mark.parametrize(
    ("name", "format"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP")]
)
def test_the_suffix_says_the_format(name: str, format: str, tmp_path: Path) -> None:
    check_picture(tmp_path / name)
    for _ in range(2):  # a picture that is there is replaced
        save_picture(tile(RED), tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert picture.format == format
        assert picture.size == (60, 40)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for name in ("sheet", "sheet.h5", "sheet.gif", ".png"):
        with pytest.raises(UsageError, match="--html"):
            check_picture(tmp_path / name)
    with pytest.raises(OutputError, match=r"missing/a\.png"):
        save_picture(tile(RED), tmp_path / "missing" / "a.png")
    check_picture_size(LONGEST_SIDE, LONGEST_SIDE)
    for size in ((LONGEST_SIDE + 1, 10), (10, LONGEST_SIDE + 1)):
        with pytest.raises(UsageError, match=r"16,000\n.*--limit"):
            check_picture_size(*size)

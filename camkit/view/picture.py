"""Pictures as files. What camkit draws carries its mark, and of what is there already nothing else is replaced."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from camkit.errors import UsageError
from camkit.view.whole import whole_file

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
SOFTWARE, CAMKIT = 0x0131, "camkit"
"""The tag of EXIF for the program that made a picture, which all three formats can hold; masks do not carry it."""


def check_picture(path: Path, option: str = "--out") -> None:
    """UsageError unless a picture may be written there: by its suffix, and by what is there."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{option} {path}: pictures end in .png, .jpg or .webp; a page is written with --html FILE")
    check_replaceable(path, option)


def check_png(path: Path, option: str) -> None:
    """The same, where it is a PNG in any case."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{option} {path}: the picture is a PNG; give a name that ends in .png")
    check_replaceable(path, option)


def check_replaceable(path: Path, option: str = "--out") -> None:
    """UsageError if something is there that camkit did not draw: a typo must not cost a photo, a mask or a store."""
    if path.exists() and not (path.is_file() and path.stat().st_size == 0) and not is_drawn(path):
        raise UsageError(f"{path} is there already, and camkit did not draw it; choose another {option}")


def is_drawn(path: Path) -> bool:
    """Whether camkit drew the picture; only its header is read."""
    try:
        with Image.open(path, formats=[*set(FORMATS.values())]) as picture:
            tags = Image.Exif()
            tags.load(picture.info.get("exif", b""))
            return tags.get(SOFTWARE) == CAMKIT
    except Exception:  # whatever Pillow raises for what is no picture
        return False


def save_picture(picture: Image.Image, path: Path, what: str = "the picture", **options: Any) -> None:
    """As the suffix says, over what is there: ask `check_picture` before. The file appears whole or not at all."""
    tags = Image.Exif()
    tags[SOFTWARE] = CAMKIT
    data = encoded(picture, FORMATS[path.suffix.lower()], quality=92, exif=tags, **options)
    with whole_file(path, what) as write_bytes:
        write_bytes(data)


def encoded(picture: Image.Image, format: str, *, quality: int, **options: Any) -> bytes:
    """The bytes of the picture's file; a PNG has no quality."""
    stream = BytesIO()
    picture.save(stream, format, **({} if format == "PNG" else {"quality": quality}), **options)
    return stream.getvalue()

"""Finding images and decoding them: upright, 8-bit RGB."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - Pillow would load all

from camkit.data.found_images import images_named
from camkit.data.lists import HEIF_SUFFIXES, FilesById, read_id_list
from camkit.data.reading import examples, exists, is_file, is_folder, reason
from camkit.data.voc import VocLayout
from camkit.errors import ImageError, InputError, UsageError
from camkit.memory import claimed
from camkit.types import Size

with suppress(ImportError):  # Pillow below 11.3
    from PIL import AvifImagePlugin  # noqa: F401

IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")
MAX_PIXELS = 400_000_000

_BYTES_PER_PIXEL = {"1": 8, "L": 8, "P": 8, "RGB": 11, "I;16": 14, "I;16B": 14, "I;16L": 14, "I;16N": 14}
"""While a photo is read, from its own pixels to the array of RGB."""
_MOST_BYTES_PER_PIXEL = 22
_STRIP = 64
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDES_SWAPPED = (5, 6, 7, 8)


@dataclass(frozen=True)
class ImageSet:
    """paths: id -> file, sorted by id; voc: the VOC root the images are of, if they are."""

    root: Path
    paths: Mapping[str, Path]
    voc: VocLayout | None = None


def find_images(images: Path | Sequence[Path], list: str | None = None, limit: int | None = None) -> ImageSet:
    """The images in a folder (all depths), a VOC root, a text file naming images, a file, a pattern, or several.

    images  `-`: a list of them on standard input
    list    a file of ids or paths, or the name of a split of the VOC root; picks ids
    limit   the first so many in the order of ids
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: take at least one image")
    found = ImageSet(*images_named(images))
    if list is not None:
        found = pick_images(found, read_id_list(list_file(list, found.voc), found.paths, str(images)))
    if limit is not None:
        found = pick_images(found, [*islice(found.paths, limit)])
    return found


def list_file(name: str, voc: VocLayout | None) -> Path:
    if voc and name in voc.lists:
        return voc.lists[name]
    if is_file(Path(name)):
        return Path(name)
    if not voc:
        raise InputError(f"there is no list {name}: give --list a file that names one image a line")
    splits = examples([*voc.lists], count=12) if voc.lists else "none"
    raise InputError(f"--list {name} is neither a file nor a split of {voc.root}\nsplits there: {splits}")


def pick_images(found: ImageSet, ids: Collection[str]) -> ImageSet:
    """Of these ids alone."""
    assert isinstance(found.paths, FilesById)
    return ImageSet(found.root, found.paths.pick(ids), found.voc)


def image_size(path: Path) -> Size:
    """(H, W) of the upright photo, from the header alone."""
    with open_image(path, IMAGE_FORMATS, MAX_PIXELS) as image:
        return decoding(path, lambda: _upright_size(image, _orientation(image)))


def read_image(path: Path, longest: int | None = None, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Size]:
    """Upright photo as [h, w, 3] uint8 RGB, its longer side `longest` px (None: its own), and the photo's own (H, W).

    Transparent pixels lie on white, as photo viewers show them. Of many frames or pages the first.
    More than 8 bits are scaled, not clipped: 16-bit / 257, floats in 0..1 × 255 (`_to_8_bit`).
    """
    if longest is not None and longest < 1:
        raise UsageError(f"cannot resize images to {longest} px: give at least 1")
    with open_image(path, IMAGE_FORMATS, max_pixels) as image:
        return decoding(path, lambda: _decode(image, longest, max_pixels))


def open_image(path: Path, formats: Collection[str], max_pixels: int) -> Image.Image:
    """Header read, nothing decoded, no more than max_pixels. Only the named formats: some of Pillow's run programs."""
    if not is_file(path):
        what = "it is a folder" if is_folder(path) else "it is not a file" if exists(path) else "it does not exist"
        raise ImageError(f"cannot read image {path}: {what}")
    # Pillow's own limit, one for the whole process, lies below the photos of today's phones.
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels
    if path.suffix.lower() in HEIF_SUFFIXES:
        _open_heif()
    Image.preinit()
    known = tuple(format for format in formats if format in Image.OPEN)  # not every Pillow has all of them
    image: Image.Image = decoding(path, lambda: Image.open(path, formats=known))
    width, height = image.size
    if width * height > max_pixels or min(width, height) < 1:
        image.close()
        raise ImageError(f"cannot read image {path}: {width:,} x {height:,} px, the limit is {max_pixels:,} in all")
    return image


@functools.cache
def _open_heif() -> None:
    """Apple's photos, where the package pillow-heif is installed."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()


def decoding(path: Path, decode: Callable[[], Any]) -> Any:
    try:
        return decode()
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"cannot read image {path}: {_not_an_image(path)}") from error
    except Exception as error:  # Pillow's readers let anything escape: struct.error, SyntaxError, KeyError …
        raise ImageError(f"cannot read image {path}: {reason(error)}") from error


def _not_an_image(path: Path) -> str:
    return "the file is empty" if path.stat().st_size == 0 else "its content is of no image format known here"


def unpacking(image: Image.Image, per_pixel: int, more: int = 0) -> AbstractContextManager[None]:
    """While the pixels of an opened image are read, so many bytes for each, within `decoding`."""
    pixels = image.width * image.height
    return claimed(pixels * per_pixel + more, f"{image.width:,} x {image.height:,} px", ImageError)


def _decode(image: Image.Image, longest: int | None, max_pixels: int) -> tuple[np.ndarray, Size]:
    orientation = _orientation(image)
    size = _upright_size(image, orientation)
    if longest is None:
        rgb = _to_rgb(image)
    else:
        # A TIFF is turned while it is read, everything else below, when it is smaller.
        as_read = size if image.format == "TIFF" else (image.height, image.width)
        rgb = _resized_rgb(image, _fit(as_read, longest), max_pixels)
    if image.format != "TIFF" and orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    return np.array(rgb), size


def _resized_rgb(image: Image.Image, size: tuple[int, int], max_pixels: int) -> Image.Image:
    """Resized to (width, height). A large JPEG is decoded at 1/2, 1/4 or 1/8, but to no less than twice that size.

    (8000 x 6000 px to 1000: 21 MB and 0.3 s instead of 370 MB and 0.8 s; grey values differ by 0.7 on average.)
    """
    width, height = size
    if width * height > max_pixels:
        raise ValueError(f"{width:,} x {height:,} px after resizing, the limit is {max_pixels:,} in all")
    whole = image.width * image.height
    drafted = image.draft(None, (2 * width, 2 * height))
    return _to_rgb(image, whole).resize(size, Image.Resampling.BICUBIC, box=drafted[1] if drafted else None)


def _fit(size: Size, longest: int) -> tuple[int, int]:
    """(width, height) whose longer side is exactly `longest`."""
    height, width = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def _upright_size(image: Image.Image, orientation: int) -> Size:
    width, height = image.size
    if image.format == "TIFF":  # whether its size is the turned one depends on Pillow's version
        width, height = image.tag_v2[256], image.tag_v2[257]  # type: ignore[attr-defined]
    return (width, height) if orientation in _SIDES_SWAPPED else (height, width)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8, from the header; 1 where the tag is missing or the EXIF block is damaged."""
    try:
        # The base method: that of PNG files would decode the whole image to look behind it.
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # as above, anything; a photo whose EXIF block alone is damaged is a good photo
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _to_rgb(image: Image.Image, whole: int | None = None) -> Image.Image:
    """whole: the pixels of a JPEG that is read smaller: the reader of a progressive one holds what they are made of."""
    coefficients = 6 * (whole or image.width * image.height) if image.info.get("progressive") else 0
    with unpacking(image, _BYTES_PER_PIXEL.get(image.mode, _MOST_BYTES_PER_PIXEL), coefficients):
        return _rgb(image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bit(np.asarray(image), image.format)).convert("RGB")
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


def _to_8_bit(values: np.ndarray, format: str | None) -> np.ndarray:
    """Grey values of more than 8 bits -> [h, w] uint8.

    16-bit: / 257. 32-bit integers and floats do not say their range; it is taken to be the smallest of
    1 (floats), 255, 65535 that holds the largest value, else the largest value itself.
    """
    if values.dtype.itemsize == 2 or format in ("PNG", "PPM"):
        top = 65535.0
    else:
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        largest = float(values.max())
        ranges = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        top = next((top for top in ranges if largest <= top), largest)
    scaled = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _STRIP):
        strip = values[start : start + _STRIP].astype(np.float32) * np.float32(255 / top)
        scaled[start : start + _STRIP] = np.clip(np.rint(strip), 0, 255)
    return scaled

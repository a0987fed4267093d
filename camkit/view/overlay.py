"""What a store says about a photo, laid over it: heat maps, signed scores, masks.

Every function takes the photo at `OVERSAMPLING` times the size of its tile, with values of that same size, and gives
the tile: lines and edges come out smooth, names are written last and sharp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw
from scipy import ndimage

from camkit.view.colours import class_colour, heat_table, signed_table
from camkit.view.text import shortened, text_width, write

OVERSAMPLING = 2

_GREYED = 0.65
_OPACITY = 0.8
_MASK_OPACITY, _HATCH_OPACITY = 128, 153
_WHITE = (255, 255, 255)
_DARK = (20, 20, 20)
_HATCH = ((225, 225, 225), (150, 150, 150))
_TILE_OF_SMALLEST_TEXT = 240
NOTHING_SEEN = "nothing seen"
"""On a map that is 0 everywhere."""

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """A box in a photo, in shares of its height and width, and what is written in its outer corner."""

    top: float
    left: float
    bottom: float
    right: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Sizes that grow with the tile."""

    text: int
    line: int

    @classmethod
    def of(cls, photo: np.ndarray) -> _Scale:
        growth = (max(photo.shape[:2]) / OVERSAMPLING / _TILE_OF_SMALLEST_TEXT) ** 0.6
        return cls(max(9, round(13 * growth)), max(1, round(growth)))


def tile_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(height, width) of the tile of a photo (H, W)."""
    height, width = (max(1, round(side * OVERSAMPLING * longest / max(size))) for side in size)
    return -(-height // OVERSAMPLING), -(-width // OVERSAMPLING)


def photo_tile(photo: np.ndarray) -> Image.Image:
    """The photo itself: [H, W, 3] uint8."""
    return _reduced(Image.fromarray(photo))


def empty_tile(photo: np.ndarray, text: str) -> Image.Image:
    """A photo on which there is nothing to show, and why."""
    tile = _reduced(_greyed(photo))
    _write_corner(tile, text, "", _Scale.of(photo))
    return tile


def heat_tile(
    photo: np.ndarray,
    values: np.ndarray,
    name: str,
    threshold: float | None = None,
    frames: Sequence[Frame] = (),
) -> Image.Image:
    """The map of one class, values [H, W] in [0, 1], with a line around what lies above the threshold, and frames."""
    picture = _tinted(_greyed(photo), heat_table()[_as_bytes(values)], values)
    scale, facts = _Scale.of(photo), f"max {values.max():.2f}" if values.any() else NOTHING_SEEN
    if threshold is not None and values.any():
        _draw_line(picture, values > np.float32(threshold), scale)
        facts += f", line at {threshold:.2f}"
    tile = _reduced(picture)
    _draw_frames(tile, frames, scale)
    _write_corner(tile, name, facts, scale)
    return tile


def signed_tile(photo: np.ndarray, values: np.ndarray, name: str) -> Image.Image:
    """Signed scores [H, W] of one class: orange above zero, blue below, the photo where they are near it."""
    share = values / max(float(np.abs(values).max()), 1e-6)
    tile = _reduced(_tinted(_greyed(photo), signed_table()[_as_bytes((share + 1) / 2)], np.abs(share)))
    facts = f"{values.min():.2f} to {values.max():.2f}" if values.any() else NOTHING_SEEN
    _write_corner(tile, name, facts, _Scale.of(photo))
    return tile


def classes_tile(
    photo: np.ndarray,
    maps: np.ndarray,
    classes: Sequence[int],
    names: Sequence[str],
    threshold: float | None = None,
) -> Image.Image:
    """Maps [C, H, W] of several classes (indices into `names`): the colour of the largest, the stronger its value."""
    winner, strength = maps.argmax(axis=0), maps.max(axis=0)
    colours = np.array([class_colour(index) for index in classes], np.uint8)
    picture = _tinted(_greyed(photo), colours[winner], strength)
    scale = _Scale.of(photo)
    if threshold is not None:
        inside = np.where(strength > np.float32(threshold), winner + 1, 0)
        picture.paste(Image.fromarray(colours[winner]), mask=_outlines(inside, inside > 0, scale))
    tile = _reduced(picture)
    peaks = {
        names[index] if values.any() else f"{names[index]}: {NOTHING_SEEN}": _peak(values)
        for index, values in zip(classes, maps, strict=True)
    }
    _write_names(tile, peaks, scale)
    return tile


def mask_tile(photo: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Classes of a mask [H, W] (0 background, class + 1, beyond: undecided) in their colours, named inside."""
    values = [int(value) for value in np.unique(mask) if value]
    void = np.iinfo(mask.dtype).max
    present = [value for value in values if value <= len(names) and value < void]
    entries = max(values, default=0) + 1
    colours, opacity = np.zeros((entries, 3), np.uint8), np.zeros(entries, np.uint8)
    for value in values:
        colours[value] = class_colour(value - 1) if value in present else 0
        opacity[value] = _MASK_OPACITY if value in present else _HATCH_OPACITY
    paint = Image.fromarray(colours[mask])
    undecided = (mask > len(names)) | (mask == void)
    if len(values) > len(present):
        paint.paste(_hatch(mask.shape), mask=Image.fromarray(_as_mask(undecided)))
    scale = _Scale.of(photo)
    picture = Image.composite(paint, _greyed(photo), Image.fromarray(opacity[mask]))
    picture.paste(paint, mask=_outlines(mask, (mask > 0) & ~undecided, scale))
    tile = _reduced(picture)
    small = mask[::OVERSAMPLING, ::OVERSAMPLING]
    _write_names(tile, {names[value - 1]: _inner_point(small == value) for value in present}, scale)
    return tile


def nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask [H, W] at another size; every pixel takes the value under its centre."""
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * (old / new)).astype(np.intp), old - 1)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


def _greyed(photo: np.ndarray) -> Image.Image:
    picture = Image.fromarray(photo)
    return Image.blend(picture, picture.convert("L").convert("RGB"), _GREYED)


def _tinted(picture: Image.Image, colours: np.ndarray, strength: np.ndarray) -> Image.Image:
    """Covered with colours [H, W, 3] the more, the larger strength [H, W] in [0, 1] is: zero shows the photo."""
    opacity = Image.fromarray(_as_bytes(_OPACITY * np.clip(strength, 0, 1) ** 0.8))
    return Image.composite(Image.fromarray(colours), picture, opacity)


def _as_bytes(values: np.ndarray) -> np.ndarray:
    """0 … 1 → 0 … 255 uint8."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _reduced(picture: Image.Image) -> Image.Image:
    return picture.reduce(OVERSAMPLING)


def _draw_line(picture: Image.Image, inside: np.ndarray, scale: _Scale) -> None:
    """White, with a dark rim, along the border of a region [H, W] of bools."""
    border = _edges(inside) & inside
    picture.paste(_DARK, mask=_widened(border, scale.line + 1))
    picture.paste(_WHITE, mask=_widened(border, scale.line))


def _draw_frames(tile: Image.Image, frames: Sequence[Frame], scale: _Scale) -> None:
    """Thin frames, each in a colour of its own; what is written stands where no other frame of a split begins."""
    draw = ImageDraw.Draw(tile)
    small = max(9, scale.text - 2)
    for number, frame in enumerate(frames):
        colour = class_colour(number)
        left, right = frame.left * tile.width, frame.right * tile.width - 1
        top, bottom = frame.top * tile.height, frame.bottom * tile.height - 1
        draw.rectangle((left, top, right, bottom), outline=colour, width=scale.line)
        low, late = frame.bottom > 1 - frame.top, frame.right > 1 - frame.left
        at = (right - 4 if late else left + 4, bottom - small - 8 if low else top + small + 10)
        anchor = ("r" if late else "l") + ("d" if low else "a")
        write(draw, at, frame.text, size=small, anchor=anchor, colour="#ffffff", outlined=True)


def _edges(labels: np.ndarray) -> np.ndarray:
    """[H, W] bools: pixels beside one of another label."""
    edge = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def _widened(line: np.ndarray, reach: int) -> Image.Image:
    """A mask of all within `reach` pixels of a line [H, W] of bools."""
    wide = line
    for _ in range(reach):  # ten times faster than Pillow's MaxFilter
        rows = wide.copy()
        rows[:, 1:] |= wide[:, :-1]
        rows[:, :-1] |= wide[:, 1:]
        wide = rows.copy()
        wide[1:] |= rows[:-1]
        wide[:-1] |= rows[1:]
    return Image.fromarray(_as_mask(wide))


def _outlines(labels: np.ndarray, where: np.ndarray, scale: _Scale) -> Image.Image:
    """A mask of the borders of all labels, on the side that is in `where` [H, W]."""
    return ImageChops.multiply(_widened(_edges(labels), scale.line), Image.fromarray(_as_mask(where)))


def _as_mask(where: np.ndarray) -> np.ndarray:
    """[H, W] bools → 0 and 255 uint8."""
    return where.view(np.uint8) * np.uint8(255)


@lru_cache(maxsize=8)
def _hatch(shape: tuple[int, ...]) -> Image.Image:
    """[H, W, 3] uint8: diagonal stripes."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return Image.fromarray(np.array(_HATCH, np.uint8)[((rows + columns) // (3 * OVERSAMPLING)) % 2])


def _peak(values: np.ndarray) -> Place:
    """(x, y) in the tile of the largest value."""
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return float(column) / OVERSAMPLING, float(row) / OVERSAMPLING


def _inner_point(region: np.ndarray) -> Place:
    """(x, y) of a point farthest from the border of the region and the picture; of several, the middle one."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    deepest = np.argwhere(depth >= depth.max() - 1)
    row, column = deepest[np.linalg.norm(deepest - deepest.mean(axis=0), axis=1).argmin()]
    return float(column), float(row)


def _write_corner(tile: Image.Image, name: str, facts: str, scale: _Scale) -> None:
    """The name of the class at the top left, figures at the bottom left."""
    draw = ImageDraw.Draw(tile)
    room = tile.width - 12
    write(draw, (6, 4), shortened(name, room, scale.text), size=scale.text, colour="#ffffff", outlined=True)
    small = max(9, scale.text - 2)
    at = (6, tile.height - 4)
    write(draw, at, shortened(facts, room, small), size=small, anchor="ld", colour="#ffffff", outlined=True)


def _write_names(tile: Image.Image, places: Mapping[str, Place], scale: _Scale) -> None:
    """Names centred at their places, moved into the picture and off each other."""
    draw = ImageDraw.Draw(tile)
    height = scale.text + 4
    taken: list[tuple[float, float, float]] = []  # left, right, middle
    for name, wished in places.items():
        text = shortened(name, tile.width - 8, scale.text)
        half = text_width(text, scale.text) / 2 + 3
        x = min(max(wished[0], half + 1), tile.width - half - 1)
        y = _free_height(wished[1], x - half, x + half, height, tile.height, taken)
        taken.append((x - half, x + half, y))
        write(draw, (x, y), text, size=scale.text, anchor="mm", colour="#ffffff", outlined=True)


def _free_height(
    y: float, left: float, right: float, height: int, limit: int, taken: Sequence[tuple[float, float, float]]
) -> float:
    """The middle nearest to y at which a line of text overlaps none that is taken; y itself if all is full."""
    top, bottom = height / 2, max(limit - height / 2, height / 2)
    rivals = [middle for begin, end, middle in taken if begin < right and left < end]
    wished = min(max(y, top), bottom)
    candidates = [wished, *(middle + side * height for middle in rivals for side in (-1, 1))]
    free = [
        place
        for place in candidates
        if top <= place <= bottom and all(abs(place - middle) >= height for middle in rivals)
    ]
    return min(free, key=lambda place: abs(place - wished), default=wished)

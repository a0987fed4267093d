"""COCO's JSON: a list of results, or instances with their images and categories.

Of objects that overlap, the one with the higher score lies on top, among equal ones the smaller; crowds lie below all
and are undecided.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from camkit.data.classes import COCO_CLASSES, COCO_IDS, ClassIndex
from camkit.data.exchange import rle
from camkit.data.exchange.source import MEMO, Ask, Found, Source, known_names, undecided
from camkit.data.images import MAX_PIXELS
from camkit.data.lists import walk, without_image_suffix
from camkit.data.reading import brief, examples, is_file, is_folder, read_text
from camkit.errors import ImageError, InputError, LabelError
from camkit.memory import check
from camkit.types import Size, no_classes

_CROSSINGS = 1 << 22
_BYTES_PER_PIXEL = 8
"""While the masks of an image's objects are drawn into one."""


class Segment(NamedTuple):
    """An annotation as it is read: `shape` is {"size", "counts"}, or a list of polygons [x0 y0 x1 y1 …]."""

    image: Any
    category: Any
    shape: Any
    crowd: bool
    score: float


class Object(NamedTuple):
    value: int
    shape: Any
    score: float


def read_coco(path: Path, ask: Ask) -> Source:
    path = _json_file(path)
    content = _parse(path)
    segments = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(segments, list) or not segments or not all(isinstance(item, Segment) for item in segments):
        raise InputError(
            f"{path} is no JSON of COCO results or instances: objects with image_id, category_id, segmentation"
        )
    head = content if isinstance(content, dict) else {}
    names, sizes = _images(head, segments, path)
    classes, values = _values(head, segments, ask, path)
    objects: dict[str, list[Object]] = {name: [] for name in names.values()}
    for segment in segments:
        if segment.image not in names:
            raise InputError(f"{path}: an annotation is of image {brief(segment.image)}, which the file does not list")
        value = undecided(len(classes)) if segment.crowd else values[segment.category]
        objects[names[segment.image]].append(Object(value, segment.shape, segment.score))
    read = partial(_found, objects=objects, sizes=sizes, count=len(classes), path=path)
    return Source("coco", "masks", classes, dict.fromkeys(sorted(objects), path), read)


def _json_file(path: Path) -> Path:
    if is_file(path):
        return path
    found = [name for name in walk(path, (".json",)) if Path(name).name != MEMO] if is_folder(path) else []
    if len(found) != 1:
        raise InputError(f"{path} holds {len(found)} JSON files; give the one of results or instances itself")
    return path / found[0]


def _parse(path: Path) -> Any:
    try:
        return json.loads(read_text(path, InputError), object_hook=_pack)
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path} is not JSON that can be read: {error}") from error


def _pack(item: dict[str, Any]) -> Any:
    """Object hook: an annotation becomes small as soon as it is read (a year of COCO is nearly all polygons)."""
    if "image_id" not in item or "category_id" not in item or "segmentation" not in item:
        return item
    score = item.get("score")
    return Segment(
        item["image_id"] if isinstance(item["image_id"], int | str) else None,
        item["category_id"] if isinstance(item["category_id"], int) else None,
        _packed(item["segmentation"]),
        item.get("iscrowd") == 1,
        float(score) if isinstance(score, int | float) else 0.0,
    )


def _packed(shape: Any) -> Any:
    """Lists of numbers as arrays; what is something else stays, to be complained of when its image is read."""
    try:
        if isinstance(shape, list):
            return [np.asarray(polygon, np.float32) for polygon in shape]
        if isinstance(shape, dict) and isinstance(shape.get("counts"), list):
            return {"size": shape.get("size"), "counts": np.asarray(shape["counts"], np.int64)}
    except (ValueError, TypeError, OverflowError):
        pass
    return shape


def _images(head: Mapping[str, Any], segments: Sequence[Segment], path: Path) -> tuple[dict[Any, str], dict[str, Size]]:
    """image id → name, and name → size where the file says; results name images by their ids alone."""
    if "images" not in head:
        return {segment.image: str(segment.image) for segment in segments}, {}
    try:
        named = {image["id"]: without_image_suffix(image["file_name"]) for image in head["images"]}
        sizes = {
            named[image["id"]]: (int(image["height"]), int(image["width"]))
            for image in head["images"]
            if "height" in image and "width" in image
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} has images without id or file_name: {type(error).__name__}: {error}") from error
    twice = [name for name, count in Counter(named.values()).items() if count > 1]
    if twice:
        raise InputError(f"{path} names {len(twice)} images more than once: {examples(twice)}")
    return named, sizes


def _values(
    head: Mapping[str, Any], segments: Sequence[Segment], ask: Ask, path: Path
) -> tuple[tuple[str, ...], dict[Any, int]]:
    """The classes, and category id → what stands for it in a mask; LabelError for a category that is no class."""
    categories, known = _categories(head, path), known_names(ask, path)
    used = {segment.category for segment in segments}
    if categories:
        classes = known or tuple(categories.values())
        index = ClassIndex(classes)
        found = {id: index.find(name) for id, name in categories.items()}
    elif known is None:
        raise LabelError(f"{path} does not name its categories; give --classes voc, coco or a file")
    else:
        classes = known
        ids = COCO_IDS if classes == COCO_CLASSES else range(1, len(classes) + 1)
        found = {id: place for place, id in enumerate(ids)}
    strange = [id for id in used if found.get(id) is None]
    if strange:
        named = examples([f"{id} ({categories[id]})" if id in categories else str(id) for id in strange])
        raise LabelError(
            f"{path} has {len(strange)} categories that are none of the {len(classes)} classes: {named}\n"
            "give --classes the names of the classes: voc, coco or a file"
        )
    return classes, {id: place + 1 for id, place in found.items() if place is not None}


def _categories(head: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Names by category id, ascending."""
    try:
        named = {int(category["id"]): str(category["name"]) for category in head.get("categories", [])}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} has categories without id or name: {type(error).__name__}: {error}") from error
    return dict(sorted(named.items()))


def _found(
    id: str, *, objects: Mapping[str, Sequence[Object]], sizes: Mapping[str, Size], count: int, path: Path
) -> Found:
    try:
        size = _size(objects[id], sizes.get(id))
        check(_BYTES_PER_PIXEL * size[0] * size[1], f"{path}, image {brief(id)}", ImageError)
        areas = [int(draw(item.shape, size).sum()) for item in objects[id]]
        mask = np.zeros(size, np.uint8 if count <= 254 else np.uint16)
        crowd = undecided(count)
        order = sorted(zip(objects[id], areas, strict=True), key=lambda it: (it[0].value != crowd, it[0].score, -it[1]))
        for item, _ in order:  # drawn again: all at once could be more than fits into memory
            mask[draw(item.shape, size)] = item.value
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ImageError(f"{path}, image {brief(id)}: {brief(error)}") from error
    return Found(mask, no_classes(), size)


def _size(objects: Sequence[Object], known: Size | None) -> Size:
    """(H, W), the same in all that speak of it."""
    said = {tuple(item.shape["size"]) for item in objects if isinstance(item.shape, dict)}
    if known is not None:
        said.add(known)
    if len(said) != 1:
        raise ValueError(f"its segments are of {len(said)} sizes" if said else "nothing says how large it is")
    height, width = said.pop()
    if (
        not isinstance(height, int)
        or not isinstance(width, int)
        or min(height, width) < 1
        or height * width > MAX_PIXELS
    ):
        raise ValueError(f"its size is {height} x {width}")
    return height, width


def draw(shape: Any, size: Size) -> np.ndarray:
    """[H, W] bool, of run lengths, compressed or not, or of polygons; ValueError for what is neither."""
    if isinstance(shape, dict):
        counts = shape.get("counts")
        if isinstance(counts, str):
            counts = rle.from_text(counts)
        if not isinstance(counts, np.ndarray) or counts.ndim != 1:
            raise ValueError("a segment's counts are neither text nor numbers")
        return rle.decode(counts, size)
    if not isinstance(shape, list) or not shape:
        raise ValueError("a segment is neither run lengths nor polygons")
    return _rasterise(shape, size)


def _rasterise(polygons: Sequence[Any], size: Size) -> np.ndarray:
    """[H, W] bool: the pixels whose centres lie in one of the polygons."""
    inside = np.zeros(size, bool)
    for polygon in polygons:
        if not isinstance(polygon, np.ndarray) or polygon.ndim != 1 or polygon.size < 6 or polygon.size % 2:
            raise ValueError("a polygon is not a list of three or more points x, y")
        if not np.isfinite(polygon).all():
            raise ValueError("a polygon has points that are not finite")
        inside |= fill(polygon.reshape(-1, 2).astype(np.float64), size)
    return inside


def fill(points: np.ndarray, size: Size) -> np.ndarray:
    """[H, W] bool, by counting in every row the edges of points [n, 2] that are crossed up to each pixel's centre."""
    height, width = size
    crossed = np.zeros((height, width + 1), bool)
    centres = np.arange(height) + 0.5
    after = np.roll(points, -1, axis=0)
    step = max(_CROSSINGS // height, 1)
    for start in range(0, len(points), step):
        (x, y), (x_after, y_after) = points[start : start + step].T, after[start : start + step].T
        edges, rows = np.nonzero((y[:, None] <= centres) != (y_after[:, None] <= centres))
        slope = (x_after[edges] - x[edges]) / (y_after[edges] - y[edges])
        crossing = x[edges] + (centres[rows] - y[edges]) * slope
        columns = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.intp)
        np.logical_xor.at(crossed, (rows, columns), True)
    inside: np.ndarray = np.logical_xor.accumulate(crossed[:, :width], axis=1)
    return inside

"""One reader per label format. Each yields rows: the name a file gives an image, and its classes as it writes them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from camkit.data.classes import ClassIndex
from camkit.data.coco import drop_polygons, is_coco, parse_coco
from camkit.data.lists import IMAGE_SUFFIXES, walk
from camkit.data.masks import find_masks, read_mask
from camkit.data.reading import brief, is_file, read_bytes, split_lines
from camkit.data.unpickle import load_npy
from camkit.errors import LabelError

Row = tuple[str | int, tuple[str | int, ...]]
"""(image as the file names it, class names or class numbers)"""

_MAX_XML_BYTES = 16 << 20
_MAX_XML_DEPTH = 32
_MAX_XML_NAME = 10_000
_NAME_OF_OBJECT = ["object", "name"]
_ID_HEADERS = ("id", "ids", "image", "imageid", "img", "imgid", "file", "filename", "name", "path", "filepath")
_ID_KEYS = ("id", "image", "image_id", "file_name", "filename", "path")
_CLASS_KEYS = ("classes", "labels", "class", "label")


def xml_rows(folder: Path, ids: Iterable[str]) -> Iterator[Row]:
    """VOC annotations; only the files of these ids are opened. Objects marked difficult count."""
    for id in ids:
        for name in dict.fromkeys((id, id.rpartition("/")[2])):
            path = folder / f"{name}.xml"
            if is_file(path):
                yield id, tuple(dict.fromkeys(xml_object_names(path)))
                break


def xml_object_names(path: Path) -> list[str]:
    """The texts of annotation/object/name. A document type declaration is refused: entities could fill the memory."""
    names: list[str] = []
    inside: list[str] = []

    def refuse(*_: object) -> None:
        raise LabelError(f"{path} declares a document type, which annotations have no use for: refused")

    def start(tag: str, _: object) -> None:
        if len(inside) == _MAX_XML_DEPTH:
            raise LabelError(f"{path} has elements more than {_MAX_XML_DEPTH} deep, which annotations have no use for")
        inside.append(tag)
        if inside[1:] == _NAME_OF_OBJECT:
            names.append("")

    def end(_: str) -> None:
        inside.pop()

    def text(characters: str) -> None:
        if inside[1:] == _NAME_OF_OBJECT:
            names[-1] += characters
            if len(names[-1]) > _MAX_XML_NAME:
                raise LabelError(f"{path} has an object whose name is longer than {_MAX_XML_NAME:,} characters")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    try:
        parser.Parse(read_bytes(path, LabelError, _MAX_XML_BYTES), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise LabelError(f"{path} is not XML: {error}") from error
    return [name.strip() for name in names if name.strip()]


def class_folder_rows(folder: Path) -> Iterator[Row]:
    """<folder>/<class>/<image>: the path below the folder, and the class."""
    for path in walk(folder, IMAGE_SUFFIXES):
        class_name, slash, _ = path.partition("/")
        if slash:
            yield path, (class_name,)


def mask_rows(folder: Path, match: Callable[[str | int], str | None], class_count: int) -> Iterator[Row]:
    """Classes of the pixels; only the masks of wanted ids are opened. Numbers are 0-based classes."""
    for mask_id, path in find_masks(folder).items():
        if match(mask_id) is not None:
            mask = read_mask(path)
            values = np.flatnonzero(np.bincount(mask.ravel(), minlength=1))
            held = [int(value) for value in values]
            yield mask_id, classes_of_values(held, class_count, str(path), bits=8 * mask.dtype.itemsize)


def classes_of_values(values: Sequence[int], class_count: int, where: str, bits: int = 0) -> tuple[int, ...]:
    """Mask values -> 0-based classes: 0 is background, 255 (65535 beyond 254 classes in 16 bits) undecided."""
    undecided = 255 if class_count <= 254 or bits == 8 else 65535
    found = [value - 1 for value in values if value not in (0, undecided)]
    for value in found:
        if not 0 <= value < class_count:
            raise LabelError(f"{where} holds the mask value {brief(value + 1)}, but there are {class_count} classes")
    return tuple(found)


def npy_rows(path: Path, class_count: int) -> Iterator[Row]:
    """`cls_labels.npy` of the PSA and IRN programs: a dict image -> multi-hot vector."""
    content = load_npy(path)
    if not isinstance(content, dict):
        raise LabelError(f"{path} holds an array, not a dict image -> multi-hot vector: its rows name no images")
    for key, value in content.items():
        if not isinstance(key, str | int | np.integer):
            raise LabelError(f"{path}: the key {brief(key)} should be the name or number of an image")
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.size != class_count:
            size = value.size if isinstance(value, np.ndarray) else type(value).__name__
            raise LabelError(
                f"{path}: {brief(key)} should map to a multi-hot vector of {class_count} classes; found {size}"
            )
        name = key if isinstance(key, str) else int(key)
        yield name, tuple(int(index) for index in np.flatnonzero(value.ravel() > 0))


def table_rows(text: str, path: Path, classes: ClassIndex | None) -> Iterator[Row]:
    """CSV or TSV `id,class,class …`, with or without header; or a header of class names over columns of 0 and 1."""
    delimiter = next((mark for mark in "\t,;" if mark in text.split("\n", 1)[0]), ",")
    lines = csv.reader(split_lines(text), delimiter=delimiter)
    columns: list[str] | None = None
    try:
        for number, cells in enumerate(lines):
            name, tokens = cells[0] if cells else "", [cell.strip() for cell in cells[1:]]
            if not name.strip() or name.startswith("#"):
                continue
            if number == 0 and re.sub(r"[\s_-]", "", name).lower() in _ID_HEADERS:
                known = classes is not None and all(classes.find(token) is not None for token in tokens)
                columns = tokens if known else None
                continue
            if columns and len(tokens) == len(columns) and all(token in ("0", "1") for token in tokens):
                yield name, tuple(column for column, token in zip(columns, tokens, strict=True) if token == "1")
                continue
            yield name, tuple(token for token in tokens if token)
    except csv.Error as error:
        raise LabelError(f"{path}, line {lines.line_num}: {error}") from error


def json_rows(text: str, path: Path) -> Iterator[Row]:
    """COCO instances; an object id -> classes; a list of entries, or one entry a line."""
    content = _parse_json(text, path)
    if is_coco(content):
        coco = parse_coco(content, str(path))
        return (
            (coco.files[image], tuple(coco.categories[category] for category in sorted(present)))
            for image, present in coco.present.items()
        )
    if isinstance(content, dict) and not _is_entry(content):
        return ((id, _tokens(classes, path, id)) for id, classes in content.items())
    entries = content if isinstance(content, list) and not _is_flat(content) else [content]
    return (_row_of_entry(entry, path) for entry in entries)


def coco_categories(text: str, path: Path) -> list[str] | None:
    """Category names in the order of their ids, if this is COCO instances JSON."""
    content = _parse_json(text, path)
    return [*parse_coco(content, str(path)).categories.values()] if is_coco(content) else None


def _parse_json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_hook=drop_polygons)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _parse_json_lines(text, path)
        raise LabelError(f"{path} is not JSON: {error}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise LabelError(f"{path} is not JSON that can be read: {type(error).__name__}: {error}") from error


def _parse_json_lines(text: str, path: Path) -> list[Any]:
    entries = []
    for number, line in enumerate(split_lines(text), start=1):
        if not line.strip():
            continue
        try:
            entries.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise LabelError(f"{path}, line {number} is not JSON: {error}") from error
    return entries


def _is_entry(content: Mapping[str, Any]) -> bool:
    return any(key in content for key in _ID_KEYS) and any(key in content for key in _CLASS_KEYS)


def _is_flat(content: list[Any]) -> bool:
    """["id", "cat", "dog"], the only entry of its file."""
    return bool(content) and not any(isinstance(item, list | dict) for item in content)


def _row_of_entry(entry: Any, path: Path) -> Row:
    if isinstance(entry, dict) and _is_entry(entry):
        name = next(entry[key] for key in _ID_KEYS if key in entry)
        classes = next(entry[key] for key in _CLASS_KEYS if key in entry)
    elif isinstance(entry, list) and entry:
        name, *classes = entry
    else:
        raise LabelError(f'{path}: entries are {{"id": "…", "classes": […]}} or ["id", "class" …]')
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise LabelError(f"{path}: an id is a {type(name).__name__}, not text")
    return name, _tokens(classes, path, str(name))


def _tokens(classes: Any, path: Path, id: str) -> tuple[str | int, ...]:
    items = classes if isinstance(classes, list) else [classes]
    if any(isinstance(item, bool) or not isinstance(item, str | int) for item in items):
        raise LabelError(f"{path}: the classes of '{brief(id)}' should be a list of names or of numbers")
    return tuple(items)

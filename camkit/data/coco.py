"""COCO instances JSON as image-level labels. Its annotations are read without keeping polygons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from camkit.data.classes import COCO_CLASSES, COCO_IDS
from camkit.errors import LabelError


class Annotation(NamedTuple):
    image: int | str
    category: int


@dataclass(frozen=True)
class CocoLabels:
    """files: image id -> file name; categories: category id -> name, ascending; present: image id -> category ids."""

    files: Mapping[int | str, str]
    categories: Mapping[int, str]
    present: Mapping[int | str, set[int]]


def drop_polygons(item: dict[str, Any]) -> Any:
    """Object hook for `json.loads`: an annotation becomes two numbers as soon as it is read.

    A year of COCO is 0.5 GB of text, nearly all polygons; as Python objects it would be 5 GB.
    """
    if "image_id" in item and "category_id" in item:
        return Annotation(item["image_id"], item["category_id"])
    return item


def is_coco(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("annotations"), list) and "images" in content


def parse_coco(content: dict[str, Any], where: str) -> CocoLabels:
    """Checks the parts used of parsed instances JSON (read with `drop_polygons`)."""
    try:
        files = {_key(image["id"]): _text(image["file_name"]) for image in content["images"]}
        named = {_number(category["id"]): _text(category["name"]) for category in content.get("categories", [])}
        present: dict[int | str, set[int]] = {image: set() for image in files}
        for annotation in content["annotations"]:
            image, category = _key(annotation.image), _number(annotation.category)
            if image in present:
                present[image].add(category)
    except (KeyError, TypeError, AttributeError) as error:
        raise LabelError(f"{where} is not COCO instances JSON: {type(error).__name__}: {error}") from error
    used = set().union(*present.values())
    categories = named or dict(zip(COCO_IDS, COCO_CLASSES, strict=True))
    if not used <= categories.keys():
        raise LabelError(f"{where} uses category {min(used - categories.keys())}, which it does not name")
    return CocoLabels(files, dict(sorted(categories.items())), present)


def _key(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"an image id is a {type(value).__name__}")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a category id is a {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is a {type(value).__name__}")
    return value

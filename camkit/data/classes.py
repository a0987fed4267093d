"""Class names: the two standard sets, files of names, and finding the class a name means."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camkit.data.reading import examples, exists, read_text, split_lines
from camkit.errors import LabelError

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

_COCO_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = tuple(id for id in range(1, 91) if id not in _COCO_UNUSED_IDS)

_SAME_AS = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "tv": "tvmonitor"}
_BACKGROUND = ("background", "_background_")
MOST_IN_A_MASK = 65_533
_INDEX_COLUMN = re.compile(r"(\d+)(?:\s*[,;:\t]\s*|\s+)(\S.*)")


class ClassIndex:
    """name -> class index. Case, spaces, `_` and `-` do not matter; VOC's and COCO's names for one thing are one."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._exact = {name: index for index, name in enumerate(self.classes)}
        self._alike: dict[str, int] = {}
        for index, name in enumerate(self.classes):
            self._alike.setdefault(_canonical(name), index)

    def find(self, name: str) -> int | None:
        index = self._exact.get(name)
        return index if index is not None else self._alike.get(_canonical(name))

    def nearest(self, name: str) -> str | None:
        near = difflib.get_close_matches(_canonical(name[:100]), self._alike, n=1)
        return self.classes[self._alike[near[0]]] if near else None


def read_classes(spec: str) -> tuple[str, ...]:
    """`voc`, `coco`, or a file: a name a line (perhaps after an index that counts up), or JSON: names, {index: name}.

    A first line `background` is dropped: classes are those of the foreground.
    """
    if spec in ("voc", "coco"):
        return VOC_CLASSES if spec == "voc" else COCO_CLASSES
    path = Path(spec)
    if not exists(path):
        raise LabelError(f"--classes {spec} is neither voc, coco nor a file")
    text = read_text(path, LabelError)
    names = _names_in_json(text, path) if text.lstrip()[:1] in ("[", "{") else _names_in_lines(text)
    if names and is_background(names[0]):
        names = names[1:]
    if not names:
        raise LabelError(f"{path} names no class: it should hold one name a line")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise LabelError(f"{path} names {len(twice)} classes more than once: {examples(twice)}")
    return tuple(names)


def read_numbers(spec: str) -> dict[int, str]:
    """What the numbers in masks mean: `voc`, `coco`, or a file of lines `number name`, of names alone, or JSON.

    Names alone count from 1, from 0 if the first is background. Numbers need not count up.
    """
    if spec not in ("voc", "coco") and exists(Path(spec)):
        text = read_text(Path(spec), LabelError)
        lines = [line.strip() for line in split_lines(text) if line.strip()]
        columns = [_INDEX_COLUMN.fullmatch(line) for line in lines]
        if lines and all(columns):
            return _checked_numbers([(int(column[1][:9]), column[2].strip()) for column in columns if column], spec)
        if text.lstrip()[:1] == "{":
            return _checked_numbers(_numbered_in_json(text, Path(spec)), spec)
    return dict(enumerate(read_classes(spec), start=1))


def _checked_numbers(named: Sequence[tuple[int, str]], spec: str) -> dict[int, str]:
    numbers = [number for number, _ in named]
    if len(set(numbers)) < len(numbers) or max(numbers) > MOST_IN_A_MASK:
        raise LabelError(f"{spec}: give each number once, from 0 to {MOST_IN_A_MASK:,}")
    return dict(named)


def _numbered_in_json(text: str, path: Path) -> list[tuple[int, str]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path} is not JSON: {error}") from error
    if not content or not all(key.isascii() and key.isdigit() and len(key) < 9 for key in content):
        raise LabelError(f"{path} should hold a JSON object number -> name")
    if not all(isinstance(name, str) and name.strip() for name in content.values()):
        raise LabelError(f"{path} should hold a JSON object number -> name")
    return [(int(key), name.strip()) for key, name in content.items()]


def default_classes(count: int) -> tuple[str, ...]:
    """Names for a classifier of so many classes that does not name them."""
    if count == len(VOC_CLASSES):
        return VOC_CLASSES
    if count == len(COCO_CLASSES):
        return COCO_CLASSES
    return tuple(f"class_{index}" for index in range(count))


def is_background(name: str | int) -> bool:
    return isinstance(name, str) and name.strip().lower() in _BACKGROUND


def _names_in_lines(text: str) -> list[str]:
    lines = [line.strip() for line in split_lines(text) if line.strip()]
    columns = [_INDEX_COLUMN.fullmatch(line) for line in lines]
    indexed = [(int(column[1][:9]), column[2].strip()) for column in columns if column]
    start = indexed[0][0] if indexed else 0
    counts_up = [index for index, _ in indexed] == [*range(start, start + len(lines))]
    return [name for _, name in indexed] if counts_up and start in (0, 1) else lines


def _names_in_json(text: str, path: Path) -> list[str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path} is not JSON: {error}") from error
    names = _in_order_of_index(content, path) if isinstance(content, dict) else content
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise LabelError(f"{path} should hold a JSON list of class names, or an object index -> name")
    return [name.strip() for name in names]


def _in_order_of_index(content: dict[str, Any], path: Path) -> list[Any]:
    if not all(key.isascii() and key.isdigit() and len(key) < 9 for key in content):
        raise LabelError(f"{path} should hold a JSON object index -> name")
    by_index = {int(key): name for key, name in content.items()}
    first = min(by_index, default=0)
    if first > 1 or sorted(by_index) != [*range(first, first + len(content))]:
        raise LabelError(f"{path}: the indices of the classes should count up from 0 or 1 without a gap")
    return [by_index[index] for index in sorted(by_index)]


def _canonical(name: str) -> str:
    plain = re.sub(r"[\s_-]+", "", name).casefold()
    return _SAME_AS.get(plain, plain)

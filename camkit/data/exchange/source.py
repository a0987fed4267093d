"""What the reader of a format gives: which images there are, and how each is read.

Trouble with one file is an ImageError and fails that image. Classes that do not fit are a LabelError and end the run:
where one is wrong, the names of all the others are wrong too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from camkit.data.classes import VOC_CLASSES
from camkit.data.lists import FilesById, files_by_id, index_files
from camkit.data.reading import brief, is_file, is_folder
from camkit.errors import ImageError, InputError, LabelError
from camkit.types import Size

MEMO = "camkit.json"
TOLERANCE = 1e-3
SUM_TOLERANCE = 2e-2


@dataclass(frozen=True)
class Ask:
    """What the user says of the files; None where they are to speak for themselves.

    classes  names of the classes
    kind     maps or probs
    array    which of the arrays a file may hold
    list     a list of images; of images and masks in two columns, it names the masks
    images   where the photos are
    """

    classes: tuple[str, ...] | None = None
    kind: str | None = None
    array: str | None = None
    list: Path | None = None
    images: Path | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What there is of one image.

    values   maps [C, h, w], probs [1 + C, h, w] with background first, masks [H, W]
    classes  [C], ascending; as many as the file names, known or not
    size     (H, W) of the photo; None where the file does not say
    """

    values: np.ndarray
    classes: np.ndarray
    size: Size | None


@dataclass(frozen=True, eq=False)
class Source:
    """The images of a folder or file. `photos` are those that the format itself names, by the same ids."""

    format: str
    kind: str
    classes: tuple[str, ...]
    files: Mapping[str, Path]
    read: Callable[[str], Found]
    photos: Mapping[str, Path] = field(default_factory=dict)
    image_root: Path | None = None


def files_of(path: Path, suffix: str) -> FilesById:
    """The files with this suffix in a folder, or the one file."""
    if is_file(path):
        return index_files(path.parent, iter([path.name]))
    if not is_folder(path):
        raise InputError(f"there is nothing to import at {path}: it does not exist")
    files = files_by_id(path, (suffix,))
    if not files:
        raise InputError(f"nothing to import in {path}: looked for {suffix} files")
    return files


def names_for(ask: Ask, *folders: Path) -> tuple[str, ...]:
    """The classes the user names, else those that an export of camkit noted in one of the folders, else VOC's."""
    return known_names(ask, *folders) or VOC_CLASSES


def known_names(ask: Ask, *folders: Path) -> tuple[str, ...] | None:
    if ask.classes is not None:
        return ask.classes
    return next((names for folder in folders if (names := _noted(folder))), None)


def _noted(path: Path) -> tuple[str, ...] | None:
    folder = path if is_folder(path) else path.parent
    try:
        names = json.loads((folder / MEMO).read_text(encoding="utf-8"))["classes"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return tuple(names) if isinstance(names, list) and names and all(isinstance(name, str) for name in names) else None


def check_classes(found: Found, kind: str, count: int, path: Path) -> None:
    """LabelError for a class beyond the `count` that have names."""
    numbers = found.values if kind == "masks" else found.classes
    wrong = numbers[(numbers > count) & (numbers != undecided(count))] if kind == "masks" else numbers[numbers >= count]
    if not wrong.size:
        return
    what, last = ("mask value", count) if kind == "masks" else ("class", count - 1)
    raise LabelError(
        f"{path} holds the {what} {brief(int(wrong.min()))}, but the {count} classes reach to {last}\n"
        "give --classes the names of the classes: voc, coco or a file"
    )


def undecided(count: int) -> int:
    """What stands in a mask of so many classes for undecided."""
    return 255 if count <= 254 else 65_535


def stored_mask(mask: np.ndarray, count: int) -> np.ndarray:
    """[H, W] uint8 or uint16 as the store has it for so many classes: 8 and 16 bits write undecided differently."""
    if count <= 254:
        mask = np.where(mask == 65_535, 255, mask)
        return mask.astype(np.uint8) if mask.max(initial=0) <= 255 else mask
    return np.where(mask == 255, np.uint16(65_535), mask) if mask.dtype == np.uint8 else mask


def checked_values(values: np.ndarray, kind: str, clip: bool, path: Path) -> np.ndarray:
    """[P, h, w] float32 in [0, 1]; ImageError for what is no map or probability.

    clip  take what is below 0 as 0 and what is above 1 as 1; rounding errors of programs always are
    """
    if not values.size:
        return values
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ImageError(f"{path} holds values that are not finite")
    if not clip and (low < -TOLERANCE or high > 1 + TOLERANCE):
        hint = "; --clip takes what is below 0 as 0" if high <= 1 + TOLERANCE else ""
        raise ImageError(f"{path} holds values from {low:.4g} to {high:.4g}; {kind} lie in 0 … 1{hint}")
    values = np.clip(values, 0, 1) if low < 0 or high > 1 else values
    if kind == "probs" and not sums_to_one(values):
        raise ImageError(f"{path} holds probabilities that do not sum to 1")
    return values


def sums_to_one(values: np.ndarray) -> bool:
    """Of values [P, h, w]: at every pixel."""
    return bool(np.all(np.abs(values.sum(axis=0, dtype=np.float32) - 1) <= SUM_TOLERANCE))

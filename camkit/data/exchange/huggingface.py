"""Hugging Face's image folders: `train/metadata.jsonl`, which names images and masks below `train/`.

`load_dataset("imagefolder", data_dir=…)` gives them as the columns `image`, `mask` and `classes`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from camkit.data.exchange.png import found_mask
from camkit.data.exchange.source import Ask, Source, names_for, undecided
from camkit.data.lists import without_image_suffix
from camkit.data.masks import read_mask, write_mask
from camkit.data.reading import brief, examples, is_file, read_text, reason, split_lines
from camkit.data.writing import write_whole
from camkit.errors import InputError, OutputError
from camkit.types import Activation

METADATA = "metadata.jsonl"
_SPLIT, _IMAGES, _MASKS = "train", "images", "masks"
_MASK_KEYS = ("mask_file_name", "mask", "label_file_name", "annotation_file_name")


def read_huggingface(path: Path, ask: Ask) -> Source:
    """`path` is the folder with metadata.jsonl or with one split that has it, or metadata.jsonl itself."""
    metadata = path if is_file(path) else _only(find_metadata(path), path)
    root = metadata.parent
    rows = [_row(line, metadata, number) for number, line in enumerate(_lines(metadata), start=1)]
    if not rows:
        raise InputError(f"{metadata} is empty: it should name an image a line")
    folder = f"{_IMAGES}/" if all(image.startswith(f"{_IMAGES}/") for image, _ in rows) else ""
    names = {without_image_suffix(image).removeprefix(folder): (image, mask) for image, mask in rows}
    if len(names) < len(rows):
        raise InputError(f"{metadata} names {len(rows)} masks for {len(names)} images")
    classes = names_for(ask, root, root.parent)
    files = {name: root / mask for name, (_, mask) in sorted(names.items())}
    photos = {name: root / image for name, (image, _) in names.items() if is_file(root / image)}
    read = partial(found_mask, files=files, count=len(classes))
    return Source("huggingface", "masks", classes, files, read, photos, root / folder if photos else None)


def find_metadata(folder: Path) -> list[Path]:
    return [path for path in (folder / METADATA, *sorted(folder.glob(f"*/{METADATA}"))) if is_file(path)]


def _only(found: Sequence[Path], folder: Path) -> Path:
    if not found:
        raise InputError(f"there is no {METADATA} in {folder}, nor in a folder of it")
    if len(found) > 1:
        raise InputError(f"{folder} holds several splits: {examples([str(path) for path in found])}; name one of them")
    return found[0]


def _lines(metadata: Path) -> list[str]:
    return [line for line in split_lines(read_text(metadata, InputError)) if line.strip()]


def _row(line: str, metadata: Path, number: int) -> tuple[str, str]:
    """Paths of image and mask. A data set from elsewhere must not name files outside of it."""
    try:
        row = json.loads(line)
        image = row["file_name"]
        mask = next((row[key] for key in _MASK_KEYS if key in row), None)
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(f"{metadata}, line {number}: not a JSON object with file_name ({brief(error)})") from error
    return _below(image, metadata, number), _below(mask, metadata, number)


def _below(name: Any, metadata: Path, number: int) -> str:
    path = PurePosixPath(name if isinstance(name, str) else "/")
    if path.is_absolute() or ".." in path.parts:
        expected = f"file_name and {_MASK_KEYS[0]} are paths below its folder"
        raise InputError(f"{metadata}, line {number}: {expected}, not {brief(name)}")
    return str(path)


@dataclass(frozen=True)
class HuggingFaceTarget:
    """Takes masks, and copies the photos beside them."""

    classes: Sequence[str]
    photos: Mapping[str, Path]
    endings: tuple[str, ...] = (f"{_SPLIT}/{METADATA}",)
    temporary: bool = False
    _present: dict[str, list[str]] = field(default_factory=dict)

    def files(self, id: str) -> tuple[str, ...]:
        return f"{_SPLIT}/{self._image(id)}", f"{_SPLIT}/{self._mask(id)}"

    def write(self, folder: Path, activation: Activation) -> None:
        photo, mask = (folder / name for name in self.files(activation.id))
        copy_photo(self.photos[activation.id], photo)
        write_mask(mask, activation.values)
        self._present[activation.id] = self._names(activation.values)

    def finish(self, folder: Path, ids: tuple[str, ...], complete: bool) -> None:
        text = "".join(json.dumps(self._entry(id, folder), ensure_ascii=False) + "\n" for id in ids)
        write_whole(folder / self.endings[0], lambda file: file.write(text.encode()))

    def _entry(self, id: str, folder: Path) -> dict[str, Any]:
        present = self._present.get(id)
        if present is None:  # written by an earlier run
            present = self._names(read_mask(folder / self.files(id)[1]))
        return {"file_name": self._image(id), _MASK_KEYS[0]: self._mask(id), "classes": present}

    def _names(self, mask: np.ndarray) -> list[str]:
        values = np.unique(mask)
        return [self.classes[value - 1] for value in values.tolist() if value not in (0, undecided(len(self.classes)))]

    def _image(self, id: str) -> str:
        return f"{_IMAGES}/{id}{self.photos[id].suffix}"

    def _mask(self, id: str) -> str:
        return f"{_MASKS}/{id}.png"


def copy_photo(photo: Path, target: Path) -> None:
    try:
        with photo.open("rb") as source:
            write_whole(target, lambda file: shutil.copyfileobj(source, file))
    except OSError as error:
        raise OutputError(f"cannot copy {photo}: {reason(error)}") from error

"""Folders of masks as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO

from camkit.data.exchange.source import Ask, Found, Source, files_of, names_for, stored_mask
from camkit.data.masks import find_masks, read_mask, write_mask
from camkit.data.reading import is_folder
from camkit.types import Activation, no_classes


def read_png(path: Path, ask: Ask) -> Source:
    classes = names_for(ask, path)
    files = find_masks(path) if is_folder(path) else files_of(path, ".png")
    return Source("png", "masks", classes, files, partial(found_mask, files=files, count=len(classes)))


def found_mask(id: str, *, files: Mapping[str, Path], count: int) -> Found:
    mask = stored_mask(read_mask(files[id]), count)
    return Found(mask, no_classes(), (mask.shape[0], mask.shape[1]))


def write_png(file: IO[bytes], activation: Activation) -> None:
    write_mask(file, activation.values)

"""`.npz` files: arrays as IRN names them (`cam` or `maps`, `keys` or `classes`), or one named after each class."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from camkit.data.classes import ClassIndex
from camkit.data.exchange.planes import Planes, has_keys, keyed_planes, named_planes, plane_source
from camkit.data.exchange.source import Ask, Source, files_of, names_for
from camkit.data.reading import is_file, reason
from camkit.errors import ImageError
from camkit.memory import claimed
from camkit.types import Activation

_MAX_BYTES = 4 << 30
_COPIES = 4
"""Of the values, on the way to a store."""


def read_npz(path: Path, ask: Ask) -> Source:
    classes = names_for(ask, path)
    read = partial(_planes, array=ask.array, classes=ClassIndex(classes))
    return plane_source("npz", files_of(path, ".npz"), read, ask, classes)


def _planes(path: Path, array: str | None, classes: ClassIndex) -> Planes:
    content = _load(path)
    if has_keys(content):
        return keyed_planes(content, array, path)
    return named_planes({name: plane for name, plane in content.items() if name != "size"}, classes, path)


def _load(path: Path) -> Mapping[str, np.ndarray]:
    if not is_file(path):
        raise ImageError(f"cannot read {path}: it is not a file")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MAX_BYTES:
            raise ImageError(f"{path} unpacks to {size >> 20:,} MiB: it cannot be the maps of an image")
        with claimed(_COPIES * size, str(path), ImageError), np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except ImageError:
        raise
    except Exception as error:  # zipfile's, zlib's, and whatever NumPy's reader of headers raises
        raise ImageError(f"cannot read {path}: {reason(error)}") from error


def write_npz(file: IO[bytes], activation: Activation, *, kind: str) -> None:
    """Maps or probabilities as they are stored: `maps` or `probs`, `classes`, and the photo's `size`."""
    size = np.asarray(activation.size, np.int64)
    arrays: dict[str, Any] = {kind: activation.values, "classes": activation.classes, "size": size}
    np.savez_compressed(file, **arrays)

"""What psa, irn and npz have in common: planes with keys, which are classes, or background and classes + 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from camkit.data.classes import ClassIndex, is_background
from camkit.data.exchange.source import Ask, Found, Source, sums_to_one
from camkit.data.reading import brief, examples
from camkit.data.unpickle import load_npy
from camkit.errors import ImageError, LabelError
from camkit.types import Size

FULL_SIZE = ("high_res", "highres", "attn_highres", "refined_cam")
ARRAYS = ("cam", "cams", "strided_cam", "msf_cam", "maps", "probs", *FULL_SIZE)
"""In the order of preference: what was made for storing comes before its enlargement."""
KEYS = ("keys", "classes")
PROBED = 20
NO_PLANES = np.zeros((0, 1, 1), np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class Planes:
    """What one file holds, before it is decided what its keys mean.

    keys    [K] of the planes in values [P, h, w]; K is P, or one less: the background has no key, or one more: no plane
    size    (H, W) of the photo; None where the file does not say
    kind    None where it is to be found out
    """

    keys: np.ndarray
    values: np.ndarray
    size: Size | None
    kind: str | None = None


Reader = Callable[[Path], Planes]


def plane_source(format: str, files: Mapping[str, Path], read: Reader, ask: Ask, classes: tuple[str, ...]) -> Source:
    kind = ask.kind or kind_of_files(files, read)
    return Source(format, kind, classes, files, partial(_found, files=files, read=read, kind=kind))


def kind_of_files(files: Mapping[str, Path], read: Reader) -> str:
    """What the first file that tells is; ImageError if not one of the first can be read."""
    damage: ImageError | None = None
    readable = False
    for path in islice(files.values(), PROBED):
        try:
            kind = kind_of(read(path))
        except ImageError as error:
            damage = damage or error
            continue
        readable = True
        if kind is not None:
            return kind
    if damage is not None and not readable:
        raise damage
    return "maps"


def kind_of(planes: Planes) -> str | None:
    """Probabilities have a background, and sum to 1; None where there is nothing to tell by."""
    keys, values = planes.keys, planes.values
    if planes.kind is not None or not len(values):
        return planes.kind
    if len(values) == len(keys) + 1:
        return "probs"
    return "probs" if len(values) == len(keys) and 0 in keys and sums_to_one(values) else "maps"


def _found(id: str, *, files: Mapping[str, Path], read: Reader, kind: str) -> Found:
    path = files[id]
    planes = read(path)
    if planes.kind not in (None, kind):
        raise ImageError(f"{path} holds {planes.kind}, but {kind} are read here")
    keys, values = planes.keys, planes.values
    order = np.argsort(keys, kind="stable")
    if len(np.unique(keys)) < len(keys) or (keys < 0).any():
        raise ImageError(f"{path} has the keys {examples(keys.tolist(), 8)}: each class once, counted from 0")
    if kind == "maps" and len(values) == len(keys):
        return Found(values[order], keys[order], planes.size)
    if kind == "maps" and len(values) == len(keys) - 1 and keys[0] == 0:
        return Found(values[order[1:] - 1], keys[order[1:]] - 1, planes.size)
    if kind == "probs" and len(values) == len(keys) and 0 in keys:
        return Found(values[order], keys[order[1:]] - 1, planes.size)
    if kind == "probs" and len(values) == len(keys) + 1:
        return Found(np.concatenate([values[:1], values[1:][order]]), keys[order], planes.size)
    needs = "; probs have a background, of the key 0" if kind == "probs" else ""
    raise ImageError(f"{path} has {len(values)} planes for the keys {examples(keys.tolist(), 8) or 'none'}{needs}")


def load_dict(path: Path) -> dict[Any, Any]:
    """The pickled dict in a `.npy` file."""
    try:
        content = load_npy(path)
    except LabelError as error:  # as labels are read; here it is the trouble of one image
        raise ImageError(str(error)) from error
    if not isinstance(content, dict):
        what = f"an array {list(content.shape)}" if isinstance(content, np.ndarray) else f"a {type(content).__name__}"
        raise ImageError(f"{path} holds {what}, not a dict of maps: nothing says which class a plane is of")
    return content


def has_keys(content: Mapping[Any, Any]) -> bool:
    return any(name in content for name in KEYS)


def keyed_planes(content: Mapping[Any, Any], array: str | None, path: Path) -> Planes:
    """Of {"keys": [K], "cam": [P, h, w], …}. Without classes only the size counts; there may be no array."""
    name = next(name for name in KEYS if name in content)
    keys = _keys(content[name], path)
    size = _size_of(content)
    if not keys.size and "probs" not in content:  # probabilities have their background all the same
        return Planes(keys, NO_PLANES, size)
    chosen = array or _choose(content, path)
    if chosen not in content:
        raise ImageError(f"{path} has no array {chosen!r}: it has {examples(list(content), 8)}")
    values = _numbers(content[chosen], 3, f"{path}: {chosen}")
    if size is None and chosen in FULL_SIZE:
        size = values.shape[1], values.shape[2]
    return Planes(keys, values, size, "probs" if chosen == "probs" else None)


def named_planes(content: Mapping[Any, Any], classes: ClassIndex, path: Path) -> Planes:
    """Of {class: [H, W], …}, where a class goes by its number or its name; all maps of an image are of one shape."""
    background = any(is_background(name) for name in content)
    keys = np.array([_key(name, classes, background, path) for name in content], np.int64)
    planes = [_numbers(plane, 2, f"{path}: {brief(name, 40)}") for name, plane in content.items()]
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1:
        raise ImageError(f"{path} has maps of different shapes: {examples([str(shape) for shape in sorted(shapes)])}")
    size = shapes.pop() if shapes else None
    values = np.stack(planes) if planes else NO_PLANES
    return Planes(keys, values, size, "probs" if background else None)


def _key(name: Any, classes: ClassIndex, background: bool, path: Path) -> int:
    if isinstance(name, str) and name.isascii() and name.isdigit():
        name = int(name[:9])
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        return int(name) if -1 < name < 1 << 31 else -1
    if not isinstance(name, str):
        raise ImageError(f"{path} has the key {brief(name, 40)}: keys are numbers or names of classes")
    if is_background(name):
        return 0
    found = classes.find(name)
    if found is None:
        nearest = classes.nearest(name)
        hint = f"do you mean {nearest}?" if nearest else f"the classes are {examples(classes.classes, 5)}"
        raise LabelError(
            f"{path} speaks of {brief(name, 40)!r}, which is no class; {hint}\ngive --classes voc, coco or a file"
        )
    return found + 1 if background else found


def _keys(stored: Any, path: Path) -> np.ndarray:
    """[K] int64"""
    keys = np.asarray(stored)
    if keys.size and (keys.dtype.kind not in "iu" or keys.ndim > 1):
        raise ImageError(f"{path} has keys that are not a list of classes: {keys.dtype} {list(keys.shape)}")
    return keys.reshape(-1).astype(np.int64)


def _choose(content: Mapping[Any, Any], path: Path) -> str:
    known = [name for name in ARRAYS if name in content]
    if known:
        return known[0]
    others = [name for name, value in content.items() if isinstance(value, np.ndarray) and value.ndim == 3]
    if len(others) != 1 or not isinstance(others[0], str):
        raise ImageError(
            f"{path} has none of the arrays {', '.join(ARRAYS)}, but {examples(list(content), 8)}; see --array"
        )
    return others[0]


def _size_of(content: Mapping[Any, Any]) -> Size | None:
    """The photo's, which `size` says, or an array that is as large."""
    said = content.get("size")
    if isinstance(said, np.ndarray) and said.shape == (2,) and said.dtype.kind in "iu":
        return int(said[0]), int(said[1])
    full = next((content[name] for name in FULL_SIZE if isinstance(content.get(name), np.ndarray)), None)
    return None if full is None or full.ndim < 2 else (full.shape[-2], full.shape[-1])


def _numbers(stored: Any, rank: int, what: str) -> np.ndarray:
    if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "fiub":
        kind = stored.dtype if isinstance(stored, np.ndarray) else type(stored).__name__
        raise ImageError(f"{what} is no array of numbers, but {kind}")
    if stored.ndim != rank or 0 in stored.shape[-2:]:
        raise ImageError(
            f"{what} has the shape {list(stored.shape)}; it should be {'[C, h, w]' if rank == 3 else '[H, W]'}"
        )
    return stored.astype(np.float32)

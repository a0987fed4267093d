"""Where a store came from: a chain of stages, and whether two runs are the same run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from camkit.errors import InputError, StoreError

PACKAGES = ("camkit", "torch", "numpy", "h5py")
MAX_STAGES = 100
SHOWN = 3
DIGEST = re.compile("[0-9a-f]{64}")


def stage(
    command: str,
    parameters: Mapping[str, Any],
    *,
    checkpoint: Mapping[str, Any] | None = None,
    selection: Mapping[str, Any] | None = None,
    parents: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """One stage and the chains it was made from; plain JSON values, without times or temporary paths."""
    return plain(
        {
            "command": command,
            "parameters": parameters,
            "checkpoint": checkpoint,
            "selection": selection,
            "versions": versions(),
            "parents": list(parents),
        }
    )


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def to_json(value: Any) -> str:
    """The same text for the same value: sorted keys, ASCII (a file name that is no Unicode survives as an escape)."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain_value)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"a value cannot be kept in a store as JSON: {error}") from error


def plain(value: Any) -> Any:
    """`value` as it will be read back from a store: tuples become lists, paths texts, NumPy numbers numbers."""
    return json.loads(to_json(value))


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def check_chain(provenance: Any) -> None:
    """StoreError unless this is a chain of stages as `stage` makes it; fields may be missing."""
    if not isinstance(provenance, dict):
        raise StoreError("the provenance is not a JSON object")
    level, depth = [provenance], 0
    while level:
        depth += 1
        if depth > MAX_STAGES:
            raise StoreError(f"the provenance has more than {MAX_STAGES} stages")
        level = [parent for one in level for parent in _checked_parents(one)]


def _checked_parents(one: dict[str, Any]) -> list[dict[str, Any]]:
    for field in ("parameters", "checkpoint", "selection", "versions"):
        if not isinstance(one.get(field) or {}, dict):
            raise StoreError(f"the provenance's {field!r} is not a JSON object")
    parents = one.get("parents") or []
    if not isinstance(parents, list) or not all(isinstance(parent, dict) for parent in parents):
        raise StoreError("the provenance's parents are not a list of stages")
    return parents


Names = tuple[str, str] | None
"""Of two stores that lie side by side; None where one is what was and the other what is now."""


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], *, selection: bool = True, names: Names = None
) -> str | None:
    """What makes two chains different runs, in words, or None.

    Versions, and where the checkpoint lay, do not count. `selection=False`: neither do the images, as for shards.
    """
    found = list(_differences(plain(old), plain(new), selection, names))
    if not found:
        return None
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def _differences(old: dict[str, Any], new: dict[str, Any], selection: bool, names: Names) -> Iterator[str]:
    if old.get("command") != new.get("command"):
        yield _changed("the command", old.get("command"), new.get("command"), names)
        return
    before, after = old.get("parameters") or {}, new.get("parameters") or {}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        if name == "store_sha256":
            yield f"its content {'differs' if names else 'changed'}"
        else:
            yield _changed("--" + name.replace("_", "-"), _shown(before.get(name)), _shown(after.get(name)), names)
    yield from _checkpoint(old.get("checkpoint") or {}, new.get("checkpoint") or {}, names)
    if selection:
        yield from _selection(old.get("selection") or {}, new.get("selection") or {}, names)
    yield from _parents(old.get("parents") or [], new.get("parents") or [], selection, names)


def _checkpoint(old: dict[str, Any], new: dict[str, Any], names: Names) -> Iterator[str]:
    if old.get("sha256") == new.get("sha256"):
        if old.get("arch") != new.get("arch"):
            yield _changed("the network", old.get("arch"), new.get("arch"), names)
        return
    files = [Path(str(one.get("name") or one.get("path") or "")).name for one in (old, new)]
    if all(files) and files[0] != files[1]:
        yield _changed("the checkpoint", files[0], files[1], names)
    else:
        yield "the checkpoint is another one"


def _selection(old: dict[str, Any], new: dict[str, Any], names: Names) -> Iterator[str]:
    if old.get("images") != new.get("images"):
        if names:
            yield _changed("the folder of images", old.get("images"), new.get("images"), names)
        else:
            yield f"the images were in {old.get('images')} and are now in {new.get('images')}"
    if (old.get("count"), old.get("sha256")) != (new.get("count"), new.get("sha256")):
        counts = counted(old.get("count", 0), new.get("count", 0), names)
        yield f"the images or their labels {'differ' if names else 'changed'} ({counts})"


def _parents(old: list[dict[str, Any]], new: list[dict[str, Any]], selection: bool, names: Names) -> Iterator[str]:
    if len(old) != len(new):
        yield f"the input stores are others ({counted(len(old), len(new), names)})"
        return
    for before, after in zip(old, new, strict=True):
        for found in _differences(before, after, selection, names):
            yield f"in the input store ({before.get('command')}), {found}"


def _changed(what: str, old: Any, new: Any, names: Names) -> str:
    if names:
        return f"{what} is {old} in {names[0]} and {new} in {names[1]}"
    return f"{what} was {old} and is now {new}"


def counted(old: int, new: int, names: Names) -> str:
    """So many here and so many there, or then and now."""
    return f"{old} in {names[0]}, {new} in {names[1]}" if names else f"{old} then, {new} now"


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ",".join(_shown(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items() if one is not None)
    return str(value)


def tag_sources(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Where the stages that asked which classes an image has had that from, first to last."""
    for parent in provenance.get("parents") or ():
        yield from tag_sources(parent)
    source = (provenance.get("selection") or {}).get("labels")
    if isinstance(source, str):
        yield source


def sha256_file(path: str | Path) -> str:
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def parameter_words(value: Any) -> str:
    """A parameter for people: 1,0.5,2; of a digest its beginning."""
    if isinstance(value, str) and DIGEST.fullmatch(value):
        return value[:12] + "…"
    if isinstance(value, list):
        return ",".join(map(parameter_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)

"""What `camkit info` says of a folder: photos, masks, or a run or training that has not come to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camkit.data.exchange.source import MEMO
from camkit.data.images import find_images
from camkit.data.lists import files_by_id
from camkit.data.reading import is_folder
from camkit.errors import InputError
from camkit.store.files import parts_folder
from camkit.store.join import index_files
from camkit.store.parts import PART
from camkit.store.provenance import parameter_words
from camkit.store.schema import KINDS

TRAINING = ".training"


def unfinished_of(path: Path) -> Path | None:
    """Of a store or checkpoint that is not there: the folder of the run that is to write it."""
    beside = (parts_folder(path), path.with_name(path.name + TRAINING))
    return next((folder for folder in beside if is_folder(folder)), None)


def describe_folder(path: Path) -> dict[str, Any]:
    """Facts about a folder, as JSON can hold them."""
    if path.name.endswith(TRAINING):
        return _training(path)
    if path == parts_folder(path.with_name(path.name.removesuffix(".parts"))):
        return _parts(path)
    memo = _json(path / MEMO)
    if memo.get("classes"):
        return {
            "paths": [str(path)], "kind": "folder", "holds": f"what camkit wrote of {memo.get('kind', 'masks')}",
            "files": len(files_by_id(path, (".png", ".npy", ".npz"))), "classes": memo["classes"],
        }  # fmt: skip
    try:
        images = find_images(path)
    except InputError:
        raise InputError(f"{path} is no folder of photos, of masks, or of an unfinished run") from None
    voc = images.voc
    return {
        "paths": [str(path)],
        "kind": "folder",
        "holds": "a VOC root" if voc else "photos",
        "files": len(images.paths),
        "splits": sorted(voc.lists) if voc else [],
        "brings": [name for name, place in (("annotations", voc.annotations), ("masks", voc.masks)) if place]
        if voc
        else [],
    }


def _parts(folder: Path) -> dict[str, Any]:
    run = _json(folder / "run.json")
    told = run.get("header")
    header: dict[str, Any] = told if isinstance(told, dict) else {}
    kind = KINDS.get(str(header.get("kind")))
    files = [file for file in sorted(folder.iterdir()) if PART.fullmatch(file.name)]
    done = 0 if kind is None else len(index_files(files, kind.group)[0])
    return {
        "paths": [str(folder)], "kind": "unfinished run", "of": folder.name.removesuffix(".parts"), "images": done,
        "of_images": run.get("count"), "parts": len(files), "command": _command_line(header.get("provenance") or {}),
    }  # fmt: skip


def _training(folder: Path) -> dict[str, Any]:
    run = _json(folder / "run.json")
    try:
        epochs = max(len((folder / "curve.csv").read_text(encoding="utf-8").splitlines()) - 1, 0)
    except OSError:
        epochs = 0
    return {
        "paths": [str(folder)], "kind": "unfinished training", "of": folder.name.removesuffix(TRAINING),
        "epochs": epochs, "of_epochs": (run.get("parameters") or {}).get("epochs"),
        "command": str(run.get("command") or ""), "last": str(folder / "last.safetensors") if epochs else None,
    }  # fmt: skip


def folder_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["kind"] == "unfinished run":
        of = f" of {facts['of_images']:,}" if isinstance(facts["of_images"], int) else ""
        yield f"  an unfinished run: {facts['of']} is not written yet; {facts['images']:,}{of} images are done"
        yield "  the same command goes on from there" + (f": {facts['command']} …" if facts["command"] else "")
    elif facts["kind"] == "unfinished training":
        of = f" of {facts['of_epochs']}" if facts["of_epochs"] else ""
        yield f"  an unfinished training: {facts['of']} is not written yet; {facts['epochs']}{of} epochs are done"
        yield "  the same command goes on from there" + (f": camkit {facts['command']} …" if facts["command"] else "")
        if facts["last"]:
            yield f"  its weights so far are a checkpoint, too: camkit info {facts['last']}"
    else:
        yield f"  {facts['holds']}: {facts['files']:,} files"
        for name in ("splits", "brings", "classes"):
            if facts.get(name):
                yield f"  {name}: {', '.join(map(str, facts[name]))}"


def _command_line(provenance: Mapping[str, Any]) -> str:
    name = (provenance.get("checkpoint") or {}).get("name")
    ckpt = f" --ckpt {parameter_words(name)}" if name else ""
    return f"camkit {provenance['command']}{ckpt}" if provenance.get("command") else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

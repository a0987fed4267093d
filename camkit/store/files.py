"""HDF5 files nobody vouches for: opening them, listing what they hold, writing and reading their header."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from camkit.errors import StoreError
from camkit.store.attributes import damage, integer, set_text, set_texts, text, texts
from camkit.store.heaps import check_heaps
from camkit.store.provenance import check_chain, to_json
from camkit.store.schema import (
    FORMAT,
    KINDS,
    LIBVER,
    MAX_DEPTH,
    VERSION,
    Header,
    Kind,
    check_classes,
    check_id,
)

METADATA_BYTES = 64 << 10  # as HDF5 counts; in fact it takes some twenty times as much
SIGNATURE = b"\x89HDF\r\n\x1a\n"
LOOKALIKES = (
    (b"PK\x03\x04", "a zip archive (a PyTorch checkpoint or .npz, perhaps)"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x80", "a pickle (an old PyTorch checkpoint, perhaps)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x1f\x8b", "compressed with gzip"),
)


def what_is(head: bytes) -> str | None:
    """What a file starting with `head` is, in words; None if it is HDF5."""
    if head.startswith(SIGNATURE):
        return None
    if not head:
        return "empty"
    if head.lstrip()[:14].lower().startswith((b"<!doctype", b"<html")):
        return "a web page (the download failed, perhaps)"
    return next((name for magic, name in LOOKALIKES if head.startswith(magic)), "not an HDF5 file")


def open_file(path: Path) -> h5py.File:
    """An HDF5 file, opened for reading; StoreError says what the file is instead."""
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except (OSError, ValueError) as error:
        raise StoreError(_unreadable(path, error)) from error
    lookalike = what_is(head)
    if lookalike:
        raise StoreError(f"{path} is {lookalike}, not a camkit store")
    try:
        check_heaps(path)
        return _frugal(h5py.File(path, "r", locking=False))
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{path} is truncated or damaged; copy it again or make it again") from error


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    parts = parts_folder(path)
    if isinstance(error, FileNotFoundError) and parts.is_dir():
        return (
            f"{path} is not finished yet: its parts are in {parts.name}\n"
            "wait for the command that writes it, or run that command again; it goes on where it stopped"
        )
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist"
    return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"


def parts_folder(out: Path) -> Path:
    return out.with_name(out.name + ".parts")


def create_file(stream: BinaryIO | io.RawIOBase) -> h5py.File:
    return _frugal(h5py.File(stream, "w", libver=LIBVER))


def _frugal(file: h5py.File) -> h5py.File:
    """HDF5 remembers what it has read of each dataset, up to hundreds of megabytes; each is read once."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.max_size = config.initial_size = config.min_size = METADATA_BYTES
    file.id.set_mdc_config(config)
    return file


def write_header(file: h5py.File, header: Header) -> None:
    """Everything but `complete`, which `write_complete` adds when the records are in."""
    set_text(file, "format", FORMAT)
    file.attrs["version"] = VERSION
    set_text(file, "kind", header.kind)
    set_texts(file, "classes", header.classes)
    set_text(file, "image_root", header.image_root)
    set_text(file, "provenance", to_json(header.provenance))
    if header.shard:
        set_text(file, "shard", header.shard)


def write_complete(file: h5py.File) -> None:
    file.attrs["complete"] = True


def read_header(file: h5py.File, path: Path, kinds: Mapping[str, Kind] = KINDS) -> Header:
    """What holds for all of a store of one of the `kinds`."""
    where = str(path)
    with damage(where):
        _check_format(file, where)
        classes = texts(file, "classes", where)
        check_classes(classes)
        provenance = json.loads(text(file, "provenance", where)) if "provenance" in file.attrs else {}
        check_chain(provenance)
        root = text(file, "image_root", where) if "image_root" in file.attrs else ""
        shard = text(file, "shard", where) if "shard" in file.attrs else ""
        return Header(_kind(file, where, kinds), classes, root, provenance, shard)


def _check_format(file: h5py.File, where: str) -> None:
    if "format" not in file.attrs or text(file, "format", where) != FORMAT:
        raise StoreError(f"{where} is an HDF5 file, but not a camkit store (its attribute 'format' is not {FORMAT!r})")
    version = integer(file, "version", where)
    if version > VERSION:
        raise StoreError(f"{where} was written by a newer camkit (format {version}); update camkit to read it")
    if version != VERSION:
        raise StoreError(f"{where} has the format version {version}; versions start at 1")
    if "complete" not in file.attrs or integer(file, "complete", where) != 1:
        raise StoreError(f"{where} was not finished; run the command that writes it again")


def _kind(file: h5py.File, where: str, kinds: Mapping[str, Kind]) -> str:
    if "kind" in file.attrs:
        kind = text(file, "kind", where)
        if kind not in kinds:
            raise StoreError(f"{where} holds {kind[:40]!r}; this command reads {', '.join(kinds)}")
        return kind
    guesses = {kind.group: name for name, kind in reversed([*kinds.items()])}
    found = [name for group, name in guesses.items() if group in file]
    if len(found) != 1:
        raise StoreError(f"{where} does not say what kind of store it is (attribute 'kind')")
    return found[0]


def list_ids(file: h5py.File, group: str, where: str) -> list[str]:
    """The ids below a group, unsorted; nothing is opened but groups. StoreError for links that lead elsewhere."""
    with damage(where):
        if group not in file:
            return []
        if not _is_hard(file.id, group.encode()):
            raise StoreError(f"{where} has a link that leads elsewhere, {group!r}; camkit does not follow it")
        return _walk(file, group, where)


def _is_hard(parent: Any, name: bytes) -> bool:
    return parent.links.get_info(name).type == h5py.h5l.TYPE_HARD


def _walk(file: h5py.File, group: str, where: str) -> list[str]:
    ids: list[str] = []
    seen: set[Any] = set()
    waiting = [(group, "")]
    while waiting:
        path, prefix = waiting.pop()
        identifier = h5py.h5o.open(file.id, path.encode())
        address = h5py.h5o.get_info(identifier).addr
        if not isinstance(identifier, h5py.h5g.GroupID) or address in seen or path.count("/") > MAX_DEPTH:
            raise StoreError(f"{where} has groups within {group!r} that lie in each other, or too deep")
        seen.add(address)
        for name, is_group in _links(identifier, where):
            if is_group:
                waiting.append((f"{path}/{name}", f"{prefix}{name}/"))
            else:
                ids.append(_checked(prefix + name, where))
    return ids


def _checked(id: str, where: str) -> str:
    try:
        return check_id(id)
    except StoreError as error:
        raise StoreError(f"{where}: {error}") from None


def _links(group: Any, where: str) -> list[tuple[str, bool]]:
    found: list[tuple[bytes, int]] = []
    group.links.iterate(lambda name, info: found.append((name, info.type)), info=True)
    for name, kind in found:
        if kind != h5py.h5l.TYPE_HARD:
            shown = name.decode("utf-8", "replace")
            raise StoreError(f"{where} has a link that leads elsewhere, {shown!r}; camkit does not follow it")
    is_group = h5py.h5o.TYPE_GROUP
    return [(name.decode(), h5py.h5o.get_info(group, name).type == is_group) for name, _ in found]

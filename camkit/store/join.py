"""Putting records from many files into one store: copied as they are compressed, in the order of their ids."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

import h5py
import numpy as np

from camkit.store.attributes import damage, set_text
from camkit.store.codec import copy_record, read_failure, write_failure, write_record
from camkit.store.files import create_file, list_ids, open_file, write_complete, write_header
from camkit.store.parts import sync_folder, writing
from camkit.store.schema import FAILURES, Header, Kind, folders_of
from camkit.temporary import open_fresh
from camkit.types import Activation

OPEN_FILES = 8  # HDF5 keeps more than 1 MB for each


class Sink(io.RawIOBase):
    """A stream for HDF5 that remembers the first error instead of raising it.

    HDF5 cannot let go of a file whose writes fail: it complains at exit, and the file stays open. Here it never
    learns of the failure; `check` raises it between two records.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._error: BaseException | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        count = len(rest)
        with self._remembering():
            while self._error is None and len(rest):
                rest = rest[self._stream.write(rest) :]  # a nearly full disk takes a part of it without an error
        return count

    def readinto(self, buffer: Any) -> int:
        with self._remembering():
            return self._stream.readinto(buffer)  # type: ignore[attr-defined]
        return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def truncate(self, size: int | None = None) -> int:
        with self._remembering():
            if self._error is None:
                self._stream.truncate(size)
        return size or 0

    def flush(self) -> None:
        return None

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except (OSError, KeyboardInterrupt) as error:
            self._error = self._error or error

    def check(self) -> None:
        if self._error is not None:
            raise self._error


class Shelf:
    """The files records are copied from, opened when needed, the longest unused closed again."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, h5py.File] = OrderedDict()

    def __getitem__(self, path: Path) -> h5py.File:
        if path not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[path] = open_file(path)
        self._open.move_to_end(path)
        return self._open[path]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()


def part_of(
    records: Sequence[tuple[Activation, np.ndarray, Sequence[bytes]]], failures: Mapping[str, str], kind: Kind
) -> bytes:
    """Records and failures as an HDF5 file, made in memory so that a full disk is an ordinary error."""
    stream = io.BytesIO()
    with create_file(stream) as file:
        set_text(file, "format", "camkit part")
        root, made = file.create_group(kind.group), set[str]()
        for activation, values, chunks in records:
            make_folders(root, activation.id, made)
            write_record(root, activation, values, kind, chunks)
        root, made = file.create_group(FAILURES), set[str]()
        for id, message in failures.items():
            make_folders(root, id, made)
            write_failure(root, id, message)
    return stream.getvalue()


def index_files(paths: list[Path], group: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Which file holds the record, and which the failure, of each id. Later files win; a record beats a failure."""
    records: dict[str, Path] = {}
    failures: dict[str, Path] = {}
    for path in paths:
        with open_file(path) as file, damage(str(path)):
            records.update(dict.fromkeys(list_ids(file, group, str(path)), path))
            failures.update(dict.fromkeys(list_ids(file, FAILURES, str(path)), path))
    return records, {id: path for id, path in failures.items() if id not in records}


def join_files(
    records: Mapping[str, Path], failures: Mapping[str, Path], header: Header, temporary: Path, out: Path
) -> None:
    """Write the store to `temporary` (same file system), then move it to `out`: there is never half a store."""
    try:
        with writing(out):
            with open_fresh(temporary) as stream:
                _join(records, failures, header, stream)
                os.fsync(stream.fileno())
            temporary.replace(out)
            sync_folder(out.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _join(records: Mapping[str, Path], failures: Mapping[str, Path], header: Header, stream: BinaryIO) -> None:
    sink = Sink(stream)
    group = header.holds.group
    try:
        with Shelf() as shelf, create_file(sink) as file:
            root, made = file.create_group(group), set[str]()
            for id, source in _sources(records, group, shelf, sink):
                make_folders(root, id, made)
                copy_record(source, root, id, header)
            if failures:
                root, made = file.create_group(FAILURES), set[str]()
            for id, source in _sources(failures, FAILURES, shelf, sink):
                make_folders(root, id, made)
                write_failure(root, id, read_failure(source, id, str(failures[id])))
            write_header(file, header)
            write_complete(file)
    finally:
        sink.check()


def _sources(paths: Mapping[str, Path], group: str, shelf: Shelf, sink: Sink) -> Iterator[tuple[str, h5py.Dataset]]:
    for id in sorted(paths):
        sink.check()
        yield id, shelf[paths[id]][f"{group}/{id}"]


def make_folders(root: h5py.Group, id: str, made: set[str]) -> None:
    """One group after the other: groups that HDF5 makes in passing carry the time of day."""
    for folder in folders_of(id):
        if folder not in made:
            made.add(folder)
            root.create_group(folder)

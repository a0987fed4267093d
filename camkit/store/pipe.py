"""Stores through Unix pipes. HDF5 needs seeking, so a pipe is spooled to a temporary file first."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from camkit.errors import OutputError, StoreError
from camkit.store.files import SIGNATURE, what_is
from camkit.store.parts import writing

BLOCK = 1 << 20


@contextmanager
def receive_store(stream: BinaryIO | None = None) -> Iterator[Path]:
    """A temporary file with all that comes from `stream` (standard input); it is gone when the block is left."""
    stream = stream or sys.stdin.buffer
    head = _head(stream)
    lookalike = what_is(head)
    if not head:
        raise StoreError("standard input held no store: the command before it failed or wrote nothing")
    if lookalike:
        raise StoreError(f"standard input is {lookalike}, not a camkit store")
    with writing(Path(tempfile.gettempdir())):
        spool = tempfile.NamedTemporaryFile(prefix="camkit-", suffix=".h5")  # noqa: SIM115 - closed below
    with spool:
        with writing(Path(spool.name)):
            spool.write(head)
            shutil.copyfileobj(stream, spool, BLOCK)
            spool.flush()
        yield Path(spool.name)


def _head(stream: BinaryIO) -> bytes:
    try:
        return stream.read(max(512, len(SIGNATURE)))
    except OSError as error:
        raise StoreError(f"standard input cannot be read: {error.strerror or error}") from error


def send_store(path: str | Path, stream: BinaryIO | None = None) -> None:
    """Copy a finished store to `stream` (standard output)."""
    stream = stream or sys.stdout.buffer
    try:
        with Path(path).open("rb") as source:
            shutil.copyfileobj(source, stream, BLOCK)
        stream.flush()
    except BrokenPipeError as error:
        raise OutputError(
            "standard output was closed by its reader before the store was written; use --out FILE"
        ) from error
    except OSError as error:
        raise OutputError(f"the store cannot be written to standard output: {error.strerror or error}") from error

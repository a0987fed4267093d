"""Where a file is written until it is whole: beside it, hidden, under a name that follows from its own.

So what a killed process left is found by the next that writes the same file, and goes. No link is followed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO


def open_unfinished(path: Path) -> tuple[Path, IO[bytes]]:
    """A new file beside `path`, open for writing, locked as long as it is. OSError if there can be none."""
    name = path.with_name(f".{hashlib.sha256(path.name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.tmp")
    _remove_left_over(name)
    try:
        return name, _new(name)
    except FileExistsError:  # another process writes the same file at this moment
        name = path.with_name(f".{uuid.uuid4().hex}.tmp")
        return name, _new(name)


def open_fresh(path: Path) -> BinaryIO:
    """A file that was not there, in a folder where nobody else writes one of this name: what a kill left goes."""
    path.unlink(missing_ok=True)
    return path.open("x+b", buffering=0)


def _new(name: Path) -> IO[bytes]:
    stream = name.open("xb")
    with suppress(OSError):  # a file system without locks
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return stream


def _remove_left_over(name: Path) -> None:
    """Where no process holds it any more."""
    with suppress(OSError):
        number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            name.unlink()
        finally:
            os.close(number)

"""Files that appear whole or not at all, though they are written piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from camkit.errors import OutputError
from camkit.temporary import open_unfinished


@contextmanager
def whole_file(path: Path, what: str) -> Iterator[Callable[[bytes], None]]:
    """A function to write with; the file is at `path` once the block has ended well. `what` names it in errors."""
    with _as_output_error(path, what):
        unfinished, stream = open_unfinished(path)

    def write(data: bytes) -> None:
        with _as_output_error(path, what):
            stream.write(data)

    try:
        yield write
        with _as_output_error(path, what):
            stream.close()
            unfinished.replace(path)
    finally:
        with suppress(OSError):
            stream.close()
        with suppress(OSError):  # it is there only when the above failed
            unfinished.unlink()


@contextmanager
def _as_output_error(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {what} {path}: {error.strerror or error}") from error

"""Reading text and bytes a user brought, and speaking of what is in them in error messages."""

from __future__ import annotations

import os
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from camkit.errors import CamkitError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_TEXT_BYTES = 2 << 30


# Path.is_file and its like raise for names that are too long and folders that are closed to us; these do not.
def is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110


def starts_with(path: Path, magic: bytes, error: type[CamkitError]) -> bool:
    if not is_file(path):
        raise error(f"{path} is not a regular file")
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as cause:
        raise error(f"cannot read {path}: {reason(cause)}") from cause


def read_text(path: Path, error: type[CamkitError]) -> str:
    """UTF-8 (a byte order mark is dropped) or UTF-16 with its mark."""
    data = read_bytes(path, error)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as cause:
        raise error(f"{path} is not a text file in UTF-8: byte {cause.start} cannot be decoded") from cause
    if "\0" in text:
        raise error(f"{path} is not a text file: it holds zero bytes")
    return text


def read_bytes(path: Path, error: type[CamkitError], limit: int = _MAX_TEXT_BYTES) -> bytes:
    try:
        # A pipe or device would block or never end.
        if not is_file(path):
            raise error(f"{path} {'is not a regular file' if exists(path) else 'does not exist'}")
        if path.stat().st_size > limit:
            raise error(f"{path} is larger than {limit >> 20:,} MiB: it cannot be what it is meant to be")
        return path.read_bytes()
    except (OSError, MemoryError) as cause:
        raise error(f"cannot read {path}: {reason(cause)}") from cause


def split_lines(text: str) -> list[str]:
    """At \\n, \\r\\n and \\r only: file names may hold the other characters `splitlines` splits at."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def examples(names: Collection[str], count: int = 3) -> str:
    """'a, b, c …' for error messages."""
    shown = ", ".join(brief(name) for name in islice(names, count))
    return shown + (" …" if len(names) > count else "")


def brief(value: object, length: int = 80) -> str:
    """A printable line for an error message, however long or strange the value."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    text = " ".join(show(str(value)).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def reason(error: BaseException) -> str:
    """What an exception says, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return brief(text, 200)


def show(text: str) -> str:
    """Undecodable bytes of file names as \\udcXX, so that the message can be printed."""
    return text.encode("utf-8", "backslashreplace").decode()

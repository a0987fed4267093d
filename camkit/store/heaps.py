"""Global heaps: where HDF5 keeps texts of variable length and the sources of virtual datasets, without a checksum.

HDF5 2.0 loops for ever over a damaged one, deaf to signals, and may crash over damaged sources, already when an object
that refers to them is looked at. So they are checked when a file is opened, before any object is. camkit's own stores
have none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from camkit.errors import StoreError

SIGNATURE = b"GCOL\x01"
HEADER = 16
BLOCK = 1 << 20
LARGEST = 64 << 20  # a text has at most a quarter of it
SOURCES = (0, 1)  # what begins so tells where the values of a virtual dataset are; no text does
CHANCE = 8  # compressed values look like the beginning of a heap once in a terabyte
SUPERBLOCK_SIZES = {0: 13, 1: 13, 2: 9, 3: 9}  # version: where it says how wide addresses are, and lengths after that


def check_heaps(path: Path) -> None:
    """StoreError if a global heap that the file refers to is not a chain of objects that ends within it."""
    with path.open("rb") as stream:
        try:
            _check_heaps(stream)
        except StoreError as error:
            raise StoreError(f"{path} {error}") from None


def _check_heaps(stream: BinaryIO) -> None:
    size = stream.seek(0, 2)
    objects = size // HEADER  # more do not fit into heaps that lie apart
    strays = 0
    for start in _places(stream, SIGNATURE):
        count = _objects(stream, start, size, objects)
        objects -= count or 0
        strays += count is None
        if count is None and (strays > CHANCE or _is_meant(stream, start)):
            raise StoreError("is damaged: its texts cannot be read; make it again")


def _places(stream: BinaryIO, wanted: bytes) -> Iterator[int]:
    """Where these bytes are in the file."""
    at, overlap = 0, len(wanted) - 1
    while True:
        stream.seek(at)
        block = stream.read(BLOCK + overlap)
        found = block.find(wanted)
        while found >= 0:
            yield at + found
            found = block.find(wanted, found + 1)
        if len(block) <= BLOCK:
            return
        at += BLOCK


def _has_wide_numbers(stream: BinaryIO) -> bool:
    """Whether addresses and lengths are of 8 bytes, as everybody writes them."""
    stream.seek(0)
    head = stream.read(HEADER)
    at = SUPERBLOCK_SIZES.get(head[8])
    return at is not None and head[at : at + 2] == b"\x08\x08"


def _is_meant(stream: BinaryIO, start: int) -> bool:
    return not _has_wide_numbers(stream) or any(True for _ in _places(stream, struct.pack("<Q", start)))


def _objects(stream: BinaryIO, start: int, size: int, most: int) -> int | None:
    """How many objects the heap is a chain of; None if it is no heap, or has more than `most`."""
    stream.seek(start)
    head = stream.read(HEADER)
    if len(head) < HEADER or not _has_wide_numbers(stream):
        return None
    (length,) = struct.unpack_from("<Q", head, 8)
    if length > min(size - start, LARGEST):
        return None
    stream.seek(start)
    heap = stream.read(length)
    at, count = HEADER, 0
    while at + HEADER <= length:
        index, content = struct.unpack_from("<H6xQ", heap, at)
        step = HEADER + (content + 7) // 8 * 8 if index else content
        if step < HEADER or at + step > length or count == most:
            return None
        if index and content and heap[at + HEADER] in SOURCES:
            raise StoreError("has values that lie in other files; camkit does not follow them there")
        at, count = at + step, count + 1
    return count

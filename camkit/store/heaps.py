"""Global heaps: where HDF5 keeps texts of variable length, without a checksum.

HDF5 2.0 loops for ever over a damaged one, so they are checked here before HDF5 may read them. camkit's own
stores have none; files made by hand usually do.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from camkit.errors import StoreError

SIGNATURE = b"GCOL\x01"
HEADER = 16
SUPERBLOCK_SIZES = {0: 14, 1: 14, 2: 10, 3: 10}  # version: where it says how wide lengths are


def check_heaps(path: Path) -> None:
    """StoreError if any global heap of the file is not a chain of objects that ends within it."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        width = SUPERBLOCK_SIZES.get(data[8])
        sound = width is not None and data[width] == 8
        at = data.find(SIGNATURE)
        while at >= 0 and sound:
            sound = _is_sound(data, at)
            at = data.find(SIGNATURE, at + len(SIGNATURE))
    if not sound:
        raise StoreError(f"{path} is damaged: its texts cannot be read; make it again")


def _is_sound(data: mmap.mmap, start: int) -> bool:
    if start + HEADER > len(data):
        return False
    (size,) = struct.unpack_from("<Q", data, start + 8)
    end, at = start + size, start + HEADER
    if end > len(data):
        return False
    while at + HEADER <= end:
        index, length = struct.unpack_from("<H6xQ", data, at)
        step = HEADER + (length + 7) // 8 * 8 if index else length
        if step < HEADER or at + step > end:
            return False
        at += step
    return True

"""What processes do in tests of superpixels. They load this file: here, because it loads no torch."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np

from camkit.errors import ImageError
from camkit.pipeline.load import Failure
from camkit.types import Record

Item = Record | Failure


def photo(id: str) -> Record:
    return Record(id, (4, 6), image=np.zeros((4, 6, 3), np.uint8))


def photos(count: int) -> Iterator[Item]:
    for n in range(count):
        yield photo(str(n)) if n % 4 != 3 else Failure(str(n), ImageError("cannot be read"))


def identify(item: Item) -> Item:
    return Record(f"{item.id} in {os.getpid()}", (1, 1))


def fail_at_5(item: Item) -> Item:
    if item.id == "5":
        raise IndexError("off by one")
    return item


def die_at_5(item: Item) -> Item:
    if item.id == "5":
        os.kill(os.getpid(), signal.SIGKILL)
    return item

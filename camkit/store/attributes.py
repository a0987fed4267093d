"""Attributes of a file nobody vouches for: type and extent are checked before a value is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from camkit.errors import StoreError
from camkit.store.schema import MAX_CLASSES, MAX_TEXT

# What h5py, HDF5, NumPy and json raise when the bytes they read make no sense.
DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError, MemoryError, RecursionError)


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Whatever the libraries raise within becomes a StoreError about `where`."""
    try:
        yield
    except DAMAGE as error:
        reason = str(error).split("\n")[0][:160] or type(error).__name__
        raise StoreError(f"{where} is damaged or not what a store holds ({reason}). Make it again.") from error


def _stored(item: Any, name: str, where: str, kinds: str, rank: int) -> Any:
    if name not in item.attrs:
        raise StoreError(f"{where} has no attribute {name!r}.")
    attribute = item.attrs.get_id(name)
    shape, dtype = attribute.shape, attribute.dtype
    if shape is None or len(shape) != rank or dtype.kind not in kinds or dtype.subdtype is not None:
        raise StoreError(f"{where} has an attribute {name!r} of the wrong type.")
    if math.prod(shape) > MAX_CLASSES or math.prod(shape) * dtype.itemsize > MAX_TEXT:
        raise StoreError(f"{where} has an attribute {name!r} of an absurd size.")
    if dtype.kind == "O" and h5py.check_string_dtype(dtype) is None:
        raise StoreError(f"{where} has an attribute {name!r} of the wrong type.")
    return item.attrs[name]


def integers(item: Any, name: str, where: str) -> np.ndarray:
    """[n] int64."""
    return np.asarray(_stored(item, name, where, "iu", 1)).astype(np.int64)


def integer(item: Any, name: str, where: str) -> int:
    return int(_stored(item, name, where, "iub", 0))


def text(item: Any, name: str, where: str) -> str:
    return _decoded(_stored(item, name, where, "SO", 0), name, where)


def texts(item: Any, name: str, where: str) -> tuple[str, ...]:
    return tuple(_decoded(one, name, where) for one in _stored(item, name, where, "SO", 1).tolist())


def _decoded(value: Any, name: str, where: str) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise StoreError(f"{where} has an attribute {name!r} that is not a text.")
    return value

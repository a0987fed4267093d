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
        raise StoreError(f"{where} is damaged or not what a store holds ({reason}); make it again") from error


def _stored(item: Any, name: str, where: str, kinds: str, rank: int) -> Any:
    if name not in item.attrs:
        raise StoreError(f"{where} has no attribute {name!r}")
    attribute = item.attrs.get_id(name)
    shape, dtype = attribute.shape, attribute.dtype
    if shape is None or len(shape) != rank or dtype.kind not in kinds or dtype.subdtype is not None:
        raise StoreError(f"{where} has an attribute {name!r} of the wrong type")
    if math.prod(shape) > MAX_CLASSES or math.prod(shape) * dtype.itemsize > MAX_TEXT:
        raise StoreError(f"{where} has an attribute {name!r} of an absurd size")
    if dtype.kind == "O":
        _check_text(dtype, f"{where} has an attribute {name!r}")
    return item.attrs[name]


def _check_text(dtype: np.dtype, what: str) -> None:
    if h5py.check_string_dtype(dtype) is None:
        raise StoreError(f"{what} of the wrong type")


def scalar_text(dataset: Any, where: str, limit: int) -> str:
    """The text a scalar dataset holds."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape != () or dataset.dtype.kind not in "SO":
        raise StoreError(f"{where} is not a text")
    if dataset.is_virtual or dataset.external or dataset.dtype.itemsize > limit:
        raise StoreError(f"{where} is not a plain text")
    if dataset.dtype.kind == "O":
        _check_text(dataset.dtype, f"{where} has a value")
    return bytes(dataset[()]).decode("utf-8", "replace")


def set_text(item: Any, name: str, value: str) -> None:
    """Of fixed length: texts of variable length lie in a heap without checksum."""
    raw = value.encode("utf-8", "surrogateescape")
    item.attrs.create(name, np.bytes_(raw), dtype=h5py.string_dtype("utf-8", max(1, len(raw))))


def set_texts(item: Any, name: str, values: tuple[str, ...]) -> None:
    raw = [value.encode() for value in values]
    longest = max((len(one) for one in raw), default=1)
    item.attrs.create(name, np.array(raw, f"S{longest}"), dtype=h5py.string_dtype("utf-8", longest))


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
        raise StoreError(f"{where} has an attribute {name!r} that is not a text")
    return value

"""The objects that pickled data may hold beyond Python's own, rebuilt from checked arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


class Refused(Exception):  # noqa: N818 - not a mistake of the reader
    """The pickle asks for something that is not data; its name."""


class Damaged(Exception):  # noqa: N818
    """The pickle is broken, or lies about sizes."""


@dataclass(frozen=True)
class Global:
    """A function or type that a pickle names: only the name."""

    name: str


@dataclass
class DataType:
    """What a pickle says of an array's type; NumPy's own object must not be handed to it: those are shared."""

    code: str
    order: str = "<"

    def dtype(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


def of_type(value: Any, expected: type[T]) -> T:
    if not isinstance(value, expected):
        raise Damaged(f"a {type(value).__name__} stands where a {expected.__name__} should")
    return value


def array_of(data: Any, dtype: np.dtype, shape: Any, order: Any) -> np.ndarray:
    """[*shape] from raw bytes, which must be there in full."""
    if not isinstance(data, bytes | bytearray):  # memory that no later operation can move
        raise Damaged("an array without bytes")
    lengths = _lengths((shape,) if isinstance(shape, int) else shape)
    count = math.prod(lengths)
    if dtype.hasobject or dtype.itemsize < 1 or len(data) < count * dtype.itemsize:
        raise Damaged(f"it is truncated: it promises an array of shape {lengths}")
    return np.frombuffer(data, dtype, count).reshape(lengths, order="F" if order == "F" else "C")


def _lengths(shape: Any) -> tuple[int, ...]:
    lengths = of_type(shape, tuple)
    if len(lengths) > 32 or not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise Damaged("an array's shape makes no sense")
    return lengths


def set_state(target: Any, state: Any) -> None:
    """What BUILD does: fill in an array or a data type. Nothing else takes a state."""
    if isinstance(target, DataType):
        order = of_type(state, tuple)[1]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise Damaged("a structured array")
        target.order = order
        return
    _fill(of_type(target, np.ndarray), of_type(state, tuple))


def _fill(array: np.ndarray, state: tuple[Any, ...]) -> None:
    if array.dtype != np.int8 or array.shape != (0,):  # filled already, perhaps others look into it
        raise Damaged("an array is filled twice")
    shape, data_type, fortran_order, data = state[-4:]
    dtype = of_type(data_type, DataType).dtype()
    if dtype.hasobject:
        if len(of_type(data, list)) != math.prod(_lengths(shape)):
            raise Damaged("an array of objects has gaps")
    else:
        data = data.encode("latin-1") if isinstance(data, str) else data  # text: written by Python 2
        array_of(data, dtype, shape, "C")
    array.__setstate__((1, shape, dtype, bool(fortran_order), data))  # type: ignore[arg-type]


def _empty_array(kind: Any, *_: Any) -> np.ndarray:
    if of_type(kind, Global).name != "numpy.ndarray":
        raise Damaged("a special kind of array")
    return np.empty(0, np.int8)


def _data_type(code: Any, *_: Any) -> DataType:
    if not re.fullmatch(r"[biufcSU?O]\d{0,6}", of_type(code, str)):
        raise Refused(f"an array of type {code[:20]!r}")
    return DataType("O" if code[0] == "O" else code)


def _scalar(data_type: Any, data: Any) -> np.generic:
    raw = data.encode("latin-1") if isinstance(data, str) else of_type(data, bytes)
    scalar: np.generic = array_of(raw, of_type(data_type, DataType).dtype(), (1,), "C")[0]
    return scalar


def _from_buffer(data: Any, data_type: Any, shape: Any, order: Any) -> np.ndarray:
    return array_of(data, of_type(data_type, DataType).dtype(), shape, order)


def _encode(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise Damaged(f"bytes written as {encoding!r:.20}")
    return of_type(text, str).encode("latin-1")


def _set(items: Any = ()) -> set[Any]:
    plain = of_type(items, list) if items else []
    if not all(isinstance(item, str | int | float | bytes | None) for item in plain):
        raise Damaged("a set of something else than text and numbers")
    return set(plain)


REBUILD: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _data_type,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "_codecs.encode": _encode,
    "builtins.bytes": lambda: b"",
    "builtins.bytearray": lambda data=b"": bytearray(of_type(data, bytes)),
    "builtins.complex": lambda real, imaginary: complex(float(real), float(imaginary)),
    "builtins.set": _set,
    "builtins.frozenset": lambda items=(): frozenset(_set(items)),
    "collections.OrderedDict": lambda: {},
}
TYPES = ("numpy.ndarray",)

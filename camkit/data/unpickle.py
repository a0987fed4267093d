"""Pickles as data: whatever a pickle asks for that is not data is refused by name.

Read are None, booleans, numbers, text, bytes, lists, tuples, dicts, sets, NumPy arrays, and torch tensors (as NumPy
arrays, without torch).
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from camkit.data.pickle_machine import Interpreter
from camkit.data.pickle_objects import REBUILD, Damaged, Global, Refused, array_of, of_type
from camkit.data.reading import read_bytes, reason
from camkit.errors import LabelError

_MAX_BYTES = 4 << 30

_STORAGES = {
    "torch.DoubleStorage": "f8", "torch.FloatStorage": "f4", "torch.HalfStorage": "f2", "torch.BFloat16Storage": "u2",
    "torch.LongStorage": "i8", "torch.IntStorage": "i4", "torch.ShortStorage": "i2", "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1", "torch.BoolStorage": "?", "torch.ComplexFloatStorage": "c8",
    "torch.ComplexDoubleStorage": "c16",
}  # fmt: skip


def load_npy(path: Path) -> Any:
    """The array in a `.npy` file; where it is a pickled object, that object (a dict, as a rule)."""
    stream = io.BytesIO(read_bytes(path, LabelError, _MAX_BYTES))
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(stream)
    except Exception as error:  # the header is a Python literal: whatever its parser raises
        raise LabelError(f"{path} is not a .npy file: {reason(error)}") from error
    if dtype.hasobject:
        content = load_pickle(stream, str(path))
        return content.item() if isinstance(content, np.ndarray) and content.shape == () else content
    try:
        return array_of(stream.read(), dtype, shape, "F" if fortran_order else "C")
    except (Damaged, ValueError, TypeError) as error:
        raise LabelError(f"{path} is damaged: {reason(error)}") from error


def load_pickle(stream: IO[bytes], name: str = "the pickle") -> Any:
    """The object pickled at the stream's position; `name` is what errors call it."""
    try:
        return Interpreter(stream, {**REBUILD, **_TORCH}).run()
    except Refused as error:
        raise LabelError(f"refuses to load {name}: it would run code ({error})") from error
    except Exception as error:  # damaged pickles: struct, Unicode, index, type errors of any operation
        raise LabelError(f"cannot read the pickle in {name}: {reason(error) or type(error).__name__}") from error


def _load_from_bytes(data: bytes) -> np.ndarray:
    """[n] the values of a torch storage that `torch.save` wrote into `data`."""
    return _storage_from_zip(data) if data[:2] == b"PK" else _storage_from_legacy(io.BytesIO(data))


def _storage_from_legacy(stream: io.BytesIO) -> np.ndarray:
    """Magic number, version, system, the object with storages left out, their keys, their values."""
    for _ in range(3):
        Interpreter(stream, REBUILD).run()
    start = stream.tell()
    types: dict[str, str] = {}
    _run_with_storages(stream, types.setdefault)
    keys = of_type(Interpreter(stream, REBUILD).run(), list)
    values = {key: _values(stream, types[key], of_type(key, str)) for key in keys}
    stream.seek(start)  # the object once more, now that the values of its storages are known
    return of_type(_run_with_storages(stream, lambda key, _: values[key]), np.ndarray)


def _storage_from_zip(data: bytes) -> np.ndarray:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix(".pkl")

        def storage(key: str, type_name: str) -> np.ndarray:
            return _typed(_stored(archive, f"{folder}/{key}"), type_name)

        return of_type(_run_with_storages(io.BytesIO(_stored(archive, pickled)), storage), np.ndarray)


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """torch compresses nothing: a compressed member is something else, a bomb perhaps."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise Damaged("a tensor's archive is compressed")
    return archive.read(name)


def _run_with_storages(stream: IO[bytes], storage: Callable[[str, str], Any]) -> Any:
    def persistent(id: Any) -> Any:
        kind, storage_type, key, *_, view = of_type(id, tuple)
        if kind != "storage" or (isinstance(view, tuple) and view):
            raise Damaged("a torch storage is a view of another")
        return storage(of_type(key, str), of_type(storage_type, Global).name)

    return Interpreter(stream, {**REBUILD, **dict.fromkeys(_STORAGES, _not_callable)}, persistent).run()


def _not_callable(*_: Any) -> Any:
    raise Damaged("a torch storage without its values")


def _values(stream: io.BytesIO, type_name: str, key: str) -> np.ndarray:
    count = int.from_bytes(stream.read(8), "little")
    size = np.dtype(_STORAGES[type_name]).itemsize * count
    data = stream.read(size)
    if len(data) < size:
        raise Damaged(f"storage {key[:20]} is truncated")
    return _typed(data, type_name)


def _typed(data: bytes, type_name: str) -> np.ndarray:
    values = np.frombuffer(data, np.dtype(_STORAGES[type_name]).newbyteorder("<"))
    if type_name == "torch.BFloat16Storage":  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


def _rebuild_tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """[*size] a view of the elements a tensor has in its storage."""
    values, shape, steps = of_type(storage, np.ndarray), of_type(size, tuple), of_type(stride, tuple)
    numbers = (offset, *shape, *steps)
    if len(shape) != len(steps) or len(shape) > 32 or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise Damaged("a tensor's shape makes no sense")
    last = offset + sum((length - 1) * step for length, step in zip(shape, steps, strict=True))
    count = math.prod(shape)
    if count > max(values.size, 1) or (count and last >= values.size):
        raise Damaged("a tensor reaches beyond its storage")
    strides = tuple(step * values.itemsize for step in steps)
    return np.lib.stride_tricks.as_strided(values[offset:], shape, strides, writeable=False)


_TORCH: dict[str, Callable[..., Any]] = {
    "torch.storage._load_from_bytes": _load_from_bytes,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: of_type(tensor, np.ndarray),
    "torch.Size": lambda lengths: of_type(lengths, tuple),
}

"""One record to and from its dataset: what may be stored is checked on the way in and again on the way out."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from camkit.errors import StoreError
from camkit.memory import claimed
from camkit.store.attributes import damage, integers, scalar_text, set_text, text
from camkit.store.provenance import to_json
from camkit.store.schema import MAX_PIXELS, Header, Kind
from camkit.types import Activation, Size

GZIP_LEVEL = 1
PLANE_CHUNKS_FROM = 1 << 20  # bytes
MAX_RATIO = 1_100  # DEFLATE cannot do better than 1032:1; a dataset that claims more holds nothing
SMALL = 1 << 16
MAX_VALUES = 1 << 31
TOLERANCE = 1e-3
COPIES = 4


def default_dtype(header: Header) -> str:
    if header.holds.is_mask and len(header.classes) > 254:
        return "uint16"
    return header.holds.dtypes[0]


def encode(activation: Activation, header: Header, dtype: str) -> np.ndarray:
    """The array to be stored; StoreError if the record is not what its kind promises."""
    kind = header.holds
    values, where = np.asarray(activation.values), f"the record of {activation.id!r}"
    check_size(activation.size, where)
    check_shape(values.shape, np.asarray(activation.classes), activation.size, header, where)
    check_values(values, header, where)
    if kind.per_pixel:
        return np.ascontiguousarray(values.astype(_whole_dtype(values, dtype, header, where), copy=False))
    if dtype == "uint8":
        return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    if kind.dtypes == ("float32",) or dtype == "float32":
        return np.ascontiguousarray(values, np.float32)
    if values.size and np.abs(values).max() > np.finfo(np.float16).max:
        raise StoreError(f"{where} has values beyond float16's range; use --dtype float32")
    return np.ascontiguousarray(values, np.float16)


def _whole_dtype(values: np.ndarray, dtype: str, header: Header, where: str) -> str:
    if values.dtype.name == dtype or not values.size or values.max() <= np.iinfo(dtype).max:
        return dtype
    if header.holds.superpixels:
        return "uint32"
    raise StoreError(f"{where} has the value {values.max()}, which {dtype} cannot hold")


def check_size(size: Size, where: str) -> None:
    if len(size) != 2 or min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise StoreError(f"{where} has the image size {tuple(size)}; sizes are (H, W) up to {MAX_PIXELS:,} pixels")


def check_shape(shape: tuple[int, ...], classes: np.ndarray, size: Size, header: Header, where: str) -> None:
    """Before anything is allocated: rank, classes and number of values fit each other, the header and the image."""
    kind = header.holds
    if len(shape) != kind.rank:
        raise StoreError(f"{where} has the shape {shape}; {header.kind} have {kind.rank} axes")
    if kind.per_class:
        _check_classes(classes, len(header.classes), where)
        if shape[0] != len(classes) + kind.background:
            raise StoreError(f"{where} has {shape[0]} planes for {len(classes)} classes")
        _check_planes(shape, size, where)
    elif kind.per_photo and shape[0] != len(header.classes):
        raise StoreError(f"{where} has {shape[0]} scores for {len(header.classes)} classes")
    elif kind.per_pixel and tuple(shape) != tuple(size):
        what = "a mask" if kind.is_mask else header.kind
        raise StoreError(f"{where} has {what} of {shape} for an image of {tuple(size)}")


def _check_classes(classes: np.ndarray, known: int, where: str) -> None:
    if classes.ndim != 1 or (classes.size and classes.dtype.kind not in "iu"):
        raise StoreError(f"{where} has classes that are not a list of integers")
    if classes.size and (classes.min() < 0 or classes.max() >= known):
        raise StoreError(f"{where} has a class outside 0 … {known - 1}")
    if np.any(classes[1:] <= classes[:-1]):
        raise StoreError(f"{where} has classes that are not in ascending order")


def _check_planes(shape: tuple[int, ...], size: Size, where: str) -> None:
    pixels = shape[1] * shape[2]
    if pixels > 4 * max(size[0] * size[1], SMALL) or math.prod(shape) > MAX_VALUES:
        raise StoreError(f"{where} has the shape {shape}, absurd for an image of {tuple(size)}")
    if shape[0] and not pixels:
        raise StoreError(f"{where} has the shape {shape}: planes without pixels")


def check_values(values: np.ndarray, header: Header, where: str) -> None:
    kind = header.holds
    if kind.is_mask:
        return _check_mask(values, len(header.classes), where)
    if kind.superpixels:
        return _check_superpixels(values, where)
    if values.dtype.kind not in "fiu":
        raise StoreError(f"{where} has values of type {values.dtype}, not numbers")
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise StoreError(f"{where} has values that are not finite")
    if kind.unit and (low < 0 or high > 1 + TOLERANCE):
        raise StoreError(f"{where} has values from {low:.4g} to {high:.4g}; {header.kind} lie in 0 … 1")
    return None


def _check_mask(values: np.ndarray, classes: int, where: str) -> None:
    if values.dtype.kind not in "iu":
        raise StoreError(f"{where} has mask values of type {values.dtype}, not integers")
    undecided = 255 if values.dtype.itemsize == 1 or classes <= 254 else 65_535
    wrong = (values > classes) & (values != undecided)
    if wrong.any() or (values.dtype.kind == "i" and values.min(initial=0) < 0):
        raise StoreError(f"{where} has mask values beyond its {classes} classes and {undecided} for undecided")


def _check_superpixels(values: np.ndarray, where: str) -> None:
    if values.dtype.kind not in "iu":
        raise StoreError(f"{where} has superpixels of type {values.dtype}, not integers")
    highest = np.maximum.accumulate(values.ravel())
    if values.min() < 0 or highest[0] != 0 or np.any(highest[1:] - highest[:-1] > 1):
        raise StoreError(f"{where} has superpixels that are not numbered 0, 1, 2 … as they first appear, row by row")


def compress(values: np.ndarray) -> list[bytes]:
    """What the filters of `_layout` make of its chunks: bytes shuffled, then deflated, of repetitions runs alone.

    Of maps and masks that is as small as a thorough search makes them, in a third of the time (tests/bench). It lets go
    of the interpreter lock.
    """
    layout = _layout(values.shape, values.dtype)
    if not layout:
        return []
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return [_deflated(part) for part in ([values] if layout["chunks"] == values.shape else values)]


def _deflated(values: np.ndarray) -> bytes:
    shuffled = np.ascontiguousarray(np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.itemsize).T)
    stream = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return stream.compress(shuffled.data) + stream.flush()


def _write_chunks(group: h5py.Group, id: str, values: np.ndarray, chunks: Sequence[bytes]) -> h5py.Dataset:
    layout = _layout(values.shape, values.dtype)
    dataset = group.create_dataset(id, values.shape, values.dtype.newbyteorder("<"), **layout)
    for number, raw in enumerate(chunks):
        dataset.id.write_direct_chunk((number, *[0] * (values.ndim - 1)), raw)
    return dataset


def write_record(
    group: h5py.Group, activation: Activation, values: np.ndarray, kind: Kind, chunks: Sequence[bytes]
) -> None:
    """chunks: of the values, by `compress`."""
    dataset = _write_chunks(group, activation.id, values, chunks)
    if kind.per_class:
        dataset.attrs["classes"] = np.asarray(activation.classes, np.int64)
    dataset.attrs["size"] = np.asarray(activation.size, np.int64)
    if activation.notes:
        set_text(dataset, "notes", to_json(activation.notes))


def _layout(shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    if not math.prod(shape):
        return {}
    large = len(shape) == 3 and math.prod(shape) * dtype.itemsize >= PLANE_CHUNKS_FROM
    chunks = (1, *shape[1:]) if large else shape
    return {"chunks": chunks, "compression": "gzip", "compression_opts": GZIP_LEVEL, "shuffle": True}


def copy_record(source: h5py.Dataset, group: h5py.Group, id: str, header: Header) -> None:
    """Make the record anew, but for its compressed values, which are taken over as they are.

    HDF5's own object copy depends on what the source file went through; this gives the same bytes every time.
    """
    where = f"{source.file.filename}: the record of {id!r}"
    with damage(where):
        _copy_record(source, group, id, header, where)


def _copy_record(source: h5py.Dataset, group: h5py.Group, id: str, header: Header, where: str) -> None:
    classes, size = check_dataset(source, id, header, source.file.filename)
    dtype = source.dtype.newbyteorder("<")
    layout = _layout(source.shape, dtype)
    if _has_layout(source, dtype, layout):
        dataset = group.create_dataset(id, source.shape, dtype, **layout)
        for number in range(source.id.get_num_chunks()):
            offset = source.id.get_chunk_info(number).chunk_offset
            mask, raw = source.id.read_direct_chunk(offset)
            dataset.id.write_direct_chunk(offset, raw, mask)
    else:
        values = source[()].astype(dtype)
        dataset = _write_chunks(group, id, values, compress(values))
    if header.holds.per_class:
        dataset.attrs["classes"] = classes
    dataset.attrs["size"] = np.asarray(size, np.int64)
    notes = _notes(source, where)
    if notes:
        set_text(dataset, "notes", to_json(notes))


def _has_layout(source: h5py.Dataset, dtype: np.dtype, layout: dict[str, Any]) -> bool:
    if not layout or source.dtype != dtype or any(getattr(source, name) != layout[name] for name in layout):
        return False
    return source.id.get_create_plist().get_nfilters() == 2


def write_failure(group: h5py.Group, name: str, message: str) -> None:
    raw = message.encode("utf-8", "backslashreplace").replace(b"\0", b"") or b"failed"
    group.create_dataset(name, data=np.bytes_(raw), dtype=h5py.string_dtype("utf-8", len(raw)))


def check_dataset(dataset: Any, id: str, header: Header, path: str) -> tuple[np.ndarray, Size]:
    """Classes and size of a record, from its description alone; StoreError before a value is read or allocated."""
    where = f"{path}: the record of {id!r}"
    if not isinstance(dataset, h5py.Dataset):
        raise StoreError(f"{where} is not an array")
    if dataset.shape is None or dataset.dtype.name not in header.holds.dtypes:
        raise StoreError(f"{where} has the type {dataset.dtype}; {header.kind} are {_dtypes(header)}")
    if dataset.is_virtual or dataset.external:
        raise StoreError(f"{where} has its values in another file; camkit does not follow it there")
    size = _size(dataset, where)
    classes = np.zeros(0, np.int64)
    if header.holds.per_class:
        classes = integers(dataset, "classes", where)
    check_shape(dataset.shape, classes, size, header, where)
    check_storage(dataset, where)
    return classes, size


def _dtypes(header: Header) -> str:
    return " or ".join(header.holds.dtypes)


def _size(dataset: h5py.Dataset, where: str) -> Size:
    size = integers(dataset, "size", where)
    if size.shape != (2,):
        raise StoreError(f"{where} has a size that is not (H, W)")
    check_size((int(size[0]), int(size[1])), where)
    return int(size[0]), int(size[1])


def check_storage(dataset: h5py.Dataset, where: str) -> None:
    if dataset.nbytes > MAX_RATIO * dataset.id.get_storage_size():
        raise StoreError(f"{where} holds fewer values than it claims")
    if dataset.chunks and math.prod(dataset.chunks) > 2 * max(math.prod(dataset.shape), SMALL):
        raise StoreError(f"{where} has chunks larger than itself")


def decode(dataset: Any, id: str, header: Header, path: str) -> Activation:
    """The record: float32 values, for masks and superpixels the integers as stored."""
    classes, size = check_dataset(dataset, id, header, path)
    where = f"{path}: the record of {id!r}"
    notes = _notes(dataset, where)
    with claimed(_bytes_needed(dataset, header), where, StoreError):
        values = _as_read(dataset[()], header)
        check_values(values, header, where)
    return Activation(id, values, classes, size, notes)


def _bytes_needed(dataset: h5py.Dataset, header: Header) -> int:
    """To read a record and to work on it: its values as they are stored, and some copies of them as they are read."""
    values = math.prod(dataset.shape)
    return dataset.nbytes + COPIES * values * (dataset.dtype.itemsize if header.holds.per_pixel else 4)


def _as_read(stored: np.ndarray, header: Header) -> np.ndarray:
    if header.holds.per_pixel:
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if stored.dtype.name == "uint8":
        return stored.astype(np.float32) / np.float32(255)
    return stored.astype(np.float32)


def _notes(dataset: h5py.Dataset, where: str) -> dict[str, Any]:
    if "notes" not in dataset.attrs:
        return {}
    notes = json.loads(text(dataset, "notes", where))
    if not isinstance(notes, dict):
        raise StoreError(f"{where} has notes that are not a JSON object")
    return notes


def read_failure(dataset: Any, id: str, path: str) -> str:
    return scalar_text(dataset, f"{path}: the failure of {id!r}", SMALL * 16)

"""Prototypes stores: the centres of each class's features, which of them are prototypes, and what they look like."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np

from camkit.errors import StoreError
from camkit.store.attributes import damage, integer
from camkit.store.codec import check_storage, read_failure, write_failure
from camkit.store.files import create_file, list_ids, open_file, read_header, write_complete, write_header
from camkit.store.join import make_folders
from camkit.store.schema import FAILURES, MAX_CLASSES, MAX_ID, PROTOTYPES, Header, check_ids

GROUP = PROTOTYPES["prototypes"].group
Side = Literal["foreground", "context"]
SIDES: tuple[Side, ...] = get_args(Side)
NAME = re.compile(r"(\d{1,5})/(foreground|context)(?:_(counts|scores|kept|examples|boxes|similarities))?")
MAX_CENTRES = 65_536
MAX_VALUES = 1 << 27
MAX_EXAMPLES = 64
MAX_STORE_BYTES = 2 << 30
TEXT_BYTES = 64
"""Of an id in memory, besides its letters."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """How centres came about: features there were and features sampled, rounds of k-means, whether it converged."""

    seen: int
    sampled: int
    rounds: int
    converged: bool


@dataclass(frozen=True, eq=False)
class Examples:
    """The features nearest to each centre, at most one of an image; ids are empty where there are fewer.

    ids [K, M] texts, boxes [K, M, 4] int64: top, left, bottom, right in pixels of the photo, similarities [K, M]
    """

    ids: np.ndarray
    boxes: np.ndarray
    similarities: np.ndarray


@dataclass(frozen=True, eq=False)
class Centres:
    """All centres of one side of a class; what a store made by hand does not say is None.

    values [K, D] float32, kept [K] bool: which are prototypes, counts [K] int64: their members,
    scores [K] float32: the classifier's probability of the class
    """

    values: np.ndarray
    kept: np.ndarray
    counts: np.ndarray | None = None
    scores: np.ndarray | None = None
    examples: Examples | None = None
    gathered: Gathered | None = None

    @property
    def prototypes(self) -> np.ndarray:
        return self.values[self.kept]


@dataclass(frozen=True, eq=False)
class ClassPrototypes:
    foreground: Centres
    context: Centres

    def side(self, name: Side) -> Centres:
        return self.foreground if name == "foreground" else self.context


@dataclass(frozen=True, eq=False)
class PrototypeStore:
    """of_class: the classes that have centres; a header without classes is that of a store made by hand."""

    header: Header
    of_class: Mapping[int, ClassPrototypes]
    channels: int
    failures: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


def encode_prototypes(store: PrototypeStore) -> bytes:
    """The store's file."""
    stream = io.BytesIO()
    with create_file(stream) as file:
        root = file.create_group(GROUP)
        for number, found in sorted(store.of_class.items()):
            group = root.create_group(str(number))
            for side in SIDES:
                _write_side(group, side, found.side(side))
        root, made = file.create_group(FAILURES), set[str]()
        for id, message in sorted(store.failures.items()):
            make_folders(root, id, made)
            write_failure(root, id, message)
        write_header(file, store.header)
        write_complete(file)
    return stream.getvalue()


def _write_side(group: h5py.Group, side: Side, centres: Centres) -> None:
    dataset = group.create_dataset(side, data=np.asarray(centres.values, np.float32))
    if centres.gathered is not None:
        for name, value in vars(centres.gathered).items():
            dataset.attrs[name] = np.int64(value)
    group.create_dataset(f"{side}_kept", data=centres.kept.astype(np.uint8))
    if centres.counts is not None:
        group.create_dataset(f"{side}_counts", data=centres.counts.astype(np.int64))
    if centres.scores is not None:
        group.create_dataset(f"{side}_scores", data=centres.scores.astype(np.float32))
    if centres.examples is not None:
        found = centres.examples
        raw = np.array([id.encode() for id in found.ids.ravel()], np.bytes_).reshape(found.ids.shape)
        kind = h5py.string_dtype("utf-8", max(1, raw.dtype.itemsize))
        group.create_dataset(f"{side}_examples", data=raw.astype(kind))
        group.create_dataset(f"{side}_boxes", data=found.boxes.astype(np.int64))
        group.create_dataset(f"{side}_similarities", data=found.similarities.astype(np.float32))


def holds_prototypes(path: Path) -> bool:
    """Whether a file is a prototypes store, sound or not; what cannot be opened is none."""
    try:
        with open_file(path) as file, damage(str(path)):
            return GROUP in file
    except StoreError:
        return False


def read_prototypes(path: Path, name: str | None = None) -> PrototypeStore:
    """A prototypes store, or the two arrays per class alone, made by hand; StoreError unless it is sound.

    name    what errors call the store, where its path would tell the user nothing
    """
    where = name or str(path)
    with open_file(path) as file, damage(where):
        header = _header(file, path, where)
        names = _names(file, where)
        _check_total(file, names, where)
        of_class = {number: _read_class(file, number, names[number], where) for number in sorted(names)}
        channels = _channels(of_class, where)
        failures = {id: read_failure(file[f"{FAILURES}/{id}"], id, where) for id in list_ids(file, FAILURES, where)}
    last = max(of_class)
    if header.classes and last >= len(header.classes):
        raise StoreError(f"{where} has prototypes of a class {last}, but names classes 0 … {len(header.classes) - 1}")
    return PrototypeStore(header, of_class, channels, failures, where)


def _header(file: h5py.File, path: Path, where: str) -> Header:
    if GROUP in file and not any(name in file.attrs for name in ("format", "kind", "version")):
        return Header("prototypes", (), "")
    return read_header(file, Path(where), PROTOTYPES)


def _names(file: h5py.File, where: str) -> dict[int, set[str]]:
    """The datasets of each class."""
    names: dict[int, set[str]] = {}
    for name in list_ids(file, GROUP, where):
        found = NAME.fullmatch(name)
        if not found or int(found[1]) >= MAX_CLASSES or str(int(found[1])) != found[1]:
            raise StoreError(f"{where} has '{GROUP}/{name[:80]}', which a prototypes store does not have")
        names.setdefault(int(found[1]), set()).add(name.partition("/")[2])
    if not names:
        raise StoreError(f"{where} has no prototypes; they are '{GROUP}/<class index>/foreground' and '…/context'")
    return names


def _check_total(file: h5py.File, names: Mapping[int, set[str]], where: str) -> None:
    """StoreError, before anything is read, if all arrays together are too much: each alone may be allowed."""
    items = (file[f"{GROUP}/{number}/{name}"] for number, found in names.items() for name in found)
    total = sum(_held_bytes(item) for item in items if isinstance(item, h5py.Dataset) and item.shape is not None)
    if total > MAX_STORE_BYTES:
        raise StoreError(f"{where} would take {total >> 20:,} MB; prototypes take at most {MAX_STORE_BYTES >> 20:,} MB")


def _held_bytes(dataset: h5py.Dataset) -> int:
    width = dataset.dtype.itemsize
    return int(math.prod(dataset.shape)) * (width + TEXT_BYTES if dataset.dtype.kind == "S" else max(width, 4))


def _read_class(file: h5py.File, number: int, names: set[str], where: str) -> ClassPrototypes:
    if "foreground" not in names:
        raise StoreError(f"{where} has no '{GROUP}/{number}/foreground'")
    foreground = _read_side(file, number, "foreground", names, where)
    if "context" in names:
        return ClassPrototypes(foreground, _read_side(file, number, "context", names, where))
    if any(name.startswith("context") for name in names):
        raise StoreError(f"{where} has no '{GROUP}/{number}/context', but figures about it")
    nothing = np.empty((0, foreground.values.shape[1]), np.float32)
    return ClassPrototypes(foreground, Centres(nothing, np.empty(0, bool)))


def _read_side(file: h5py.File, number: int, side: Side, names: set[str], where: str) -> Centres:
    def read(suffix: str, kinds: str, *shape: int) -> np.ndarray:
        name = f"{GROUP}/{number}/{side}{suffix}"
        return _array(file[name], f"{where}: '{name}'", kinds, shape)

    values = read("", "f", -1, -1).astype(np.float32)
    if not np.isfinite(values).all():
        raise StoreError(f"{where}: '{GROUP}/{number}/{side}' has values that are not finite")
    count = len(values)
    kept = read("_kept", "uib", count).astype(bool) if f"{side}_kept" in names else np.ones(count, bool)
    return Centres(
        values,
        kept,
        counts=read("_counts", "ui", count).astype(np.int64) if f"{side}_counts" in names else None,
        scores=read("_scores", "f", count).astype(np.float32) if f"{side}_scores" in names else None,
        examples=_examples(read, count, where) if f"{side}_examples" in names else None,
        gathered=_gathered(file[f"{GROUP}/{number}/{side}"], f"{where}: '{GROUP}/{number}/{side}'"),
    )


def _examples(read: Any, count: int, where: str) -> Examples:
    raw = read("_examples", "S", count, -1)
    ids = np.array([one.decode("utf-8", "replace") for one in raw.ravel()], object).reshape(raw.shape)
    try:
        check_ids(set(filter(None, ids.ravel())))
    except StoreError as error:
        raise StoreError(f"{where}: {error}") from None
    boxes = read("_boxes", "ui", *raw.shape, 4).astype(np.int64)
    return Examples(ids, boxes, read("_similarities", "f", *raw.shape).astype(np.float32))


def _gathered(dataset: h5py.Dataset, where: str) -> Gathered | None:
    if "seen" not in dataset.attrs:
        return None
    seen, sampled, rounds, converged = (
        integer(dataset, name, where) for name in ("seen", "sampled", "rounds", "converged")
    )
    return Gathered(seen, sampled, rounds, bool(converged))


def _array(dataset: Any, where: str, kinds: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values of a dataset of this shape (−1: any extent); StoreError before anything is read or allocated."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in kinds:
        raise StoreError(f"{where} is not an array of the right type")
    if dataset.is_virtual or dataset.external:
        raise StoreError(f"{where} has its values in another file; camkit does not follow it there")
    fits = len(dataset.shape) == len(shape) and all(
        wanted in (-1, found) for wanted, found in zip(shape, dataset.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if side < 0 else str(side) for side in shape)
        raise StoreError(f"{where} has the shape {dataset.shape}; it should be ({wanted})")
    if dataset.shape[0] > MAX_CENTRES or math.prod(dataset.shape) > MAX_VALUES:
        raise StoreError(f"{where} has an absurd size, {dataset.shape}")
    width = dataset.dtype.itemsize
    if dataset.dtype.kind == "S" and (dataset.shape[1] > MAX_EXAMPLES or width > 4 * MAX_ID):
        raise StoreError(f"{where} has an absurd size, {dataset.shape} of {width:,} bytes each")
    check_storage(dataset, where)
    return dataset[()]


def _channels(of_class: Mapping[int, ClassPrototypes], where: str) -> int:
    first, *others = (
        (number, side, found.side(side).values.shape[1]) for number, found in of_class.items() for side in SIDES
    )
    for number, side, channels in others:
        if channels != first[2]:
            raise StoreError(
                f"{where}: '{GROUP}/{number}/{side}' has {channels} channels, "
                f"but '{GROUP}/{first[0]}/{first[1]}' has {first[2]}"
            )
    return first[2]

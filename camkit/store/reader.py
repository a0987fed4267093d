"""Reading a store, or the shards of one run as if they were one. Nothing in a file is believed before it is checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from camkit.errors import StoreError
from camkit.store.attributes import damage
from camkit.store.codec import check_dataset, decode, read_failure
from camkit.store.dataset import StoreDataset
from camkit.store.files import list_ids, open_file, read_header
from camkit.store.provenance import Names, counted, difference, plain, to_json
from camkit.store.schema import FAILURES, Header, check_ids
from camkit.types import Activation, Size


class Reader:
    """The records of one store, or of several that `open_store` found to be one run."""

    def __init__(self, paths: Sequence[str | Path], name: str | None = None) -> None:
        if not paths:
            raise StoreError("no store was given")
        self._name = name
        self.paths = tuple(Path(path) for path in paths)
        self.names = (name,) if name else tuple(map(str, self.paths))
        self._files: list[h5py.File] = []
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        headers = []
        for path, name in zip(self.paths, self.names, strict=True):
            self._files.append(_open_as(name, path))
            headers.append(read_header(self._files[-1], Path(name)))
        self.header = _one_run(headers, self.names)
        self._group = self.header.holds.group
        self._at: dict[str, int] = self._index(self._group)
        self._failed_at: dict[str, int] = self._index(FAILURES)
        _check_apart(self._at, self._failed_at, self.names)
        self.ids: tuple[str, ...] = tuple(sorted(self._at))
        try:
            check_ids((*self.ids, *self._failed_at))
        except StoreError as error:
            raise StoreError(f"{self._names()}: {error}") from None

    def _index(self, group: str) -> dict[str, int]:
        index: dict[str, int] = {}
        for number, (name, file) in enumerate(zip(self.names, self._files, strict=True)):
            listed = dict.fromkeys(list_ids(file, group, name), number)
            _check_apart(index, listed, self.names)
            index.update(listed)
        return index

    def _names(self) -> str:
        return " and ".join(self.names[:3])

    @cached_property
    def failures(self) -> dict[str, str]:
        """Message by id."""
        found = {}
        for id, number in sorted(self._failed_at.items()):
            with damage(f"{self.names[number]}: the failure of {id!r}"):
                item = self._files[number][f"{FAILURES}/{id}"]
                found[id] = read_failure(item, id, self.names[number])
        return found

    def __getitem__(self, id: str) -> Activation:
        return self.read(id)

    def __repr__(self) -> str:
        names = self.header.classes
        known = f", {len(names)} classes: {', '.join(names[:4])}{', …' if len(names) > 4 else ''}" if names else ""
        return f"<camkit store {self._names()}: {self.header.kind} of {len(self)} images{known}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Elsewhere the files are opened anew."""
        return Reader, (self.paths, self._name)

    def reopened(self) -> Reader:
        return Reader(self.paths, self._name)

    def as_dataset(self, load: Callable[[str], Any] | None = None) -> StoreDataset:
        """For torch's DataLoader; `load` gives what lies beside an id, such as the photo."""
        return StoreDataset(self, load)

    def read(self, id: str) -> Activation:
        """values: float32, for masks uint8 or uint16 as stored."""
        name = self.names[self._number_of(id)]
        with damage(f"{name}: the record of {id!r}"):
            return decode(self._dataset(id), id, self.header, name)

    def inspect(self, id: str) -> tuple[h5py.Dataset, np.ndarray, Size]:
        """Dataset, classes and photo size of a record, checked as `read` does but without reading its values."""
        name = self.names[self._number_of(id)]
        with damage(f"{name}: the record of {id!r}"):
            dataset = self._dataset(id)
            classes, size = check_dataset(dataset, id, self.header, name)
            return dataset, classes, size

    def path_of_failure(self, id: str) -> Path:
        return self.paths[self._failed_at[id]]

    def _dataset(self, id: str) -> Any:
        return self._files[self._at[id]][f"{self._group}/{id}"]

    def path_of(self, id: str) -> Path:
        return self.paths[self._number_of(id)]

    def _number_of(self, id: str) -> int:
        if id in self._failed_at:
            raise StoreError(f"{self._names()} has no record of {id!r}: it failed, {self.failures[id]}")
        if id not in self._at:
            raise StoreError(f"{self._names()} has no record of {id!r}")
        return self._at[id]

    def __contains__(self, id: object) -> bool:
        return id in self._at

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Activation]:
        return (self.read(id) for id in self.ids)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for file in self._files:
            file.close()


def open_store(*paths: str | Path, name: str | None = None) -> Reader:
    """One store, or several shards of one run; StoreError unless they can be read as one.

    name    what errors call the store, where its path would tell the user nothing
    """
    return Reader(paths, name)


def _open_as(name: str, path: Path) -> h5py.File:
    try:
        return open_file(path)
    except StoreError as error:
        raise StoreError(str(error).replace(str(path), name)) from error


def _check_apart(one: dict[str, int], other: dict[str, int], names: Sequence[str]) -> None:
    both = min(one.keys() & other.keys(), default=None)
    if both is None:
        return
    first, second = names[one[both]], names[other[both]]
    if first == second:
        raise StoreError(f"{first} holds the id {both!r} twice")
    raise StoreError(f"{first} and {second} both hold the id {both!r}")


def _one_run(headers: Sequence[Header], names: Sequence[str]) -> Header:
    """The header of all: equal but for shard and images, or StoreError."""
    first = headers[0]
    for header, name in zip(headers[1:], names[1:], strict=True):
        found = different_run(first, header, selection=False, names=(names[0], name))
        if found:
            raise StoreError(f"{names[0]} and {name} are not shards of one run: {found}")
    if len(headers) == 1:
        return first
    provenance = merged_provenance([header.provenance for header in headers])
    return replace(first, provenance=provenance, shard=merged_shard([header.shard for header in headers]))


def different_run(old: Header, new: Header, *, selection: bool = True, names: Names = None) -> str | None:
    """What keeps two stores from being of the same run, in words, or None."""
    if old.kind != new.kind:
        if names:
            return f"{names[0]} holds {old.kind}, {names[1]} holds {new.kind}"
        return f"the store held {old.kind} and now {new.kind}"
    if old.classes != new.classes:
        counts = counted(len(old.classes), len(new.classes), names)
        return f"the classes {'differ' if names else 'changed'} ({counts})"
    return difference(old.provenance, new.provenance, selection=selection, names=names)


def merged_shard(shards: Sequence[str]) -> str:
    """ "0/3" and "2/3" give "0/3,2/3"; all shards of a run, or a store that is no shard, give ""."""
    labels = sorted({label for shard in shards for label in shard.split(",")}, key=_shard_key)
    total = _shard_key(labels[0])[1]
    whole = "" in labels or (total == len(labels) and all(_shard_key(label)[1] == total for label in labels))
    return "" if whole else ",".join(labels)


def _shard_key(label: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", label)
    return (int(found[1]), int(found[2])) if found else (-1, -1)


def merged_provenance(chains: Sequence[Any]) -> dict[str, Any]:
    """One chain for stores that differ in their images: a common selection, and the single ones under `merged`."""
    first = plain(chains[0])
    selections = _distinct([plain(chain).get("selection") for chain in chains])
    parents = _distinct([parent for chain in chains for parent in plain(chain).get("parents") or []])
    if len(selections) == 1:
        return first
    counts = [(one or {}).get("count") for one in selections]
    total = sum(count for count in counts if isinstance(count, int))
    digest = hashlib.sha256(to_json(selections).encode()).hexdigest()
    return {
        **first,
        "selection": {"count": total, "sha256": digest},
        "parents": parents,
        "merged": selections,
    }


def _distinct(values: Sequence[Any]) -> list[Any]:
    by_text = {to_json(value): value for value in values}
    return [by_text[key] for key in sorted(by_text)]

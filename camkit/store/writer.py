"""Writing a store that survives being killed: parts first, one join at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from camkit.errors import OutputError, StoreError, UsageError
from camkit.store.attributes import damage
from camkit.store.codec import default_dtype, encode, read_failure
from camkit.store.files import open_file
from camkit.store.join import index_files, join_files, part_of
from camkit.store.parts import Lock, Parts, writing
from camkit.store.provenance import check_chain, plain, to_json
from camkit.store.runs import check_parts, check_replaceable, check_target, existing_store, shares_parts, shares_store
from camkit.store.schema import FAILURES, Header, check_classes, check_ids, kind_of, shard_ids
from camkit.types import Activation

PART_RECORDS = 64
PART_BYTES = 8 << 20
PART_SECONDS = 5.0


class Writer:
    """Writes one store, or one shard of it; running it again goes on where the last run stopped.

    `ids` are all ids of the run, whatever the shard. Only one process may write a shard of `out` at a time.
    """

    def __init__(
        self,
        out: Path,
        header: Header,
        ids: Sequence[str],
        *,
        shard: tuple[int, int] = (0, 1),
        dtype: str | None = None,
        overwrite: bool = False,
        part_records: int = PART_RECORDS,
        part_bytes: int = PART_BYTES,
        part_seconds: float = PART_SECONDS,
    ) -> None:
        _check_options(header, shard, dtype)
        self.header = replace(header, provenance=plain(header.provenance), shard="")
        self.ids = check_ids(ids)
        self.shard = shard
        self._own = frozenset(shard_ids(self.ids, shard))
        self._dtype = dtype or default_dtype(header)
        self._limits = (part_records, part_bytes, part_seconds)
        self._out = Path(out).resolve()
        self._parts = Parts(self._out)
        self._lock: Lock | None = None
        self._pending: list[tuple[Activation, np.ndarray]] = []
        self._pending_failures: dict[str, str] = {}
        self._flushed = time.monotonic()
        self._broken = False
        self._whole = False
        self.finished = False
        self.done: frozenset[str] = frozenset()
        self._failures: dict[str, str] = {}
        self._start(overwrite)
        self._held = set(self.done)

    @property
    def failures(self) -> Mapping[str, str]:
        """Message by id, of this shard: known from earlier runs and not made good since, and those of this run."""
        return self._failures

    def _start(self, overwrite: bool) -> None:
        check_target(self._out)
        if overwrite:
            check_replaceable(self._out)
        if not overwrite and self._is_finished():
            self._sweep()
            return
        with self._parts.gate():
            try:
                self._begin(overwrite)
            except BaseException:
                self._release()
                self._parts.remove_if_unused()
                raise

    def _is_finished(self) -> bool:
        store = existing_store(self._out, self.header, self.ids)
        if store is None:
            return False
        with store:
            if any(id not in store for id in self._own):
                return False
            self._whole = len(store) == len(self.ids)
        self.finished = True
        self.done = self._own
        return True

    def _sweep(self) -> None:
        """Parts left by a process that was killed between the join and their removal."""
        if not (self._whole and os.access(self._parts.path, os.W_OK)):
            return
        with self._parts.gate():
            if not self._parts.writers():
                self._parts.remove()

    def _begin(self, overwrite: bool) -> None:
        continuing = overwrite and self._was_overwriting()
        if overwrite and not continuing:
            self._make_way()
        elif not overwrite and self._is_finished():
            self._parts.remove_if_unused()
            return
        check_parts(self._parts, self.header, self.ids)
        with writing(self._parts.path):
            self._lock = self._parts.claim(self.shard)
            self._parts.forget_other_counts(self.shard[1])
        self._parts.drop(self.shard, parts=overwrite and not continuing)
        if self._out.exists() and (not overwrite or self._keeps_others()):
            self._parts.add_store()
        if not overwrite or continuing:
            self._take_stock()

    def _was_overwriting(self) -> bool:
        """True if the parts are of this very run: an earlier one with `overwrite`, interrupted, which goes on."""
        alone = self.shard[1] == 1
        return alone and bool(self._parts.files()) and shares_parts(self._parts, self.header, self.ids)

    def _make_way(self) -> None:
        """Remove old parts; where other shards of this run share them, only this shard's go, later."""
        if self.shard[1] > 1 and shares_parts(self._parts, self.header, self.ids):
            return
        writers = self._parts.writers()
        if writers:
            raise OutputError(f"{self._out} is being written by {writers[0]}; wait for it to end")
        self._parts.clear()

    def _keeps_others(self) -> bool:
        return self.shard[1] > 1 and shares_store(self._out, self.header, self.ids)

    def _take_stock(self) -> None:
        records, failures = self._index()
        self.done = self._own & records.keys()
        for id in self._own & failures.keys():
            with open_file(failures[id]) as file, damage(str(failures[id])):
                self._failures[id] = read_failure(file[f"{FAILURES}/{id}"], id, str(failures[id]))

    def _index(self) -> tuple[dict[str, Path], dict[str, Path]]:
        try:
            return index_files(self._parts.files(), kind_of(self.header.kind).group)
        except StoreError as error:
            raise OutputError(f"{error}\nremove that part: its images will be done again") from error

    def write(self, activation: Activation) -> None:
        """Keep one record; it is durable when its part is full, or 5 s old at the next record."""
        self._check_new(activation.id)
        values = encode(activation, self.header, self._dtype)
        to_json(activation.notes)
        self._held.add(activation.id)
        self._failures.pop(activation.id, None)
        self._pending_failures.pop(activation.id, None)
        self._pending.append((activation, values))
        self._flush_if_due()

    def fail(self, id: str, message: str) -> None:
        """Remember that this image failed, and why; the next run tries it again."""
        self._check_new(id)
        self._failures[id] = message
        self._pending_failures[id] = message
        self._flush_if_due()

    def _check_new(self, id: str) -> None:
        if self._lock is None:
            raise StoreError(f"{self._out} is finished or closed; the record of {id!r} comes too late")
        if id not in self._own:
            raise StoreError(f"{id!r} is not among the ids of this shard of {self._out}")
        if id in self._held:
            raise StoreError(f"the record of {id!r} was written already")

    def _flush_if_due(self) -> None:
        records, size, seconds = self._limits
        count = len(self._pending) + len(self._pending_failures)
        held = sum(values.nbytes for _, values in self._pending)
        if count >= records or held >= size or time.monotonic() - self._flushed >= seconds:
            self._flush()

    def _flush(self) -> None:
        if self._pending or self._pending_failures:
            data = part_of(self._pending, self._pending_failures, kind_of(self.header.kind))
            try:
                self._parts.add(data, self.shard)
            except OutputError:
                self._broken = True
                raise
            self._pending.clear()
            self._pending_failures.clear()
        self._flushed = time.monotonic()

    def finish(self) -> bool:
        """Join the parts. True: the store is at `out`; False: other shards of the run have to finish first."""
        if self._lock is None:
            return self.finished
        self._flush()
        self._check_all()
        with self._parts.gate():
            joined = self._join()
            if joined:
                self._parts.remove()
            self._release()
        self.finished = joined
        return joined

    def _check_all(self) -> None:
        missing = sorted(self._own - self._held - self._failures.keys())
        if missing:
            raise StoreError(
                f"{self._out} is not whole: {len(missing)} images were neither done nor failed ({missing[0]!r})"
            )

    def _join(self) -> bool:
        records, failures = self._index()
        held = records.keys() | failures.keys()
        whole = held >= set(self.ids)
        index, count = self.shard
        own_lock = f"lock-{index}-of-{count}"
        if self._parts.writers(but=own_lock):
            return False
        alone = self._parts.locks() == [own_lock] and held <= self._own
        if not whole and not alone:
            return False
        header = self.header if whole else replace(self.header, shard=f"{index}/{count}")
        join_files(records, failures, header, self._parts.path / "join.tmp", self._out)
        return True

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._lock is not None and not self._broken:
                self._flush()
        finally:
            self._release()


def _check_options(header: Header, shard: tuple[int, int], dtype: str | None) -> None:
    kind = kind_of(header.kind)
    check_classes(header.classes)
    check_chain(plain(header.provenance))
    index, count = shard
    if not 0 <= index < count:
        raise UsageError(f"shard {index} of {count} does not exist; shards are 0 to {count - 1}")
    if header.kind == "masks" and dtype == "uint8" and len(header.classes) > 254:
        raise UsageError(f"masks of {len(header.classes)} classes do not fit uint8; store them as uint16")
    if dtype is not None and dtype not in kind.dtypes:
        raise UsageError(f"{header.kind} cannot be stored as {dtype}; possible: {', '.join(kind.dtypes)}")

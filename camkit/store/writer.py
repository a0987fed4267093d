"""Writing a store that survives being killed: parts first, one join at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from camkit.errors import OutputError, StoreError, UsageError
from camkit.store.attributes import damage
from camkit.store.codec import compress, default_dtype, encode, read_failure
from camkit.store.durable import Due, DurableWriter
from camkit.store.files import open_file
from camkit.store.join import index_files, join_files, part_of
from camkit.store.provenance import check_chain, plain, to_json
from camkit.store.runs import existing_store, shares_parts, shares_store
from camkit.store.schema import FAILURES, Header, check_classes
from camkit.types import Activation

PART_RECORDS = 64
PART_BYTES = 8 << 20
PART_SECONDS = 5.0

COMPRESSING = 2  # threads, which keep the caller from waiting; HDF5 is the caller's alone

Record = tuple[Activation, np.ndarray, "Future[list[bytes]]"]
"""An activation, its values as they are stored, and their chunks as soon as they are compressed."""


class Writer(DurableWriter[Record]):
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
        self._dtype = dtype or default_dtype(header)
        self._whole = False
        self._threads = ThreadPoolExecutor(COMPRESSING, thread_name_prefix="camkit-store")
        due = Due(part_seconds, part_bytes, part_records)
        super().__init__(out, header, ids, due, shard=shard, overwrite=overwrite)

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
        if not (self._whole and self._parts.is_own() and os.access(self._parts.path, os.W_OK)):
            return
        with self._parts.gate():
            if not self._parts.writers():
                self._parts.remove()

    def _make_way(self) -> bool:
        """Where other shards of this run share the parts, only this shard's go, later."""
        if self._was_overwriting():
            return True
        if self.shard[1] == 1 or not shares_parts(self._parts, self.header, self.ids):
            self._parts.check_nobody_writes()
            self._parts.clear()
        return False

    def _was_overwriting(self) -> bool:
        """True if the parts are of this very run: an earlier one with `overwrite`, interrupted, which goes on."""
        alone = self.shard[1] == 1
        return alone and bool(self._parts.files()) and shares_parts(self._parts, self.header, self.ids)

    def _take_stock(self, *, overwrite: bool, continuing: bool) -> None:
        if self._out.exists() and (not overwrite or self._keeps_others()):
            self._parts.add_store()
        if not continuing:
            return
        records, failures = self._index()
        self.done = self._own & records.keys()
        for id in self._own & failures.keys():
            with open_file(failures[id]) as file, damage(str(failures[id])):
                self._failures[id] = read_failure(file[f"{FAILURES}/{id}"], id, str(failures[id]))

    def _keeps_others(self) -> bool:
        return self.shard[1] > 1 and shares_store(self._out, self.header, self.ids)

    def _index(self) -> tuple[dict[str, Path], dict[str, Path]]:
        try:
            return index_files(self._parts.files(), self.header.holds.group)
        except StoreError as error:
            raise OutputError(f"{error}\nremove that part: its images will be done again") from error

    def write(self, activation: Activation) -> None:
        """Keep one record; it is durable when its part is full, or 5 s old at the next record."""
        self._check_new(activation.id)
        values = encode(activation, self.header, self._dtype)
        to_json(activation.notes)
        self._keep(activation.id, (activation, values, self._threads.submit(compress, values)))
        self._flush_if_due()

    def _size(self, kept: Record) -> int:
        return kept[1].nbytes

    def _write_part(self) -> None:
        records = [(activation, values, chunks.result()) for activation, values, chunks in self._pending.values()]
        self._publish(part_of(records, self._pending_failures, self.header.holds))

    def _release(self) -> None:
        super()._release()
        self._threads.shutdown(wait=False)

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
        if self._others_write():
            return False
        alone = self._parts.locks() == [self._parts.lock_of(self.shard).name] and held <= self._own
        if not whole and not alone:
            return False
        index, count = self.shard
        header = self.header if whole else replace(self.header, shard=f"{index}/{count}")
        join_files(records, failures, header, self._parts.path / "join.tmp", self._out)
        return True


def _check_options(header: Header, shard: tuple[int, int], dtype: str | None) -> None:
    kind = header.holds
    check_classes(header.classes)
    check_chain(plain(header.provenance))
    index, count = shard
    if not 0 <= index < count:
        raise UsageError(f"shard {index} of {count} does not exist; shards are 0 to {count - 1}")
    if kind.is_mask and dtype == "uint8" and len(header.classes) > 254:
        raise UsageError(f"masks of {len(header.classes)} classes do not fit uint8; store them as uint16")
    if dtype is not None and dtype not in kind.dtypes:
        raise UsageError(f"{header.kind} cannot be stored as {dtype}; possible: {', '.join(kind.dtypes)}")

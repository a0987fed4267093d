"""The durable core of writers: what is found becomes durable in parts, and a run goes on where the last one stopped."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from camkit.errors import OutputError, StoreError
from camkit.store.locks import Lock
from camkit.store.parts import Parts, writing
from camkit.store.provenance import plain
from camkit.store.runs import check_parts, check_replaceable, check_target
from camkit.store.schema import Header, check_ids, shard_ids

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Due:
    """What is kept becomes a part when it is so much, or so old at the next image."""

    seconds: float
    size: int
    records: int = sys.maxsize


class DurableWriter(ABC, Generic[Kept]):
    """Keeps something of every image of a run, or of one shard of it, and makes it durable part by part.

    `ids` are all ids of the run, whatever the shard. Only one process may write a shard of `out` at a time.

    An interrupt may come at any instant. What is kept of an image is kept by one assignment, so that it is whole or
    not there. It is let go only after its part was published; an interrupt in between has it published again. So
    where several parts tell of an id, the later one wins.
    """

    def __init__(
        self, out: Path, header: Header, ids: Sequence[str], due: Due, *, shard: tuple[int, int], overwrite: bool
    ) -> None:
        self.header = replace(header, provenance=plain(header.provenance), shard="")
        self.ids = check_ids(ids)
        self.shard = shard
        self.finished = False
        self.done: frozenset[str] = frozenset()
        self._own = frozenset(shard_ids(self.ids, shard))
        self._out = Path(out).resolve()
        self._parts = Parts(self._out)
        self._lock: Lock | None = None
        self._due = due
        self._pending: dict[str, Kept] = {}
        self._pending_failures: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._flushed = time.monotonic()
        self._broken = False
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
        elif self._is_finished():
            self._sweep()
            return
        with self._parts.gate():
            try:
                self._begin(overwrite)
            except BaseException:
                self._release()
                self._parts.remove_if_unused()
                raise

    def _begin(self, overwrite: bool) -> None:
        if not overwrite and self._is_finished():  # by another process, while this one waited at the gate
            self._parts.remove_if_unused()
            return
        continuing = not overwrite or self._make_way()
        check_parts(self._parts, self.header, self.ids)
        with writing(self._parts.path):
            self._lock = self._parts.claim(self.shard)
            self._parts.forget_other_counts(self.shard[1])
        self._parts.drop(self.shard, parts=not continuing)
        self._take_stock(overwrite=overwrite, continuing=continuing)

    @abstractmethod
    def _is_finished(self) -> bool:
        """Whether this shard's images are at `out`, then also noting so; UsageError if anything else is there."""

    @abstractmethod
    def _sweep(self) -> None:
        """Remove what a process left that was killed between the store's appearance and the parts' removal."""

    @abstractmethod
    def _make_way(self) -> bool:
        """Remove what an overwriting run has no use for. True: this run's own parts are left, from which it goes on."""

    @abstractmethod
    def _take_stock(self, *, overwrite: bool, continuing: bool) -> None:
        """Note what is done, and what had failed, by the parts there are."""

    @abstractmethod
    def _size(self, kept: Kept) -> int:
        """In bytes."""

    @abstractmethod
    def _write_part(self) -> None:
        """Publish all that is pending, changing nothing of it: it may come again."""

    def _tidy(self) -> None:
        """After a part."""

    def _check_new(self, id: str) -> None:
        if self._lock is None:
            raise StoreError(f"{self._out} is finished or closed; the record of {id!r} comes too late")
        if id not in self._own:
            raise StoreError(f"{id!r} is not among the ids of this shard of {self._out}")
        if id in self._held:
            raise StoreError(f"the record of {id!r} was written already")

    def _keep(self, id: str, kept: Kept) -> None:
        self._pending[id] = kept
        self._held.add(id)
        self._failures.pop(id, None)
        self._pending_failures.pop(id, None)

    def fail(self, id: str, message: str) -> None:
        """Remember that this image failed, and why; the next run tries it again."""
        self._check_new(id)
        self._failures[id] = self._pending_failures[id] = message
        self._flush_if_due()

    def _flush_if_due(self) -> None:
        count = len(self._pending) + len(self._pending_failures)
        size = sum(map(self._size, self._pending.values()))
        age = time.monotonic() - self._flushed
        if count >= self._due.records or size >= self._due.size or age >= self._due.seconds:
            self._flush()

    def _flush(self) -> None:
        if self._pending or self._pending_failures:
            self._write_part()
            self._pending, self._pending_failures = {}, {}
            self._tidy()
        self._flushed = time.monotonic()

    def _publish(self, data: bytes) -> Path:
        try:
            return self._parts.add(data, self.shard)
        except OutputError:
            self._broken = True
            raise

    def _others_write(self) -> bool:
        """Call within the gate."""
        return bool(self._parts.writers(but=self._parts.lock_of(self.shard).name))

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

"""Gathering the sample of local features that LPCAM clusters: image by image, bounded, resumable, by several ranks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from camkit.errors import OutputError, StoreError, UsageError
from camkit.methods.sampling import Reservoir, priorities
from camkit.stages.lpcam_sample import Budget, Sample, group_of, offer
from camkit.store.parts import Lock, Parts, sync_folder, write_atomically, writing
from camkit.store.prototypes import SIDES, PrototypeStore, encode_prototypes, read_prototypes
from camkit.store.provenance import plain
from camkit.store.reader import different_run
from camkit.store.runs import check_parts, check_replaceable, check_target, shares_parts
from camkit.store.sample import Part, Rows, SeenImage, encode_part, read_part, shrink_part
from camkit.store.schema import Header, check_ids, shard_ids
from camkit.types import Activation

SECONDS = 5.0


class SampleWriter:
    """Gathers the sample of a run, or of one shard of it; running it again goes on where the last run stopped.

    An activation's values are [D + C, h, w]: features, then for each of its classes 1 in the foreground, else 0.
    """

    def __init__(
        self,
        out: Path,
        header: Header,
        ids: Sequence[str],
        budget: Budget,
        *,
        seed: int,
        shard: tuple[int, int] = (0, 1),
        overwrite: bool = False,
    ) -> None:
        self.header = replace(header, provenance=plain(header.provenance))
        self.ids = check_ids(ids)
        self.budget, self.seed, self.shard = budget, seed, shard
        self._own = frozenset(shard_ids(self.ids, shard))
        self._out = Path(out).resolve()
        self._parts = Parts(self._out)
        self._lock: Lock | None = None
        self._reservoir = Reservoir(budget.rows, budget.per_group)
        self._index: dict[Path, Part] = {}
        self._images: list[SeenImage] = []
        self._rows: list[tuple[Rows, np.ndarray]] = []
        self._failures: dict[str, str] = {}
        self._pending_failures: dict[str, str] = {}
        self._flushed = time.monotonic()
        self._broken = False
        self.finished = False
        self.done: frozenset[str] = frozenset()
        self._start(overwrite)

    @property
    def failures(self) -> Mapping[str, str]:
        return self._failures

    def _start(self, overwrite: bool) -> None:
        check_target(self._out)
        if overwrite:
            check_replaceable(self._out)
        elif self._is_finished() and not self._parts.path.exists():
            return
        with self._parts.gate():
            try:
                self._begin(overwrite)
            except BaseException:
                self._release()
                self._parts.remove_if_unused()
                raise

    def _begin(self, overwrite: bool) -> None:
        if not overwrite and self._is_finished():
            if not self._parts.writers():
                self._parts.remove()
            return
        if overwrite and not shares_parts(self._parts, self.header, self.ids):
            writers = self._parts.writers()
            if writers:
                raise OutputError(f"{self._out} is being written by {writers[0]}; wait for it to end")
            self._parts.clear()
        check_parts(self._parts, self.header, self.ids)
        with writing(self._parts.path):
            self._lock = self._parts.claim(self.shard)
            self._parts.forget_other_counts(self.shard[1])
        self._parts.drop(self.shard, parts=False)
        self._take_stock()

    def _is_finished(self) -> bool:
        """Whether the store is there, and of this very run; UsageError if it is anything else."""
        if not self._out.exists():
            return False
        try:
            old = read_prototypes(self._out)
        except StoreError as error:
            raise UsageError(f"{error}\nit is not replaced without --overwrite; or choose another --out") from error
        found = different_run(old.header, self.header)
        if found:
            raise UsageError(
                f"{self._out} was made by another run: {found}\nchoose another --out, or replace it with --overwrite"
            )
        self._failures = {id: why for id, why in old.failures.items() if id in self._own}
        self.finished, self.done = True, self._own
        return True

    def _take_stock(self) -> None:
        for path in self._parts.files():
            self._index[path] = part = read_part(path)
            offer(self._reservoir, part)
            self._failures.update((id, why) for id, why in part.failures.items() if id in self._own)
        seen = {image.id for part in self._index.values() for image in part.images}
        self.done = self._own & seen
        self._failures = {id: why for id, why in self._failures.items() if id not in seen}

    def write(self, activation: Activation) -> None:
        """Sample an image; what is kept is durable when its part is full, or 5 s old at the next image."""
        values = activation.values
        if not np.isfinite(values).all():
            raise StoreError("the network gives features that are not finite")
        features = values[: self.budget.channels].reshape(self.budget.channels, -1)
        height, width = values.shape[1:]
        counts: Counter[int] = Counter()
        for number, plane in zip(activation.classes.tolist(), values[self.budget.channels :], strict=True):
            foreground = plane.ravel() > 0
            drawn = priorities(self.seed, activation.id, number, foreground.size)
            for side in SIDES:
                cells = np.flatnonzero(foreground if side == "foreground" else ~foreground)
                group = group_of(number, side == "context")
                counts[group] += len(cells)
                kept = cells[self._reservoir.offer(group, drawn[cells])]
                if len(kept):
                    self._rows.append((self._described(group, drawn[kept], kept), features[:, kept].T.copy()))
        self._reservoir.see(counts)
        self._images.append(SeenImage(activation.id, activation.size, (height, width), dict(counts)))
        self._failures.pop(activation.id, None)
        self._pending_failures.pop(activation.id, None)
        self._flush_if_due()

    def _described(self, group: int, drawn: np.ndarray, cells: np.ndarray) -> Rows:
        count = len(cells)
        image = np.full(count, len(self._images), np.uint32)
        return Rows(np.full(count, group, np.uint32), drawn, image, cells.astype(np.uint32))

    def fail(self, id: str, message: str) -> None:
        """Remember that this image failed, and why; a run that is continued tries it again."""
        self._failures[id] = self._pending_failures[id] = message
        self._flush_if_due()

    def _flush_if_due(self) -> None:
        held = sum(features.nbytes for _, features in self._rows)
        if held >= self.budget.part_bytes or time.monotonic() - self._flushed >= SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self._images or self._pending_failures:
            rows, features = self._wanted_rows()
            data, ordered = encode_part(self._images, self._pending_failures, rows, features)
            try:
                path = self._parts.add(data, self.shard)
            except OutputError:
                self._broken = True
                raise
            self._index[path] = Part(path, tuple(self._images), dict(self._pending_failures), ordered)
            self._images, self._rows, self._pending_failures = [], [], {}
            self._compact()
        self._flushed = time.monotonic()

    def _wanted_rows(self) -> tuple[Rows, np.ndarray]:
        """Of the rows in hand those that may still be in the sample in the end."""
        channels = self.budget.channels
        nothing = Rows(*(np.empty(0, kind) for kind in (np.uint32, np.uint64, np.uint32, np.uint32)))
        found, features = [nothing], [np.empty((0, channels), np.float32)]
        while self._rows:
            rows, values = self._rows.pop(0)
            kept = rows.priorities <= self._reservoir.limit(int(rows.groups[0]))
            found.append(rows.at(kept))
            features.append(values[kept])
        columns = zip(*(vars(rows).values() for rows in found), strict=True)
        return Rows(*(np.concatenate(column) for column in columns)), np.concatenate(features)

    def _compact(self) -> None:
        """Drop from this shard's parts what is not wanted any more, once it is as much as what is."""
        own = {path: part for path, part in self._index.items() if path.name.endswith(self._suffix)}
        if sum(len(part.rows) for part in own.values()) <= 2 * self.budget.rows:
            return
        for path, part in own.items():
            groups, inverse = np.unique(part.rows.groups, return_inverse=True)
            limits = np.array([self._reservoir.limit(int(group)) for group in groups], np.uint64)
            kept = part.rows.priorities <= limits[inverse]
            if not kept.all():
                self._index[path] = shrink_part(part, kept)

    @property
    def _suffix(self) -> str:
        return f"-{self.shard[0]}-of-{self.shard[1]}.h5"

    def finish(self) -> bool:
        """True: all images of the run were seen, and this process is the one to cluster; False: others come after."""
        if self._lock is None:
            return self.finished
        self._flush()
        with self._parts.gate():
            last = self._is_last()
            if not last:
                self._release()
        return last

    def _is_last(self) -> bool:
        if self._parts.writers(but=f"lock-{self.shard[0]}-of-{self.shard[1]}"):
            return False
        sample = self.sample()
        return {image.id for image in sample.images} | sample.failures.keys() >= set(self.ids)

    def sample(self) -> Sample:
        return Sample([read_part(path) for path in self._parts.files()], self.budget)

    def publish(self, store: PrototypeStore) -> None:
        """Write the store, whole or not at all, and remove the parts."""
        data = encode_prototypes(store)
        temporary = self._parts.path / "prototypes.tmp"
        with self._parts.gate():
            with writing(self._out):
                write_atomically(temporary, data)
                temporary.replace(self._out)
                sync_folder(self._out.parent)
            self._parts.remove()
            self._release()
        self.finished = True

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

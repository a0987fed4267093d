"""Gathering the sample of local features that LPCAM clusters: image by image, bounded, resumable, by several ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camkit.errors import StoreError, UsageError
from camkit.methods.sampling import Reservoir, priorities
from camkit.stages.lpcam_sample import Budget, Sample, group_of, offer
from camkit.store.durable import Due, DurableWriter
from camkit.store.parts import sync_folder, write_atomically, writing
from camkit.store.prototypes import SIDES, PrototypeStore, encode_prototypes, read_prototypes
from camkit.store.reader import different_run
from camkit.store.runs import shares_parts
from camkit.store.sample import Part, Rows, SeenImage, encode_part, read_parts, shrink_part
from camkit.store.schema import Header
from camkit.types import Activation

SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class Kept:
    """An image, and of each group its rows that may be sampled: priorities [n], cells [n], features [n, D]."""

    image: SeenImage
    groups: Mapping[int, tuple[np.ndarray, np.ndarray, np.ndarray]]

    @property
    def nbytes(self) -> int:
        return sum(features.nbytes for _, _, features in self.groups.values())


class SampleWriter(DurableWriter[Kept]):
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
        self.budget, self.seed = budget, seed
        self._reservoir = Reservoir(budget.rows, budget.per_group)
        self._index: dict[Path, Part] = {}
        super().__init__(out, header, ids, Due(SECONDS, budget.part_bytes), shard=shard, overwrite=overwrite)

    def _sweep(self) -> None:
        if not self._parts.is_own():
            return
        with self._parts.gate():
            if not self._parts.writers():
                self._check_left_over()
                self._parts.remove()

    def _make_way(self) -> bool:
        if not shares_parts(self._parts, self.header, self.ids):
            self._parts.check_nobody_writes()
            self._parts.clear()
        return True

    def _check_left_over(self) -> None:
        """UsageError unless parts beside the finished store are those it was made from.

        Those are older than it: the run that made them was killed between writing it and removing them.
        """
        made = self._out.stat().st_mtime_ns
        if any(path.stat().st_mtime_ns > made for path in self._parts.files()):
            raise UsageError(
                f"{self._out} was being replaced; give --overwrite again to go on, or remove {self._parts.path}"
            )

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

    def _take_stock(self, *, overwrite: bool, continuing: bool) -> None:
        self._index = {part.path: part for part in read_parts(self._parts.files())}
        for part in self._index.values():
            offer(self._reservoir, part)
            self._failures.update((id, why) for id, why in part.failures.items() if id in self._own)
        seen = {image.id for part in self._index.values() for image in part.images}
        self.done = self._own & seen
        self._failures = {id: why for id, why in self._failures.items() if id not in seen}

    def write(self, activation: Activation) -> None:
        """Sample an image; what is kept is durable when its part is full, or 5 s old at the next image."""
        self._check_new(activation.id)
        kept = self._sampled(activation)
        self._keep(activation.id, kept)
        for group, (drawn, _, _) in kept.groups.items():
            self._reservoir.offer(group, drawn)
        self._reservoir.see(kept.image.counts)
        self._flush_if_due()

    def _sampled(self, activation: Activation) -> Kept:
        """The reservoir learns of an image only when it is kept: were it interrupted, it would know too much."""
        values = activation.values
        if not np.isfinite(values).all():
            raise StoreError("the network gives features that are not finite")
        features = values[: self.budget.channels].reshape(self.budget.channels, -1)
        height, width = values.shape[1:]
        counts: Counter[int] = Counter()
        groups = {}
        for number, plane in zip(activation.classes.tolist(), values[self.budget.channels :], strict=True):
            foreground = plane.ravel() > 0
            drawn = priorities(self.seed, activation.id, number, foreground.size)
            for side in SIDES:
                cells = np.flatnonzero(foreground if side == "foreground" else ~foreground)
                group = group_of(number, side == "context")
                counts[group] += len(cells)
                cells = cells[self._reservoir.admits(group, drawn[cells])]
                groups[group] = drawn[cells], cells, features[:, cells].T.copy()
        return Kept(SeenImage(activation.id, activation.size, (height, width), dict(counts)), groups)

    def _size(self, kept: Kept) -> int:
        return kept.nbytes

    def _write_part(self) -> None:
        images = tuple(kept.image for kept in self._pending.values())
        data, rows = encode_part(images, self._pending_failures, *self._wanted_rows())
        path = self._publish(data)
        self._index[path] = Part(path, images, dict(self._pending_failures), rows)

    def _wanted_rows(self) -> tuple[Rows, np.ndarray]:
        """Of what is pending the rows that may still be in the sample, with their features [n, D]."""
        found, features = [Rows.none()], [np.empty((0, self.budget.channels), np.float32)]
        for image, kept in enumerate(self._pending.values()):
            for group, (drawn, cells, values) in kept.groups.items():
                wanted = drawn <= self._reservoir.limit(group)
                found.append(Rows.of_image(image, group, drawn[wanted], cells[wanted]))
                features.append(values[wanted])
        return Rows.joined(found), np.concatenate(features)

    def _tidy(self) -> None:
        """Drop from this shard's parts what is not wanted any more, once it is as much as what is."""
        own = {path: part for path, part in self._index.items() if self._parts.of_shard(path, self.shard)}
        if sum(len(part.rows) for part in own.values()) <= 2 * self.budget.rows:
            return
        for path, part in own.items():
            groups, inverse = np.unique(part.rows.groups, return_inverse=True)
            limits = np.array([self._reservoir.limit(int(group)) for group in groups], np.uint64)
            kept = part.rows.priorities <= limits[inverse]
            if not kept.all():
                self._index[path] = shrink_part(part, kept)

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
        if self._others_write():
            return False
        sample = self.sample()
        return {image.id for image in sample.images} | sample.failures.keys() >= set(self.ids)

    def sample(self) -> Sample:
        return Sample(read_parts(self._parts.files()), self.budget)

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

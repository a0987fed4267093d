"""A store as what torch's DataLoader reads: items by number, in any process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camkit.store.reader import Reader


class StoreDataset:
    """Items {"id", "values", "classes", "size", "photo" where there is `load`}: arrays become tensors when collated.

    load  of an id what lies beside it: the photo, a ground truth
    """

    def __init__(self, reader: Reader, load: Callable[[str], Any] | None = None) -> None:
        self._reader, self._load, self._process = reader, load, os.getpid()

    def __len__(self) -> int:
        return len(self._reader.ids)

    def __getitem__(self, number: int) -> dict[str, Any]:
        reader = self._own_reader()
        id = reader.ids[number]
        one = reader.read(id)
        item = {"id": id, "values": one.values, "classes": one.classes, "size": one.size}
        return item if self._load is None else {**item, "photo": self._load(id)}

    def _own_reader(self) -> Reader:
        """Workers are forked, but an open HDF5 file must not be shared."""
        if self._process != os.getpid():
            self._reader, self._process = self._reader.reopened(), os.getpid()
        return self._reader

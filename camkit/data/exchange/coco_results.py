"""Writing COCO results: `results.json`, a list with an entry for every class of every image."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from camkit.data.classes import COCO_CLASSES, COCO_IDS
from camkit.data.exchange import rle
from camkit.data.exchange.naming import numbers_of
from camkit.data.exchange.source import undecided
from camkit.data.writing import write_whole
from camkit.types import Activation

log = logging.getLogger("camkit")

RESULTS = "results.json"
_PARTS = ".results"


@dataclass(frozen=True)
class CocoTarget:
    """Takes masks. Images go by the number in their names if all have one of their own, else by their names.

    What is written of an image waits in a hidden folder until all are there: a run that was stopped goes on.
    """

    classes: Sequence[str]
    numbers: Mapping[str, int] | None
    endings: tuple[str, ...] = (RESULTS,)
    temporary: bool = True

    @classmethod
    def of(cls, classes: Sequence[str], ids: Sequence[str]) -> CocoTarget:
        return cls(classes, numbers_of(ids))

    def files(self, id: str) -> tuple[str, ...]:
        return (f"{_PARTS}/{id}.json",)

    def write(self, folder: Path, activation: Activation) -> None:
        text = ",\n".join(json.dumps(result, separators=(",", ":")) for result in self._results(activation))
        write_whole(folder / f"{_PARTS}/{activation.id}.json", lambda file: file.write(text.encode()))

    def finish(self, folder: Path, ids: tuple[str, ...], complete: bool) -> None:
        full = [id for id in ids if (folder / f"{_PARTS}/{id}.json").stat().st_size]
        write_whole(folder / RESULTS, lambda file: _join(file, folder, full))
        if len(full) < len(ids):
            log.info("%d images without objects are not in %s", len(ids) - len(full), RESULTS)
        if complete:
            _remove_parts(folder / _PARTS, ids)

    def _results(self, activation: Activation) -> list[dict[str, Any]]:
        mask = activation.values
        values = [int(value) for value in np.unique(mask) if value not in (0, undecided(len(self.classes)))]
        image = activation.id if self.numbers is None else self.numbers[activation.id]
        return [
            {
                "image_id": image,
                "category_id": self._category(value - 1),
                "segmentation": {"size": list(mask.shape), "counts": rle.to_text(rle.encode(mask == value))},
                "score": 1.0,
            }
            for value in values
        ]

    def _category(self, index: int) -> int:
        return COCO_IDS[index] if tuple(self.classes) == COCO_CLASSES else index + 1


def _remove_parts(parts: Path, ids: Sequence[str]) -> None:
    """What was written of these images, and folders that are empty then; what others have put there stays."""
    for id in ids:
        (parts / f"{id}.json").unlink(missing_ok=True)
    inside = {parts / folder for id in ids for folder in PurePosixPath(id).parents}
    for folder in sorted(inside, reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _join(file: IO[bytes], folder: Path, ids: Sequence[str]) -> None:
    for number, id in enumerate(ids):
        file.write((b",\n" if number else b"[\n") + (folder / f"{_PARTS}/{id}.json").read_bytes())
    file.write(b"\n]\n" if ids else b"[]\n")

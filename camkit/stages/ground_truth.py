"""Masks to judge by, and what the numbers in them mean where that is not class + 1."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from camkit.data.classes import ClassIndex, is_background, read_numbers
from camkit.data.masks import find_masks, read_mask
from camkit.data.reading import examples
from camkit.errors import InputError, LabelError
from camkit.evaluate.confusion import Confusion

log = logging.getLogger("camkit")

HINT = "give --gt-classes FILE, a line `number name` for each number in the ground truth"
_VOID = np.iinfo(np.uint16).max
_UNNAMED = _VOID - 1


@dataclass(frozen=True)
class GroundTruth(Mapping[str, Path]):
    """id -> file. `meaning` [65536] uint16: of each number in a mask what it is; None: that number itself."""

    paths: Mapping[str, Path]
    meaning: np.ndarray | None = field(default=None, repr=False)
    source: str = ""

    def __getitem__(self, id: str) -> Path:
        return self.paths[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, id: str) -> np.ndarray:
        """[H, W]: 0 background, class + 1, 255 (65535 in uint16) to be ignored."""
        mask = read_mask(self.paths[id])
        if self.meaning is None:
            return mask
        void = mask == np.iinfo(mask.dtype).max
        meant = self.meaning[mask]
        meant[void] = _VOID
        if (meant == _UNNAMED).any():
            number = int(mask.flat[int((meant == _UNNAMED).argmax())])
            raise InputError(f"the ground truth holds the number {number}, which {self.source} does not name")
        return meant


def find_truth(folder: Path, numbers: str | None, classes: Sequence[str]) -> GroundTruth:
    """numbers: `voc`, `coco` or a file that names the numbers of the masks; None: they are class + 1."""
    paths = find_masks(folder)
    if numbers is None:
        return GroundTruth(paths)
    index = ClassIndex(classes)
    meaning = np.full(_VOID + 1, _UNNAMED, np.uint16)
    meaning[0], meaning[_VOID] = 0, _VOID
    strangers = []
    for number, name in read_numbers(numbers).items():
        place = index.find(name)
        meaning[number] = 0 if is_background(name) else _VOID if place is None else place + 1
        if place is None and not is_background(name):
            strangers.append(name)
    if strangers and not ((meaning > 0) & (meaning < _UNNAMED)).any():
        raise LabelError(f"--gt-classes {numbers} names none of the classes {examples(classes)}: {examples(strangers)}")
    if strangers:
        told = examples(strangers)
        log.warning("pixels of %d classes that were not looked for are left out: %s", len(strangers), told)
    return GroundTruth(paths, meaning, f"--gt-classes {numbers}")


def say_if_foreign(confusion: Confusion, classes: Sequence[str]) -> None:
    """A warning where no class of the ground truth is one that was predicted: its numbers may mean other classes."""
    true = np.flatnonzero(confusion.counts.sum(axis=(0, 2))[1:])
    predicted = np.flatnonzero(confusion.matrix.sum(axis=0)[1:])
    if len(true) and len(predicted) and not np.intersect1d(true, predicted).size:
        held, found = (examples([classes[int(index)] for index in found]) for found in (true, predicted))
        log.warning(
            "by its numbers the ground truth holds %s, the predictions %s: no class in common\n%s", held, found, HINT
        )

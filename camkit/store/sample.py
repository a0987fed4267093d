"""Parts of a sample of local features, while it is gathered: the images that were seen, and the rows kept of them."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from camkit.errors import OutputError, StoreError
from camkit.store.attributes import damage, set_text
from camkit.store.files import create_file, open_file
from camkit.store.parts import write_atomically, writing
from camkit.store.provenance import to_json
from camkit.types import Size

ROW_BYTES = 20
"""Of a row without its features."""


@dataclass(frozen=True)
class SeenImage:
    """An image: the size of the photo, the grid of its features, and how many rows of each group it had."""

    id: str
    size: Size
    grid: Size
    counts: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class Rows:
    """What is known of n rows besides their features; all [n].

    groups uint32, priorities uint64, images uint32: which of the part's images, cells uint32: where in its grid
    """

    groups: np.ndarray
    priorities: np.ndarray
    images: np.ndarray
    cells: np.ndarray

    def __len__(self) -> int:
        return len(self.groups)

    @classmethod
    def none(cls) -> Rows:
        return cls(*(np.empty(0, dtype) for dtype in (np.uint32, np.uint64, np.uint32, np.uint32)))

    @classmethod
    def of_image(cls, image: int, group: int, priorities: np.ndarray, cells: np.ndarray) -> Rows:
        count = len(cells)
        same = np.full(count, group, np.uint32), priorities, np.full(count, image, np.uint32)
        return cls(*same, cells.astype(np.uint32))

    @classmethod
    def joined(cls, several: Sequence[Rows]) -> Rows:
        columns = zip(*(vars(rows).values() for rows in several), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def at(self, where: np.ndarray) -> Rows:
        return Rows(self.groups[where], self.priorities[where], self.images[where], self.cells[where])


@dataclass(frozen=True, eq=False)
class Part:
    """A part file without the features: rows are ordered by group, and within a group by priority.

    places [n]: where in the file each row is; None: they are all of the file's
    """

    path: Path
    images: tuple[SeenImage, ...]
    failures: Mapping[str, str]
    rows: Rows
    places: np.ndarray | None = None

    def without(self, ids: Collection[str]) -> Part:
        """The same without what it tells of these images."""
        kept = [number for number, image in enumerate(self.images) if image.id not in ids]
        if len(kept) == len(self.images):
            return self
        places = np.flatnonzero(np.isin(self.rows.images, kept))
        rows = self.rows.at(places)
        rows = replace(rows, images=np.searchsorted(kept, rows.images).astype(np.uint32))
        return replace(self, images=tuple(self.images[number] for number in kept), rows=rows, places=places)

    def span(self, group: int, limit: np.uint64) -> slice:
        """The rows of a group that are not above a priority."""
        start, stop = np.searchsorted(self.rows.groups, [group, group + 1])
        count = np.searchsorted(self.rows.priorities[start:stop], limit, side="right")
        return slice(int(start), int(start + count))


def encode_part(
    images: Sequence[SeenImage], failures: Mapping[str, str], rows: Rows, features: np.ndarray
) -> tuple[bytes, Rows]:
    """The part's file, of rows [n] in any order with their features [n, D] float32; and the rows as it has them."""
    order = np.lexsort((rows.priorities, rows.groups))
    ordered = rows.at(order)
    about = [[image.id, *image.size, *image.grid, sorted(image.counts.items())] for image in images]
    stream = io.BytesIO()
    with create_file(stream) as file:
        set_text(file, "format", "camkit sample part")
        text = to_json({"images": about, "failures": dict(failures)}).encode()
        file.create_dataset("about", data=np.frombuffer(text, np.uint8))
        for name, values in vars(ordered).items():
            file.create_dataset(name, data=values)
        file.create_dataset("features", data=features[order])
    return stream.getvalue(), ordered


def read_parts(paths: Sequence[Path]) -> list[Part]:
    """Oldest first, as the paths are. Where several tell of an image, the later one wins."""
    found: list[Part] = []
    known: set[str] = set()
    for path in reversed(paths):
        found.append(read_part(path).without(known))
        known.update(image.id for image in found[-1].images)
    return found[::-1]


def read_part(path: Path) -> Part:
    """OutputError if the part is damaged: it is of this run, and can be made again."""
    try:
        with open_file(path) as file, damage(str(path)):
            about = json.loads(bytes(file["about"][()]))
            names = ("groups", "priorities", "images", "cells")
            rows = Rows(*(file[name][()] for name in names))
            images = tuple(
                SeenImage(id, (height, width), (h, w), dict(counts))
                for id, height, width, h, w, counts in about["images"]
            )
            if rows.images.max(initial=0) >= max(1, len(images)):
                raise StoreError(f"{path} has rows of an image that it does not name")
            return Part(path, images, about["failures"], rows)
    except StoreError as error:
        raise OutputError(f"{error}\nremove that part: its images will be seen again") from error


def read_features(part: Part, span: slice) -> np.ndarray:
    """[n, D] float32."""
    with open_file(part.path) as file, damage(str(part.path)):
        return file["features"][span if part.places is None else part.places[span]]


def shrink_part(part: Part, kept: np.ndarray) -> Part:
    """Keep these rows [n] bool of a part alone. The file is replaced as a whole: a kill leaves the old or the new."""
    features = read_features(part, slice(None))[kept]
    data, rows = encode_part(part.images, part.failures, part.rows.at(kept), features)
    with writing(part.path):
        write_atomically(part.path, data)
    return Part(part.path, part.images, part.failures, rows)

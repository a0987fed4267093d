"""Photos as records: decoded, brought to the size the network is to see, with the classes their labels name."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from camkit.data.images import ImageSet, image_size, read_image
from camkit.defaults import LARGEST_SIDE
from camkit.errors import CamkitError, ImageError, InputError, UsageError
from camkit.pipeline.load import Failure, load_ahead
from camkit.pipeline.select import Selection
from camkit.types import Activation, LongerSide, Record

log = logging.getLogger("camkit")


@dataclass(frozen=True)
class ViewSize:
    """At which size the network sees a photo: its longer side in pixels; None: as it is.

    shrink_only  smaller photos are left as they are
    """

    longest: int | None
    shrink_only: bool = False

    def longest_side(self, path: Path) -> int | None:
        """At which size to read this photo; None: its own."""
        if self.shrink_only and self.longest is not None and max(image_size(path)) <= self.longest:
            return None
        return self.longest

    def __str__(self) -> str:
        if self.longest is None:
            return "native"
        return f"at most {self.longest}" if self.shrink_only else str(self.longest)


NATIVE = ViewSize(None)


def view_size(resize: LongerSide | None, recorded: int | None = None) -> ViewSize:
    """None: what the checkpoint records, else native up to 1,000 px."""
    if resize is None:
        return ViewSize(recorded) if recorded else ViewSize(LARGEST_SIDE, shrink_only=True)
    if resize == "native":
        return NATIVE
    if not isinstance(resize, int) or resize < 1:
        raise UsageError(f"--resize {resize}: give the longer side in pixels, or native")
    return ViewSize(resize)


def load_photos(
    ids: Sequence[str], selection: Selection, view: ViewSize, *, workers: int
) -> Iterator[Record | Failure]:
    """Records of the photos, decoded ahead of the consumer."""
    load = partial(load_photo, selection=selection, view=view)
    shrunk = 0
    for record in load_ahead(ids, load, workers=workers):
        if view.shrink_only and isinstance(record, Record) and max(record.size) > LARGEST_SIDE:
            shrunk += 1
        yield record
    if shrunk:
        log.info("photos larger than %s px were seen at that size (see --resize): %d", view.longest, shrunk)


def load_photo(id: str, selection: Selection, view: ViewSize) -> Record | Failure:
    path = selection.images.paths[id]
    try:
        image, size = read_image(path, view.longest_side(path))
    except CamkitError as error:
        return Failure(id, error)
    return Record(id, size, image=image, classes=selection.classes_of(id))


def read_photo(activation: Activation, photos: ImageSet, view: ViewSize = NATIVE) -> np.ndarray:
    """The photo [h, w, 3] uint8 that a store's activation is about, at the size it is to be seen."""
    if activation.id not in photos.paths:
        raise InputError(missing_photo(photos))
    path = photos.paths[activation.id]
    image, size = read_image(path, view.longest_side(path))
    if size != tuple(activation.size):
        raise ImageError(
            f"{path} is {size[1]}x{size[0]}, but the store is about {activation.size[1]}x{activation.size[0]} pixels; "
            "give --images the photos it was made from"
        )
    return image


def missing_photo(photos: ImageSet) -> str:
    return f"there is no photo of it in {photos.root}; give --images a folder that has it"

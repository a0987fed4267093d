"""`camkit show --prototypes`: the image patches nearest to each prototype, as a picture or a page."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from camkit.data.classes import ClassIndex
from camkit.data.images import ImageSet, read_image
from camkit.data.reading import examples
from camkit.errors import CamkitError, InputError, UsageError
from camkit.pipeline.load import load_ahead
from camkit.pipeline.output import check_inputs_stay
from camkit.pipeline.upstream import photos_of
from camkit.stages.exhibition import find_class
from camkit.stages.prototypes import open_prototypes
from camkit.store.prototypes import SIDES, Centres, ClassPrototypes, PrototypeStore
from camkit.types import Box
from camkit.view.picture import check_picture, encoded, save_picture
from camkit.view.prototypes import PrototypeRow, Side, class_size, draw_class, patch, stack
from camkit.view.sheet import LONGEST_SIDE, check_picture_size

log = logging.getLogger("camkit")

TILES = (72, 64, 56, 48)
JPEG_QUALITY = 85
LONGEST_JPEG = 65_500  # what Pillow writes

Place = tuple[int, int, int]
"""Which of the sides, which of its centres, which of its examples."""


def show_prototypes(
    prototypes: Path | str | None,
    out: Path,
    *,
    images: Path | str | None = None,
    classes: Sequence[str] = (),
    tile: int | None = None,
    workers: int = 2,
) -> int:
    """Draw the prototypes of a store: a picture, or, where `out` ends in .html, a page; gives the number of classes.

    images   where the photos are; None: where those of the store were
    classes  names: only these
    tile     side of a patch in pixels; None: the largest that fits, up to 72
    """
    page = out.suffix.lower() in (".html", ".htm")
    check_inputs_stay(out, [prototypes], "choose another name")
    if not page:
        check_picture(out)
    with open_prototypes(prototypes) as (store, _):
        wanted = _wanted(store, classes)
        photos = photos_of(store, images, store.name)
        _check_photos(store, wanted, photos)
        tiles = _page_tiles(store, wanted, tile) if page else _sheet_tiles(store, wanted, tile)
        drawn = (
            (_name(store, number), _class_picture(_name(store, number), store.of_class[number], photos, side, workers))
            for number, side in tiles.items()
        )
        if page:
            from camkit.view.page.prototypes import write_prototype_page

            jpegs = ((name, encoded(picture, "JPEG", quality=JPEG_QUALITY)) for name, picture in drawn)
            write_prototype_page(out, jpegs, title=f"Prototypes: {Path(store.name).name}")
            return len(wanted)
        save_picture(stack([picture for _, picture in drawn]), out)
    return len(wanted)


def _name(store: PrototypeStore, number: int) -> str:
    return store.header.classes[number] if store.header.classes else f"class {number}"


def _wanted(store: PrototypeStore, classes: Sequence[str]) -> list[int]:
    names = {_name(store, number): number for number in store.of_class}
    index = ClassIndex(tuple(names))
    chosen = [tuple(names)[find_class(name, index)] for name in classes]
    return sorted(names[name] for name in chosen) if classes else sorted(store.of_class)


def _check_photos(store: PrototypeStore, wanted: Sequence[int], photos: ImageSet) -> None:
    """InputError unless the store knows examples, and a photo of one of them is there."""
    ids = {id for number in wanted for side in SIDES for id in _ids(store.of_class[number].side(side))}
    if not ids:
        raise UsageError(f"{store.name} does not say what its prototypes look like; camkit lpcam-cluster notes it")
    if photos.paths.keys().isdisjoint(ids):
        raise InputError(
            f"none of the {len(ids)} images is in {photos.root}: looked for {examples(sorted(ids))}\n"
            "give --images the folder that the prototypes were made from"
        )
    missing = ids - photos.paths.keys()
    if missing:
        log.warning("%d of %d images are not in %s", len(missing), len(ids), photos.root)


def _ids(centres: Centres) -> set[str]:
    return set() if centres.examples is None else {id for id in centres.examples.ids.ravel() if id}


def _columns(found: ClassPrototypes) -> int:
    shapes = [side.examples.ids.shape[1] for side in (found.foreground, found.context) if side.examples is not None]
    return max(shapes, default=1)


def _sheet_tiles(store: PrototypeStore, wanted: Sequence[int], tile: int | None) -> dict[int, int]:
    """The side of the patches of each class: one for all; UsageError if the sheet would be too large."""
    side = tile or _largest_tile(store, wanted, LONGEST_SIDE)
    way_out = "show fewer classes (--class), smaller (--tile), or make a page (--html FILE)"
    check_picture_size(*_sheet_size(store, wanted, side), way_out=way_out)
    return dict.fromkeys(wanted, side)


def _page_tiles(store: PrototypeStore, wanted: Sequence[int], tile: int | None) -> dict[int, int]:
    """Of each class its own, for its picture is its own."""
    tiles = {number: tile or _largest_tile(store, [number], LONGEST_JPEG) for number in wanted}
    for number, side in tiles.items():
        way_out = f"give a smaller --tile, or choose other classes than {_name(store, number)} (--class)"
        check_picture_size(*_sheet_size(store, [number], side), LONGEST_JPEG, way_out)
    return tiles


def _largest_tile(store: PrototypeStore, wanted: Sequence[int], longest: int) -> int:
    return next((tile for tile in TILES if max(_sheet_size(store, wanted, tile)) <= longest), TILES[-1])


def _sheet_size(store: PrototypeStore, wanted: Sequence[int], tile: int) -> tuple[int, int]:
    sizes = [
        class_size([len(found.foreground.kept), len(found.context.kept)], _columns(found), tile)
        for found in (store.of_class[number] for number in wanted)
    ]
    return sum(height for height, _ in sizes), max(width for _, width in sizes)


def _class_picture(name: str, found: ClassPrototypes, photos: ImageSet, tile: int, workers: int) -> Image.Image:
    tiles: dict[Place, Image.Image] = {}
    requests = _places_by_image(found)
    cut = partial(_patches, photos=photos, tile=tile)
    for patches in load_ahead(requests.items(), cut, workers=workers):
        tiles.update(patches)
    sides = [
        Side(side, [_row(found.side(side), number, centre, tiles) for centre in range(len(found.side(side).kept))])
        for number, side in enumerate(SIDES)
    ]
    return draw_class(name, sides, _columns(found), tile)


def _places_by_image(found: ClassPrototypes) -> dict[str, list[tuple[Place, Box]]]:
    """So that every photo is read once."""
    places: dict[str, list[tuple[Place, Box]]] = {}
    for number, side in enumerate(SIDES):
        shown = found.side(side).examples
        for centre, place in np.argwhere(shown.ids != "") if shown is not None else ():
            assert shown is not None
            top, left, bottom, right = (int(edge) for edge in shown.boxes[centre, place])
            at = (number, int(centre), int(place))
            places.setdefault(shown.ids[centre, place], []).append((at, (top, left, bottom, right)))
    return places


def _patches(request: tuple[str, list[tuple[Place, Box]]], photos: ImageSet, tile: int) -> Mapping[Place, Image.Image]:
    """Of one photo; none if it is not there or cannot be read, or is not the one the boxes are about."""
    id, places = request
    if id not in photos.paths:
        return {}
    try:
        photo, (height, width) = read_image(photos.paths[id])
    except CamkitError as error:
        log.warning("%s: %s", id, error)
        return {}
    inside = [
        (at, (top, left, bottom, right))
        for at, (top, left, bottom, right) in places
        if 0 <= top < bottom <= height and 0 <= left < right <= width
    ]
    if len(inside) < len(places):
        log.warning("%s: the photo is %dx%d, smaller than the one that was clustered", id, width, height)
    return {at: patch(photo, box, tile) for at, box in inside}


def _row(centres: Centres, side: int, centre: int, tiles: Mapping[Place, Image.Image]) -> PrototypeRow:
    shown = () if centres.examples is None else centres.examples.ids[centre]
    return PrototypeRow(
        kept=bool(centres.kept[centre]),
        score=None if centres.scores is None else float(centres.scores[centre]),
        count=None if centres.counts is None else int(centres.counts[centre]),
        tiles=[tiles.get((side, centre, place)) if id else None for place, id in enumerate(shown)],
    )

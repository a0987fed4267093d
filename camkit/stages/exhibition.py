"""Stores side by side: which of their images `camkit show` shows, and the run over them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from camkit.data.classes import ClassIndex
from camkit.data.images import ImageSet, list_file
from camkit.data.lists import IdIndex, read_id_list
from camkit.data.masks import find_masks
from camkit.data.reading import examples
from camkit.data.voc import find_voc
from camkit.defaults import MASK_THRESHOLD, TILE, WORKERS
from camkit.errors import CamkitError, InputError, UsageError
from camkit.evaluate.bootstrap import Tallies
from camkit.evaluate.report import Report
from camkit.methods.seeds import classes_of_mask
from camkit.pipeline.load import Failure, load_ahead
from camkit.pipeline.photos import missing_photo
from camkit.pipeline.progress import show_progress
from camkit.pipeline.upstream import photos_of
from camkit.stages.pictures import Look, Request, judge
from camkit.store.reader import Reader, open_store
from camkit.store.schema import in_words, kind_of, kinds_that
from camkit.types import Sort

log = logging.getLogger("camkit")

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Column:
    """A store to show. `seconds`: what it took to make; `report`: of an evaluation that was made before.

    tallies  of its photos, where they were judged one by one
    """

    name: str
    store: Path
    seconds: float | None = None
    report: Report | None = None
    tallies: Tallies | None = None


@dataclass(frozen=True)
class View:
    """Which images are shown, and how.

    images     where the photos are; None: where the first store's were
    truth      ground truth masks: a folder, or a VOC root
    list       a file of ids, or the name of a VOC split: only these
    ids        only these
    classes    names: only images that have one of them by the first store, and only their maps
    limit      at most so many; None: 24 on a sheet, all on a page
    sort       by id, by the mean IoU of the image in the first store, or given: as `ids` are
    tile       longer side of a picture in pixels; None: 240, of a single overlay 640
    threshold  where maps become masks; None: 0.3 where there is ground truth, on a page the best of a sweep
    interval   on a page: how sure mIoU and the differences to the first store are
    """

    images: Path | None = None
    truth: Path | None = None
    list: str | None = None
    ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    limit: int | None = None
    sort: Sort | Literal["given"] = "id"
    tile: int | None = None
    threshold: float | None = None
    workers: int = WORKERS
    interval: bool = False


@dataclass(frozen=True, eq=False)
class Exhibition:
    """Columns with their open stores, the files of photos and ground truth by id, and how all is drawn."""

    columns: Sequence[Column]
    readers: Sequence[Reader]
    photos: ImageSet
    truths: Mapping[str, Path] | None
    view: View
    look: Look


@contextmanager
def open_exhibition(columns: Sequence[Column], view: View) -> Iterator[Exhibition]:
    """Everything that can be wrong with stores and folders is found here."""
    if view.sort in ("worst", "best") and view.truth is None:
        raise UsageError(f"--sort {view.sort} goes by IoU: give the ground truth (--gt)")
    with ExitStack() as stack:
        readers = [stack.enter_context(open_store(column.store)) for column in columns]
        _check_stores(columns, readers)
        names, kinds = readers[0].header.classes, tuple(reader.header.kind for reader in readers)
        look = Look(
            names=names,
            kinds=kinds,
            thresholds=thresholds_of(columns, kinds, view),
            tile=view.tile or TILE,
            wanted=_wanted(view.classes, names),
            truth=view.truth is not None,
        )
        truths = None if view.truth is None else find_masks(view.truth)
        yield Exhibition(columns, readers, photos_of(readers[0], view.images, columns[0].name), truths, view, look)


def thresholds_of(columns: Sequence[Column], kinds: Sequence[str], view: View) -> tuple[float | None, ...]:
    """Of maps: the one asked for, else that of the column's report, else that of `camkit mask` if they are judged."""

    def choose(column: Column, kind: str) -> float | None:
        if not kind_of(kind).thresholded:
            return None
        if view.threshold is not None:
            return view.threshold
        if column.report is not None:
            return column.report.threshold
        return MASK_THRESHOLD if view.truth is not None else None

    return tuple(choose(column, kind) for column, kind in zip(columns, kinds, strict=True))


def choose_ids(show: Exhibition) -> list[str]:
    """The images that all stores have, and of them those the view asks for."""
    ids = _common_ids(show)
    if show.view.list is not None:
        ids = _listed(show, ids)
    if show.view.ids:
        ids = _named(show, ids)
    if show.look.wanted is not None:
        ids = _with_classes(show, ids)
    if show.truths is not None and ids.isdisjoint(show.truths):
        raise InputError(f"{show.view.truth} has no ground truth for the images: looked for {examples(sorted(ids))}")
    return sorted(ids)


def first_ids(show: Exhibition, ids: Sequence[str], limit: int | None) -> Sequence[str]:
    """In the order of the view; at most View.limit, or as many as it names, else `limit`."""
    view = show.view
    if view.sort == "given":
        order = {id: place for place, id in enumerate(view.ids)}
        ids = sorted(ids, key=lambda id: order.get(id, len(order)))
    ordered = _by_iou(show, ids) if view.sort in ("worst", "best") else ids
    limit = view.limit or (None if view.ids else limit)
    if limit is not None and len(ordered) > limit:
        log.info("showing %d of %d images (see --limit)", limit, len(ordered))
    return ordered[:limit]


def draw_all(
    show: Exhibition,
    ids: Sequence[str],
    draw: Callable[[Request, Look], Drawn],
    failures: dict[str, str],
    *,
    description: str = "show",
) -> Iterator[Drawn]:
    """What `draw` makes of each image, in order; images that fail are told and added to `failures`."""
    attempt = partial(_attempt, draw, look=show.look)
    results = load_ahead(_requests(show, ids), attempt, workers=show.view.workers)
    with show_progress(description, len(ids)) as progress:
        for result in results:
            progress.advance()
            if not isinstance(result, Failure):
                yield result
            elif result.id not in failures:
                log.warning("%s: %s", result.id, result.error)
                failures[result.id] = str(result.error)


def _attempt(draw: Callable[[Request, Look], Drawn], request: Request | Failure, *, look: Look) -> Drawn | Failure:
    if isinstance(request, Failure):
        return request
    try:
        return draw(request, look)
    except CamkitError as error:
        return Failure(request.id, error)


def _requests(show: Exhibition, ids: Sequence[str]) -> Iterator[Request | Failure]:
    for id in ids:
        truth = None if show.truths is None else show.truths.get(id)
        try:
            if id not in show.photos.paths:
                raise InputError(missing_photo(show.photos))
            activations = tuple(reader.read(id) for reader in show.readers)
            yield Request(id, show.photos.paths[id], truth, activations)
        except CamkitError as error:
            yield Failure(id, error)


def _check_stores(columns: Sequence[Column], readers: Sequence[Reader]) -> None:
    for column, reader in zip(columns, readers, strict=True):
        if reader.header.holds.mask is None:
            raise UsageError(
                f"{column.name} is a {reader.header.kind} store, which says nothing about pixels; "
                f"camkit show takes {in_words(kinds_that(lambda kind: kind.mask))}"
            )
        if reader.header.classes != readers[0].header.classes:
            raise UsageError(f"{columns[0].name} and {column.name} are about different classes; show them one by one")


def _wanted(names: Sequence[str], known: Sequence[str]) -> frozenset[int] | None:
    if not names:
        return None
    index = ClassIndex(known)
    return frozenset(find_class(name, index) for name in names)


def find_class(name: str, index: ClassIndex) -> int:
    found = index.find(name)
    if found is not None:
        return found
    near = index.nearest(name)
    advice = f"do you mean {near}?" if near else f"there are {examples(index.classes, 8)}"
    raise UsageError(f"--class {name}: the store has no such class; {advice}")


def _common_ids(show: Exhibition) -> set[str]:
    """Ids that all stores have, and the photos too where they were named."""
    ids = set.intersection(*(set(reader.ids) for reader in show.readers))
    if not ids:
        firsts = " against ".join(examples(reader.ids) or "none" for reader in show.readers)
        names = ", ".join(column.name for column in show.columns)
        what = "have no image in common" if len(show.columns) > 1 else "holds no image"
        raise InputError(f"{names} {what}: {firsts}")
    photographed = ids & show.photos.paths.keys()
    if not photographed:
        raise InputError(
            f"none of the {len(ids)} images is in {show.photos.root}: looked for {examples(sorted(ids))}\n"
            "give --images the folder that the stores were made from"
        )
    if show.view.images is not None:
        ids = photographed
    others = len(set().union(*(reader.ids for reader in show.readers))) - len(ids)
    if others:
        log.info("left out: %d images that not all stores%s have", others, " and --images" if show.view.images else "")
    return ids


def _listed(show: Exhibition, ids: set[str]) -> set[str]:
    view, photos = show.view, show.photos
    assert view.list is not None
    voc = photos.voc or (find_voc(view.truth) if view.truth is not None else None)
    listed = ids & read_id_list(list_file(view.list, voc), photos.paths, str(photos.root))
    if not listed:
        raise InputError(
            f"none of the images of --list {view.list} is in the stores, which have {examples(sorted(ids))}"
        )
    return listed


def _named(show: Exhibition, ids: set[str]) -> set[str]:
    index = IdIndex.of(ids)
    found = {name: index.match(name) for name in show.view.ids}
    for name, id in found.items():
        if id is None:
            near = difflib.get_close_matches(name[:200], ids, n=1)
            advice = f"do you mean {near[0]}?" if near else f"there are {examples(sorted(ids))}"
            raise UsageError(f"--id {name}: no such image; {advice}")
    return {id for id in found.values() if id is not None}


def _with_classes(show: Exhibition, ids: set[str]) -> set[str]:
    having = {id for id in ids if show.look.drawn(_classes(show.readers[0], id, len(show.look.names)))}
    if not having:
        raise InputError(f"no image has the class {' or '.join(show.view.classes)}, by {show.columns[0].name}")
    return having


def _classes(reader: Reader, id: str, num_classes: int) -> Any:
    """Ascending indices; masks are read for them."""
    if reader.header.holds.is_mask:
        return classes_of_mask(reader.read(id).values, num_classes)
    return reader.inspect(id)[1]


def _by_iou(show: Exhibition, ids: Sequence[str]) -> list[str]:
    """By the IoU of the first column; images without ground truth are left out, those that fail come last."""
    assert show.truths is not None
    known = [id for id in ids if id in show.truths]
    if len(known) < len(ids):
        log.info("left out: %d images without ground truth", len(ids) - len(known))
    sign = 1.0 if show.view.sort == "worst" else -1.0
    failures: dict[str, str] = {}
    ious = dict(draw_all(show, known, judge, failures, description="sort"))
    order = {id: sign * iou for id, iou in ious.items() if iou is not None}
    return sorted(known, key=lambda id: (order.get(id, 2.0), id))

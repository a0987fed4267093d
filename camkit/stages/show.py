"""`camkit show`: what stores say about photos, as a contact sheet, a large overlay, or a page."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from camkit.agreement import agreement_of_chain
from camkit.data.reading import examples, is_folder
from camkit.defaults import LARGE_TILE, SHEET_LIMIT
from camkit.errors import CamkitError, InputError, PartialFailure, UsageError
from camkit.evaluate.comparison import Difference, compare
from camkit.pipeline.output import Output, Runtime, check_inputs_stay
from camkit.pipeline.upstream import STANDARD_INPUT, reads_standard_input
from camkit.stages.exhibition import (
    Column,
    Exhibition,
    View,
    choose_ids,
    draw_all,
    first_ids,
    open_exhibition,
    thresholds_of,
)
from camkit.stages.import_ import Foreign, import_files
from camkit.stages.measuring import judge_predictions
from camkit.stages.pictures import MOST_CLASSES, classes_with_maps, large_overlays, page_card, sheet_rows
from camkit.store.pipe import receive_store
from camkit.store.provenance import parameter_words
from camkit.store.schema import kind_of
from camkit.view.overlay import tile_size
from camkit.view.picture import check_picture, save_picture
from camkit.view.sheet import (
    CAPTION,
    Heading,
    check_picture_size,
    draw_sheet,
    sheet_size,
    side_by_side,
)

if TYPE_CHECKING:
    from camkit.view.page import Method

__all__ = ["Column", "View", "columns_of", "show_sheet", "write_report"]


@contextmanager
def columns_of(stores: Sequence[Path], names: Sequence[str] = (), images: Path | None = None) -> Iterator[list[Column]]:
    """A column for each store, by its file name unless named; `-`, or none in a pipe, is standard input.

    A folder of masks is shown too: `images`, where its photos are, says which ids they go by.
    """
    if reads_standard_input(stores):
        stores = [STANDARD_INPUT]
    if names and len(names) != len(stores):
        raise UsageError(f"--names gives {len(names)} names for {len(stores)} stores")
    stems = [store.stem for store in stores]
    usual = stems if len(set(stems)) == len(stems) else [str(store) for store in stores]
    with ExitStack() as stack:
        columns = []
        for store, name in zip(stores, names or usual, strict=True):
            piped = store == STANDARD_INPUT
            path = stack.enter_context(receive_store()) if piped else store
            if is_folder(path):
                path = stack.enter_context(_store_of_folder(path, images))
            columns.append(Column("standard input" if piped and not names else name, path))
        yield columns


@contextmanager
def _store_of_folder(folder: Path, images: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="camkit-") as temporary:
        path = Path(temporary) / "masks.h5"
        import_files(folder, Output(path), foreign=Foreign(images=images))
        yield path


def show_sheet(columns: Sequence[Column], out: Path, view: View) -> int:
    """Draw the picture `out`: a sheet with a row per image, or per class that has maps; gives the number of rows.

    One image of one store becomes a large overlay instead. PartialFailure, once it is drawn, if images failed.
    """
    check_inputs_stay(out, [column.store for column in columns])
    check_picture(out)
    failures: dict[str, str] = {}
    with open_exhibition(columns, view) as show:
        ids = first_ids(show, choose_ids(show), SHEET_LIMIT)
        draw = _large_overlay if len(ids) == len(columns) == 1 else _sheet
        picture, count = draw(show, ids, failures)
    save_picture(picture, out)
    _raise_for(failures, ids)
    return count


def write_report(columns: Sequence[Column], page: Path, view: View, *, title: str, lead: str = "") -> int:
    """Write the HTML file `page`: with ground truth the figures of every store, and pictures; the number of images.

    The figures are of all images of --list, or of the store; ids, classes and limit choose pictures alone.
    """
    from camkit.view.page import write_page

    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {page}: a page ends in .html")
    check_inputs_stay(page, [column.store for column in columns], "choose another --html")
    failures: dict[str, str] = {}
    with open_exhibition(columns, view) as opened:
        chosen = choose_ids(opened)
        show = _judged(opened, failures)
        ids = first_ids(show, chosen, None)
        methods = [
            _method(column, reader.header.provenance, difference)
            for column, reader, difference in zip(show.columns, show.readers, _differences(show.columns), strict=True)
        ]
        write_page(page, methods, draw_all(show, ids, page_card, failures), title=title, lead=lead)
    _raise_for(failures, ids)
    return len(ids)


def _method(column: Column, provenance: Mapping[str, Any], difference: Difference | None) -> Method:
    from camkit.view.page import Method

    about, fits = history_line(provenance), agreement_of_chain(provenance)
    return Method(column.name, column.report, column.seconds, about, difference, fits)


def history_line(provenance: Mapping[str, Any]) -> str:
    """The stages a store went through, first to last: 'cam (resnet38.pth, scales=1,0.5) → mask (threshold=0.3)'."""
    parents = " + ".join(history_line(parent) for parent in provenance.get("parents") or ())
    facts = [str((provenance.get("checkpoint") or {}).get("name") or "")]
    facts += [f"{name}={parameter_words(value)}" for name, value in (provenance.get("parameters") or {}).items()]
    shown = ", ".join(fact for fact in facts if fact)
    own = f"{provenance.get('command') or ''} ({shown})" if shown else str(provenance.get("command") or "")
    return " → ".join(part for part in (parents, own) if part)


def _differences(columns: Sequence[Column]) -> list[Difference | None]:
    """Of each column to the first, where both were judged photo by photo, on the same photos."""
    return [None, *(_difference(columns[0], other) for other in columns[1:])]


def _difference(first: Column, other: Column) -> Difference | None:
    reports = [one.report for one in (first, other) if one.report is not None]
    tallies = [one.tallies for one in (first, other) if one.tallies is not None]
    if len(reports) < 2 or len(tallies) < 2 or tallies[0].ids != tallies[1].ids:
        return None
    return compare((first.name, other.name), reports, tallies).differences[0]


def _judged(show: Exhibition, failures: dict[str, str]) -> Exhibition:
    """With a report for every column, and the thresholds they found to be best; as it is without ground truth."""
    view = show.view
    if view.truth is None:
        return show
    columns = [
        _judged_column(column, kind, view, view.truth, failures)
        for column, kind in zip(show.columns, show.look.kinds, strict=True)
    ]
    look = replace(show.look, thresholds=thresholds_of(columns, show.look.kinds, view))
    return replace(show, columns=columns, look=look)


def _judged_column(column: Column, kind: str, view: View, truth: Path, failures: dict[str, str]) -> Column:
    if column.report is not None:
        return column
    found = judge_predictions(
        [column.store],
        truth,
        Runtime(workers=view.workers),
        list=view.list,
        thresholds=[view.threshold] if view.threshold is not None and kind_of(kind).thresholded else None,
        interval=view.interval,
    )
    failures.update(found.failures)
    return replace(column, report=replace(found.report, sources=(column.name,)), tallies=found.tallies)


def _large_overlay(show: Exhibition, ids: Sequence[str], failures: dict[str, str]) -> tuple[Image.Image, int]:
    """The one image's tiles side by side, and the number of rows, which is one."""
    large = replace(show, look=replace(show.look, tile=show.view.tile or LARGE_TILE))
    tiles = [tile for found in draw_all(large, ids, large_overlays, failures) for tile in found]
    _check_any(tiles, failures)
    picture = side_by_side(tiles)
    check_picture_size(picture.height, picture.width)
    return picture, 1


def _sheet(show: Exhibition, ids: Sequence[str], failures: dict[str, str]) -> tuple[Image.Image, int]:
    """The sheet, and its number of rows."""
    _check_height(show, ids)
    rows = [row for found in draw_all(show, ids, sheet_rows, failures) for row in found]
    _check_any(rows, failures)
    return draw_sheet(_headings(show), rows, show.look.tile), len(rows)


def _headings(show: Exhibition) -> list[Heading]:
    around = [Heading("photo"), Heading("ground truth")] if show.look.truth else [Heading("photo")]
    look = show.look
    abouts = [
        kind if threshold is None else f"{kind}, threshold {threshold:.2f}"
        for kind, threshold in zip(look.kinds, look.thresholds, strict=True)
    ]
    return [*around, *(Heading(column.name, about) for column, about in zip(show.columns, abouts, strict=True))]


def _check_height(show: Exhibition, ids: Sequence[str]) -> None:
    """Before anything is drawn: the rows that are to come fit on the sheet."""
    heights, firsts = [], []
    for id in ids:
        try:
            found = [reader.inspect(id) for reader in show.readers]
        except CamkitError:  # it will be left out, and told
            continue
        classes = classes_with_maps([classes for _, classes, _ in found], show.look)
        for number in range(min(len(classes), MOST_CLASSES) or 1):
            heights.append(tile_size(found[0][2], show.look.tile)[0] + (0 if number else CAPTION))
            firsts.append(number == 0)
    columns = len(show.columns) + 1 + show.look.truth
    check_picture_size(*sheet_size(heights, firsts, columns, show.look.tile))


def _check_any(drawn: Collection[Any], failures: Mapping[str, str]) -> None:
    if not drawn:
        id, message = next(iter(failures.items()))
        raise InputError(f"none of {len(failures)} images could be drawn; {id}: {message}")


def _raise_for(failures: Mapping[str, str], ids: Collection[str]) -> None:
    if failures:
        total = len({*ids, *failures})  # figures are of more images than are shown
        named = examples(sorted(failures))
        raise PartialFailure(f"{len(failures)} of {total} images failed: {named}\nthe others are shown")

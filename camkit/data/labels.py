"""Image-level labels from whatever a user has: the format is found out, names become class indices.

Numbers in CSV and JSON are 0-based class indices; in files whose name contains "mask" they are mask values
(0 background, class + 1, 255 undecided). Which of the two was understood is said in `Labels.source`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from camkit.data import label_formats as formats
from camkit.data.classes import ClassIndex, is_background
from camkit.data.images import MAX_PIXELS, ImageSet, open_image
from camkit.data.label_formats import Row
from camkit.data.lists import IMAGE_SUFFIXES, IdIndex, entries, files_by_id, walk
from camkit.data.reading import HDF5_SIGNATURE, brief, examples, exists, is_folder, read_text, starts_with
from camkit.data.voc import find_voc
from camkit.errors import LabelError

log = logging.getLogger("camkit")

_VOC_ID = re.compile(r"(\d{4})_(\d{6})$")
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_TRAILING_NUMBER = re.compile(r"(\d{1,18})$")
_Tokens = dict[str | int, None]
_INDICES, _MASK_VALUES = "class indices from 0", "mask values, class + 1"


@dataclass(frozen=True)
class Labels:
    """source: one phrase for people and provenance; present: id -> ascending 0-based classes, () for none.

    An id the source does not speak of is not in `present`.
    """

    source: str
    present: Mapping[str, tuple[int, ...]]


def read_labels(path: Path, classes: Sequence[str], ids: Collection[str]) -> Labels:
    """Labels of the wanted ids from a folder of VOC XML, of masks, or per class, from .npy, CSV, TSV or JSON."""
    index = ClassIndex(classes)
    if not exists(path):
        return _same_for_all(path, index, ids)
    matcher = _Matcher(ids)
    if is_folder(path):
        return _read_folder(path, index, matcher)
    if path.suffix.lower() == ".npy":
        rows = formats.npy_rows(path, len(index.classes))
        return _labels(f"multi-hot vectors ({path})", rows, matcher, index)
    return _read_text_labels(path, index, matcher)


def _same_for_all(path: Path, index: ClassIndex, ids: Collection[str]) -> Labels:
    """`cat`, `cat,dog`: classes that every image has, in place of a file."""
    names = [name.strip() for name in str(path).split(",")]
    found = {name: index.find(name) for name in names}
    unknown = [name for name, place in found.items() if place is None]
    if unknown:
        near = index.nearest(unknown[0])
        other = f"nor is it one of {examples(index.classes)}"
        hint = f"did you mean the class '{near}' for all images?" if near else other
        raise LabelError(f"there are no labels at {path}: it does not exist\n{hint}")
    present = tuple(sorted({place for place in found.values() if place is not None}))
    return Labels(f"{', '.join(names)} for all images", dict.fromkeys(sorted(ids), present))


def find_labels(images: ImageSet, classes: Sequence[str], ids: Collection[str]) -> Labels | None:
    """Labels a VOC root brings along: from its XML, else from its masks if every id has one, else None."""
    if images.voc is None:
        return None
    annotations, masks = images.voc.annotations, images.voc.masks
    index, matcher = ClassIndex(classes), _Matcher(ids)
    if annotations and next(formats.xml_rows(annotations, ids), None) is not None:
        return _labels(_xml_source(annotations), formats.xml_rows(annotations, ids), matcher, index)
    if not masks:
        return None
    covered = {matcher(name) for name in files_by_id(masks, (".png",))}
    without = [id for id in ids if id not in covered]
    if not without:
        return _read_masks(masks, index, matcher)
    log.warning(
        "the masks in %s are not taken as labels: %d of %d images have none there: %s",
        masks, len(without), len(ids), examples(without),
    )  # fmt: skip
    return None


def missing_labels(labels: Labels, ids: Collection[str]) -> str | None:
    """What to tell the user when some ids have no labels; None when all have."""
    missing = [id for id in ids if id not in labels.present]
    if not missing:
        return None
    return f"{len(missing)} of {len(ids)} images have no labels in {labels.source}: {examples(missing)}"


def classes_of_labels(path: Path) -> tuple[str, ...] | None:
    """The class names a source uses, sorted (COCO: in the order of its ids); None if it holds only numbers."""
    if not exists(path):
        raise LabelError(
            f"there are no labels at {path}: it does not exist\n"
            "give --labels a file or folder; a class for all images goes with --classes, which names all classes"
        )
    if is_folder(path):
        return _classes_of_folder(path)
    if path.suffix.lower() == ".npy":
        return None
    text = _text_of(path)
    if not _is_json(path, text):
        return _names_in(formats.table_rows(text, path, None))
    categories = formats.coco_categories(text, path)
    return tuple(categories) if categories else _names_in(formats.json_rows(text, path))


class _Matcher:
    """Finds the wanted id that a label file means by a name or number."""

    def __init__(self, ids: Collection[str]) -> None:
        self.ids = ids
        self._index = IdIndex.of(ids)
        self._numbers: dict[int, str | None] | None = None

    def __call__(self, name: str | int) -> str | None:
        if isinstance(name, str):
            found = self._index.match(name) or self._index.match(name.strip())
            if found is not None or not name.isascii() or not name.isdigit() or len(name) > 18:
                return found
            return self._by_number(int(name))
        return self._by_number(name)

    def _by_number(self, number: int) -> str | None:
        """2007000032 -> 2007_000032, 9 -> COCO_train2014_000000000009, where no other id has the number."""
        if self._numbers is None:
            self._numbers = {}
            for id in self.ids:
                key = _number_of(id)
                if key is not None:
                    self._numbers[key] = None if key in self._numbers else id
        return self._numbers.get(number)


def _number_of(id: str) -> int | None:
    voc = _VOC_ID.search(id)
    if voc:
        return int(voc[1] + voc[2])
    trailing = _TRAILING_NUMBER.search(id)
    return int(trailing[1]) if trailing else None


def _read_folder(path: Path, index: ClassIndex, matcher: _Matcher) -> Labels:
    voc = find_voc(path)
    if voc and not voc.annotations and not voc.masks:
        raise LabelError(f"{voc.root} has neither Annotations nor SegmentationClass to take labels from")
    if voc:
        path = voc.annotations or voc.masks or path
    if _holds(path, (".xml",)):
        return _labels(_xml_source(path), formats.xml_rows(path, matcher.ids), matcher, index)
    folders = _subfolders(path)
    if any(index.find(name) is not None for name in folders) and not _starts_with_a_mask(path):
        return _labels(f"folders per class ({path})", formats.class_folder_rows(path), matcher, index)
    if _holds(path, (".png",)):
        return _read_masks(path, index, matcher)
    raise LabelError(
        f"no labels in the folder {path}: it holds no VOC XML, no PNG masks, and no folder named after a class\n"
        f"folders there: {examples(folders) or 'none'}; classes: {examples(index.classes)}"
    )


def _starts_with_a_mask(folder: Path) -> bool:
    """Masks may lie in folders named `train` and `val`, and train is a class of VOC."""
    first = next(walk(folder, IMAGE_SUFFIXES), None)
    if first is None or not first.lower().endswith(".png"):
        return False
    with open_image(folder / first, ("PNG",), MAX_PIXELS) as image:
        return image.mode == "P"


def _read_masks(folder: Path, index: ClassIndex, matcher: _Matcher) -> Labels:
    rows = formats.mask_rows(folder, matcher, len(index.classes))
    return _labels(f"masks ({folder})", rows, matcher, index)


def _read_text_labels(path: Path, index: ClassIndex, matcher: _Matcher) -> Labels:
    text = _text_of(path)
    numbers = _MASK_VALUES if "mask" in path.name.lower() else _INDICES
    if _is_json(path, text):
        return _labels(f"JSON ({path})", formats.json_rows(text, path), matcher, index, numbers)
    return _labels(f"table ({path})", formats.table_rows(text, path, index), matcher, index, numbers)


def _text_of(path: Path) -> str:
    if starts_with(path, HDF5_SIGNATURE, LabelError):
        raise LabelError(f"{path} is an HDF5 file, but not a scores store: labels cannot be read from it")
    return read_text(path, LabelError)


def _is_json(path: Path, text: str) -> bool:
    return path.suffix.lower() not in (".csv", ".tsv") and text.lstrip()[:1] in ("{", "[")


def _labels(
    source: str, rows: Iterable[Row], matcher: _Matcher, classes: ClassIndex, numbers: str | None = None
) -> Labels:
    """Labels of the wanted ids, the classes of the rows turned into indices.

    numbers: what the user's own numbers are; None where the numbers are not the user's
    """
    tokens, used = _collect(rows, matcher, source)
    wanted = {token: None for row in tokens.values() for token in row if not is_background(token)}
    meaning = _named(wanted, classes)
    if meaning is None:
        _check_numbers(wanted, classes, source)
        # Of the other images too: a number out of range tells that the wrong kind of numbers was understood.
        meaning = _indices([token for token in used if _is_number(token)], classes, source, numbers)
        source = f"{source} whose numbers are {numbers}" if numbers else source
    present = {id: tuple(sorted({meaning[token] for token in row if token in meaning})) for id, row in tokens.items()}
    return Labels(source, dict(sorted(present.items())))


def _collect(rows: Iterable[Row], matcher: _Matcher, source: str) -> tuple[dict[str, _Tokens], _Tokens]:
    """What the rows say of each wanted id (several rows of one id add up), and of all images together."""
    tokens: dict[str, _Tokens] = {}
    used: _Tokens = {}
    strangers: dict[str, None] = {}
    for name, row in rows:
        used.update(dict.fromkeys(row))
        id = matcher(name)
        if id is not None:
            tokens.setdefault(id, {}).update(dict.fromkeys(row))
        elif len(strangers) < 4:
            strangers[brief(name)] = None
    if not tokens and matcher.ids:
        there = f"it speaks of {examples(strangers)}" if strangers else "it is empty"
        raise LabelError(
            f"{source} labels none of the {len(matcher.ids)} images: {there}; images: {examples(matcher.ids)}"
        )
    return tokens, used


def _named(tokens: Collection[str | int], classes: ClassIndex) -> dict[str | int, int] | None:
    """Class index of each token, if all are names of classes: names win over numbers."""
    named = {token: classes.find(token) if isinstance(token, str) else None for token in tokens}
    known = {token: index for token, index in named.items() if index is not None}
    return known if len(known) == len(tokens) else None


def _check_numbers(tokens: Collection[str | int], classes: ClassIndex, source: str) -> None:
    """Tokens are numbers only if all of them are."""
    if all(_is_number(token) for token in tokens):
        return
    unknown = [token for token in tokens if not isinstance(token, str) or classes.find(token) is None]
    raise LabelError(_unknown_names([brief(token) for token in unknown], classes, source))


def _is_number(token: str | int) -> bool:
    return isinstance(token, int) or _INTEGER.fullmatch(token) is not None


def _indices(
    tokens: Collection[str | int], classes: ClassIndex, source: str, numbers: str | None
) -> dict[str | int, int]:
    count = len(classes.classes)
    if numbers == _MASK_VALUES:
        classes_of = {token: formats.classes_of_values([int(token)], count, source) for token in tokens}
        return {token: found[0] for token, found in classes_of.items() if found}
    for token in tokens:
        if not 0 <= int(token) < count:
            hint = "\nif they are mask values (class + 1), say so by a file name with `mask` in it" if numbers else ""
            raise LabelError(
                f"{source} holds the class index {brief(int(token))}, but {count} classes count from 0 to {count - 1}"
                + hint
            )
    return {token: int(token) for token in tokens}


def _unknown_names(unknown: Sequence[str], classes: ClassIndex, source: str) -> str:
    nearest = classes.nearest(unknown[0])
    hint = f"did you mean '{nearest}'?" if nearest else f"the classes are {examples(classes.classes, 5)}"
    return f"{source} names {len(unknown)} classes that are not known: {examples(unknown)}\n{hint}"


def _classes_of_folder(path: Path) -> tuple[str, ...] | None:
    voc = find_voc(path)
    if voc:
        path = voc.annotations or path
    if _holds(path, (".xml",)):
        used = {name for file in path.glob("*.xml") for name in formats.xml_object_names(file)}
        return tuple(sorted(used))
    if voc or any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in _files(path)):
        return None
    return _names_in(formats.class_folder_rows(path))


def _names_in(rows: Iterable[Row]) -> tuple[str, ...] | None:
    names = {token for _, row in rows for token in row if not is_background(token)}
    if not names or all(map(_is_number, names)):
        return None
    return tuple(sorted(str(name) for name in names))


def _xml_source(folder: Path) -> str:
    return f"VOC XML annotations ({folder})"


def _holds(folder: Path, suffixes: Collection[str]) -> bool:
    return next(walk(folder, suffixes), None) is not None


def _subfolders(folder: Path) -> list[str]:
    return [name for name, is_below in entries(folder) if is_below and not name.startswith(".")]


def _files(folder: Path) -> list[str]:
    return [name for name, is_below in entries(folder) if not is_below and not name.startswith(".")]

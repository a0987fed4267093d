"""Finding the photo that another program means by a name or number, and the number that it would go by there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from camkit.data.lists import IdIndex
from camkit.data.reading import brief, examples
from camkit.errors import InputError

_VOC_ID = re.compile(r"(\d{4})_(\d{6})$")
_TRAILING_NUMBER = re.compile(r"(\d{1,15})$")


def number_of(id: str) -> int | None:
    """2007_000032 → 2007000032, COCO_val2014_000000000009 → 9; None where the name does not end with a number."""
    voc = _VOC_ID.search(id)
    if voc:
        return int(voc[1] + voc[2])
    trailing = _TRAILING_NUMBER.search(id)
    return int(trailing[1]) if trailing else None


def numbers_of(ids: Collection[str]) -> dict[str, int] | None:
    """id → its number; None unless every id has one of its own."""
    numbers = {id: number for id in ids if (number := number_of(id)) is not None}
    return numbers if len(numbers) == len(ids) == len(set(numbers.values())) else None


def match_photos(names: Iterable[str], photos: Collection[str], where: str) -> dict[str, str]:
    """id of the photo → the name it goes by, for all names; InputError with examples for those without a photo."""
    index, numbers = IdIndex.of(photos), _ids_by_number(photos)
    found: dict[str, str] = {}
    strangers: dict[str, None] = {}
    for name in names:
        id = index.match(name) or (numbers.get(int(name)) if name.isascii() and name.isdigit() else None)
        if id is None:
            strangers[name] = None
        elif found.setdefault(id, name) != name:
            raise InputError(f"{brief(found[id])} and {brief(name)} both go by the photo {brief(id)}")
    if strangers:
        total = len(strangers) + len(found)
        raise InputError(
            f"{len(strangers)} of {total} images have no photo in {where}: {examples(strangers)}; "
            f"photos there: {examples(photos)}"
        )
    return found


def _ids_by_number(ids: Collection[str]) -> dict[int, str]:
    """Of those whose number no other has."""
    by_number: dict[int, list[str]] = {}
    for id in ids:
        number = number_of(id)
        if number is not None:
            by_number.setdefault(number, []).append(id)
    return {number: same[0] for number, same in by_number.items() if len(same) == 1}

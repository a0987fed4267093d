"""The store's format, version 1: kinds, names, bounds. FORMAT.md says the same in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from camkit.errors import StoreError

FORMAT = "camkit"
VERSION = 1
LIBVER = ("v110", "v110")  # a dataset of one chunk needs no index there: 0.3 KiB per small record, 3.6 with "earliest"

FAILURES = "failures"
MAX_CLASSES = 65_534  # a uint16 mask holds background, the classes and 65535 for undecided
MAX_PIXELS = 400_000_000
MAX_ID = 1_024
MAX_DEPTH = 32
MAX_TEXT = 16 << 20


@dataclass(frozen=True)
class Kind:
    """What the datasets of one kind of store look like."""

    group: str
    rank: int
    dtypes: tuple[str, ...]
    """Allowed dtypes; the first is the default."""
    background: int = 0
    """Planes in front of those of the classes."""

    @property
    def per_class(self) -> bool:
        return self.rank == 3

    @property
    def per_pixel(self) -> bool:
        """A whole number for every pixel of the photo."""
        return self.rank == 2


KINDS: dict[str, Kind] = {
    "maps": Kind("maps", 3, ("float16", "float32", "uint8")),
    "signed": Kind("maps", 3, ("float16", "float32")),
    "probs": Kind("probs", 3, ("float16", "float32"), background=1),
    "scores": Kind("scores", 1, ("float32",)),
    "masks": Kind("masks", 2, ("uint8", "uint16")),
    "superpixels": Kind("superpixels", 2, ("uint16", "uint32")),
}

PROTOTYPES: dict[str, Kind] = {"prototypes": Kind("prototypes", 2, ("float32",))}
"""The one kind that is not about images."""


@dataclass(frozen=True)
class Header:
    """What holds for all of a store. `shard` is "i/n" in a store that holds one shard of a run, else empty."""

    kind: str
    classes: tuple[str, ...]
    image_root: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    shard: str = ""


def kind_of(name: str) -> Kind:
    if name not in KINDS:
        raise StoreError(f"{name!r} is not a kind of store; the kinds are {', '.join(KINDS)}")
    return KINDS[name]


def check_classes(classes: Sequence[str]) -> None:
    if len(classes) > MAX_CLASSES:
        raise StoreError(f"a store holds at most {MAX_CLASSES:,} classes, not {len(classes):,}")
    if not all(isinstance(name, str) and name.isprintable() and name for name in classes):
        raise StoreError("class names are texts of one line, and not empty")
    if len(set(classes)) != len(classes):
        twice = next(name for name, count in Counter(classes).items() if count > 1)
        raise StoreError(f"the class name {twice!r} occurs twice")


def check_id(id: str) -> str:
    """The id itself; StoreError if it is no relative path of plain components."""
    parts = id.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise StoreError(f"the id {id!r} is not a relative path without '.', '..' and empty components")
    if "\0" in id or "\\" in id or len(id) > MAX_ID or len(parts) > MAX_DEPTH:
        raise StoreError(f"the id {id[:80]!r} has a NUL, a backslash, or is too long or too deep")
    try:
        id.encode()
    except UnicodeEncodeError:
        raise StoreError(f"the id {id!r} is not valid Unicode; rename the image's file") from None
    return id


def check_ids(ids: Iterable[str]) -> tuple[str, ...]:
    """The ids, sorted; StoreError for a bad one, one that occurs twice, or one that is another's folder."""
    ordered = tuple(sorted(check_id(id) for id in ids))
    known = set(ordered)
    if len(known) < len(ordered):
        twice = next(a for a, b in pairwise(ordered) if a == b)
        raise StoreError(f"the id {twice!r} occurs twice")
    for id in ordered:
        for folder in folders_of(id):
            if folder in known:
                raise StoreError(f"{folder!r} and {id!r} cannot both be ids: one is the other's folder")
    return ordered


def folders_of(id: str) -> list[str]:
    """The folders an id lies in, outermost first: "a/b/c" gives "a", "a/b"."""
    parts = id.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def shard_ids(ids: Iterable[str], shard: tuple[int, int]) -> tuple[str, ...]:
    """The ids that shard (i, n) owns: sorted(ids)[i::n]."""
    index, count = shard
    return tuple(sorted(ids)[index::count])

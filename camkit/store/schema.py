"""The store's format, version 1: kinds, names, bounds. FORMAT.md says the same in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

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


MaskRule = Literal["threshold", "sign", "largest", "given"]
"""What says which class a pixel is of: the largest map above a threshold, a score above 0, the largest probability,
or the record itself, which is a mask."""


@dataclass(frozen=True)
class Kind:
    """What the datasets of one kind of store look like, and so what can be done with them.

    dtypes       allowed ones; the first is the default
    background   planes in front of those of the classes
    unit         values lie in 0 … 1
    mask         how a mask is made of a record; None: it says nothing about the classes of pixels
    superpixels  a record numbers the regions of the photo
    called       in sentences, where that is not the name
    """

    name: str
    group: str
    rank: int
    dtypes: tuple[str, ...]
    background: int = 0
    unit: bool = False
    mask: MaskRule | None = None
    superpixels: bool = False
    called: str = ""

    @property
    def per_photo(self) -> bool:
        """A number for every class of the store."""
        return self.rank == 1

    @property
    def per_class(self) -> bool:
        return self.rank == 3

    @property
    def per_pixel(self) -> bool:
        """A whole number for every pixel of the photo."""
        return self.rank == 2

    @property
    def class_maps(self) -> bool:
        """A plane for every class of the photo, and none for the background."""
        return self.per_class and not self.background

    @property
    def thresholded(self) -> bool:
        return self.mask == "threshold"

    @property
    def is_signed(self) -> bool:
        return self.mask == "sign"

    @property
    def is_mask(self) -> bool:
        return self.mask == "given"

    @property
    def masks_in_passing(self) -> bool:
        """Masks of it need no other witness, as those of signed scores do: camkit mask alone makes these."""
        return self.mask is not None and not self.is_signed


_KINDS = (
    Kind("maps", "maps", 3, ("float16", "float32", "uint8"), unit=True, mask="threshold"),
    Kind("signed", "maps", 3, ("float16", "float32"), mask="sign", called="signed scores"),
    Kind("probs", "probs", 3, ("float16", "float32"), background=1, unit=True, mask="largest"),
    Kind("scores", "scores", 1, ("float32",)),
    Kind("masks", "masks", 2, ("uint8", "uint16"), mask="given"),
    Kind("superpixels", "superpixels", 2, ("uint16", "uint32"), superpixels=True),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}

PROTOTYPES: dict[str, Kind] = {"prototypes": Kind("prototypes", "prototypes", 2, ("float32",))}
"""The one kind that is not about images."""


def kinds_that(fact: Callable[[Kind], Any]) -> tuple[str, ...]:
    """The names of those of which it is true."""
    return tuple(name for name, kind in KINDS.items() if fact(kind))


def in_words(names: Iterable[str]) -> str:
    """As a sentence has them: 'maps, signed scores or masks'."""
    *others, last = (KINDS[name].called or name for name in names)
    return f"{', '.join(others)} or {last}" if others else last


@dataclass(frozen=True)
class Header:
    """What holds for all of a store. `shard` is "i/n" in a store that holds one shard of a run, else empty."""

    kind: str
    classes: tuple[str, ...]
    image_root: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    shard: str = ""

    @property
    def holds(self) -> Kind:
        return kind_of(self.kind)


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

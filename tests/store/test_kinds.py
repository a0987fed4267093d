"""The table of kinds: what follows from its facts, and that it says what FORMAT.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

import camkit.store
from camkit.errors import StoreError
from camkit.store import KINDS, Header
from camkit.store.schema import PROTOTYPES, in_words, kinds_that

FORMAT = (Path(camkit.store.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")


def test_what_commands_ask_of_kinds() -> None:
    assert kinds_that(lambda kind: kind.mask) == ("maps", "signed", "probs", "masks")
    assert kinds_that(lambda kind: kind.masks_in_passing) == ("maps", "probs", "masks")
    assert kinds_that(lambda kind: kind.per_class) == ("maps", "signed", "probs")
    assert kinds_that(lambda kind: kind.class_maps) == ("maps", "signed")
    assert kinds_that(lambda kind: kind.unit) == ("maps", "probs")
    assert kinds_that(lambda kind: kind.background) == ("probs",)
    assert kinds_that(lambda kind: kind.per_pixel) == ("masks", "superpixels")
    assert kinds_that(lambda kind: kind.per_photo) == ("scores",)
    assert kinds_that(lambda kind: kind.thresholded) == ("maps",)
    assert kinds_that(lambda kind: kind.is_signed) == ("signed",)
    assert kinds_that(lambda kind: kind.is_mask) == ("masks",)
    assert kinds_that(lambda kind: kind.superpixels) == ("superpixels",)


def test_a_header_knows_what_its_store_holds() -> None:
    assert Header("signed", ("cat",), "").holds is KINDS["signed"]
    with pytest.raises(StoreError, match="'heat' is not a kind of store; the kinds are maps, signed,"):
        _ = Header("heat", ("cat",), "").holds


def test_kinds_in_a_sentence() -> None:
    assert in_words(["maps", "signed", "masks"]) == "maps, signed scores or masks"
    assert in_words(["probs"]) == "probs"


@pytest.mark.parametrize("kind", [*KINDS.values(), *PROTOTYPES.values()], ids=lambda kind: kind.name)
def test_the_format_names_every_kind(kind: camkit.store.schema.Kind) -> None:
    assert f"`{kind.name}`" in next(line for line in FORMAT.splitlines() if line.startswith("| `kind` |"))
    if kind.name in KINDS:
        row = next(line for line in FORMAT.splitlines() if line.startswith(f"| `{kind.name}` | `/{kind.group}/<id>` |"))
        assert all(dtype in row for dtype in kind.dtypes)
        assert ("0 … 1" in row) == kind.unit
        assert ("background first" in row) == bool(kind.background)

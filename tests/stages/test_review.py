"""Which masks are looked at first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camkit import Activation, Header, Writer, review
from camkit.errors import UsageError
from camkit.stages.exhibition import View
from camkit.stages.review import disagreement, entropy, margin
from camkit.stages.show import columns_of, show_sheet
from camkit.types import no_classes
from tests.support.world import World


def write(path: Path, kind: str, values: dict[str, np.ndarray], root: str = "", size: tuple[int, int] = (4, 6)) -> Path:
    classes = no_classes() if kind == "masks" else np.array([0])
    with Writer(path, Header(kind, ("ant", "bee"), root), [*values]) as writer:
        for id, array in values.items():
            writer.write(Activation(id, array, classes, size))
        writer.finish()
    return path


def test_doubt_has_its_ends() -> None:
    assert entropy(np.full((2, 4, 6), 0.5)) == pytest.approx(1)
    assert entropy(np.stack([np.zeros((4, 6)), np.ones((4, 6))])) < 0.01
    assert entropy(np.stack([np.ones((4, 6)), np.zeros((4, 6))])) == 0
    assert margin(np.full((1, 4, 6), 0.31), 0.3) == 1
    assert margin(np.full((1, 4, 6), 0.9), 0.3) == 0
    assert margin(np.zeros((1, 4, 6)), 0.3) == 1
    one = np.array([[0, 1, 1, 255]], np.uint8)
    assert disagreement(one, one) == 0
    assert disagreement(one, np.array([[0, 2, 2, 0]], np.uint8)) == pytest.approx(2 / 3)


def test_the_most_doubtful_come_first(tmp_path: Path) -> None:
    maps = {id: np.full((1, 4, 6), value, np.float32) for id, value in (("a", 0.9), ("b", 0.25), ("c", 0.7))}
    maps["c"][0, :2] = 0.35
    store = write(tmp_path / "maps.h5", "maps", maps)
    assert [one.id for one in review([store])] == ["b", "c", "a"]
    assert [one.id for one in review([store], top=1)] == ["b"]
    ones = {id: np.ones((4, 6), np.uint8) for id in "abc"}
    other = write(tmp_path / "masks.h5", "masks", ones)
    assert review([store, other])[0].id == "b"
    with pytest.raises(UsageError, match="takes probabilities"):
        review([store], by="entropy")
    with pytest.raises(UsageError, match="takes two stores"):
        review([store], by="disagreement")


def test_they_are_drawn_in_their_order(world: World, tmp_path: Path) -> None:
    id, values = world.ids[0], np.full((1, 12, 16), 0.5, np.float32)
    store = write(tmp_path / "maps.h5", "maps", {id: values}, str(world.root / "JPEGImages"), (48, 64))
    with columns_of([store]) as columns:
        assert show_sheet(columns, tmp_path / "sheet.png", View(ids=(id,), sort="given")) == 1

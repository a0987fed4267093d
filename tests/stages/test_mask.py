"""`mask` as a function: its input by any name, and options that have no effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camkit import Activation, Header, Output, Writer, mask, open_store
from camkit.errors import UsageError
from camkit.types import no_classes


def write_store(path: Path, kind: str, values: np.ndarray, classes: np.ndarray) -> None:
    with Writer(path, Header(kind, ("ant", "bee"), ""), ["a"]) as writer:
        writer.write(Activation("a", values, classes, (4, 6)))
        writer.finish()


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """One photo, the bee at 0.4 everywhere."""
    write_store(tmp_path / "maps.h5", "maps", np.full((1, 4, 6), 0.4, np.float32), np.array([1]))
    return tmp_path / "maps.h5"


def value_of(path: Path) -> int:
    with open_store(path) as store:
        (value,) = np.unique(store.read("a").values)
    return int(value)


def test_the_threshold_has_a_default_and_counts_for_maps(maps: Path, tmp_path: Path) -> None:
    mask(maps, Output(tmp_path / "default.h5"))
    assert value_of(tmp_path / "default.h5") == 2
    mask([str(maps)], Output(tmp_path / "text.h5"), threshold=0.3)
    assert (tmp_path / "default.h5").read_bytes() == (tmp_path / "text.h5").read_bytes()
    mask(str(maps), Output(tmp_path / "high.h5"), threshold=0.5)
    assert value_of(tmp_path / "high.h5") == 0


def test_pngs_in_a_folder_named_by_text(maps: Path, tmp_path: Path) -> None:
    mask(maps, Output(), png=str(tmp_path / "masks"))
    assert [path.name for path in (tmp_path / "masks").glob("*.png")] == ["a.png"]


@pytest.mark.parametrize("kind", ["masks", "probs"])
def test_a_threshold_that_would_have_no_effect_is_refused(kind: str, tmp_path: Path) -> None:
    values = np.zeros((4, 6), np.uint8) if kind == "masks" else np.ones((1, 4, 6), np.float32)
    write_store(tmp_path / "store.h5", kind, values, no_classes())
    with pytest.raises(UsageError, match=rf"^--threshold is for maps, but .*store\.h5 holds {kind}$"):
        mask(tmp_path / "store.h5", Output(tmp_path / "out.h5"), threshold=0.3)
    assert not (tmp_path / "out.h5").exists()
    mask(tmp_path / "store.h5", Output(tmp_path / "out.h5"))
    assert value_of(tmp_path / "out.h5") == 0

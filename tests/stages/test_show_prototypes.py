"""Prototypes of very many centres, as a page and as a picture."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.errors import UsageError
from camkit.stages.show_prototypes import show_prototypes
from camkit.store import Header
from camkit.store.prototypes import Centres, ClassPrototypes, Examples, PrototypeStore, encode_prototypes
from camkit.view.prototypes import class_size


def centres(count: int) -> Centres:
    ids = np.full((count, 1), "a", object)
    boxes = np.tile(np.array([8, 8, 16, 16]), (count, 1, 1))
    values = np.ones((count, 2), np.float32)
    return Centres(values, np.ones(count, bool), examples=Examples(ids, boxes, np.ones((count, 1), np.float32)))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Of a class with 900 centres and one with 2."""
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "a.png")
    of_class = {0: ClassPrototypes(centres(900), centres(0)), 1: ClassPrototypes(centres(2), centres(0))}
    header = Header("prototypes", ("many", "few"), str(tmp_path))
    (tmp_path / "p.h5").write_bytes(encode_prototypes(PrototypeStore(header, of_class, 2)))
    return tmp_path / "p.h5"


def test_on_a_page_tiles_are_as_large_as_a_jpeg_allows(store: Path, tmp_path: Path) -> None:
    assert show_prototypes(store, tmp_path / "p.html", images=tmp_path) == 2
    found = re.findall(r"base64,([^\"]+)", (tmp_path / "p.html").read_text())
    heights = [Image.open(io.BytesIO(base64.b64decode(data))).height for data in found]
    assert heights == [class_size([900, 0], 1, 64)[0], class_size([2, 0], 1, 72)[0]]


def test_what_does_not_fit_is_told_with_a_way_out(store: Path, tmp_path: Path) -> None:
    way_out = r"the limit is 65,500\ngive a smaller --tile, or choose other classes than many \(--class\)"
    with pytest.raises(UsageError, match=way_out):
        show_prototypes(store, tmp_path / "p.html", images=tmp_path, tile=72)
    with pytest.raises(UsageError, match=r"the limit is 16,000\nshow fewer classes \(--class\)") as caught:
        show_prototypes(store, tmp_path / "p.png", images=tmp_path)
    assert "--limit" not in str(caught.value)
    assert not list(tmp_path.glob("p.[!h5]*"))

"""What is said of maps that are 0 everywhere: by the commands that write them, by `classify --labels`, on pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from camkit import Activation, Header, Inputs, Network, Output, Writer, cam, mask, open_store
from camkit.data.labels import Labels
from camkit.stages.classify import json_lines, precision_lines
from camkit.types import no_classes
from camkit.view import overlay
from tests.support.world import World

ANT, BEE = 0, 1


def write_store(path: Path, kind: str, activations: Sequence[Activation]) -> Path:
    with Writer(path, Header(kind, ("ant", "bee"), ""), [one.id for one in activations]) as writer:
        for one in activations:
            writer.write(one)
        writer.finish()
    return path


@pytest.fixture
def blind(world: World, tmp_path: Path) -> Path:
    """The world's classifier, but the weights of one half of the classes are below 0: it sees nothing of them."""
    state = torch.load(world.ckpt, weights_only=True)
    state["fc.weight"][::2] = -state["fc.weight"][::2].abs()
    torch.save(state, tmp_path / "blind.pth")
    return tmp_path / "blind.pth"


def test_cam_says_how_many_maps_are_empty_and_of_which_classes(
    world: World, blind: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="camkit")
    cam(Inputs(world.root), Network(blind), Output(tmp_path / "cams.h5"), scales=(1.0,), flip=False)
    with open_store(tmp_path / "cams.h5") as store:
        names = store.header.classes
        lost = [[int(c) for c, m in zip(one.classes, one.values, strict=True) if not m.any()] for one in store]
    images, maps = sum(map(bool, lost)), [c for classes in lost for c in classes]
    assert 0 < images < len(world.ids)
    (told,) = [record.getMessage() for record in caplog.records if "all 0" in record.getMessage()]
    assert told.startswith(f"the maps of {images} of {len(world.ids)} images are all 0 (")
    for index in set(maps):
        assert f"{names[index]} {maps.count(index)}" in told or "…" in told
    assert "camkit classify --labels" in told


def test_nothing_is_said_where_every_map_sees_something(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = torch.load(world.ckpt, weights_only=True)
    state["fc.weight"] = state["fc.weight"].abs()
    torch.save(state, tmp_path / "all.pth")
    caplog.set_level(logging.WARNING, logger="camkit")
    cam(Inputs(world.root), Network(tmp_path / "all.pth"), Output(tmp_path / "c.h5"), scales=(1.0,), flip=False)
    assert not [record for record in caplog.records if "all 0" in record.getMessage()]


def test_mask_says_how_many_masks_are_background_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    maps = [
        Activation("high", np.full((1, 4, 6), 0.9, np.float32), np.array([ANT]), (4, 6)),
        Activation("low", np.full((1, 4, 6), 0.2, np.float32), np.array([BEE]), (4, 6)),
        Activation("untagged", np.zeros((0, 4, 6), np.float32), no_classes(), (4, 6)),
    ]
    caplog.set_level(logging.WARNING, logger="camkit")
    mask(write_store(tmp_path / "maps.h5", "maps", maps), Output(tmp_path / "masks.h5"))
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("1 of 3 masks are background alone: ")
    assert "--threshold 0.3" in told


def test_classify_tells_how_often_a_tagged_class_is_seen(tmp_path: Path) -> None:
    scores = {"a": (0.9, 0.1), "b": (0.4, 0.45), "c": (0.8, 0.7)}
    store = write_store(
        tmp_path / "s.h5", "scores",
        [Activation(id, np.array(row, np.float32), no_classes(), (4, 6)) for id, row in scores.items()],
    )  # fmt: skip
    labels = Labels("a table", {"a": (ANT,), "b": (ANT,), "c": (ANT, BEE)})
    with open_store(store) as reader:
        lines = list(precision_lines(reader, labels, 0.5))
        facts = json.loads("\n".join(json_lines(reader, labels, 0.5)))
    assert lines[0].split() == ["class", "AP", "seen", "in"]
    assert lines[1].endswith("2 of 3")
    assert lines[2].endswith("1 of 1")
    assert facts["seen"] == {"ant": 2, "bee": 1}
    assert facts["tagged"] == {"ant": 3, "bee": 1}


def texts_on(tile_of: object, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(overlay, "write", lambda draw, at, text, **look: told.append(text))
    tile_of()  # type: ignore[operator]
    return told


def test_pictures_of_empty_maps_say_nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, empty = np.full((300, 480, 3), 90, np.uint8), np.zeros((300, 480), np.float32)
    assert "nothing seen" in texts_on(lambda: overlay.heat_tile(photo, empty, "ant", 0.3), monkeypatch)
    full = np.ones_like(empty)
    told = texts_on(lambda: overlay.classes_tile(photo, np.stack([full, empty]), [0, 1], ["ant", "bee"]), monkeypatch)
    assert told[0] == "ant"
    assert told[1].startswith("bee: nothing")

"""camkit in a notebook: stores by id, in other processes, as a dataset; activations that show themselves; no files."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

import camkit
from camkit import Activation, Inputs, Network, Output, cam, load_classifier, maps, open_store
from camkit.errors import LabelError
from camkit.pipeline.progress import Lines, Silent, show_progress
from camkit.types import no_classes
from tests.support.world import World


@pytest.fixture(scope="module")
def cams(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cams") / "cams.h5"
    cam(Inputs(world.root, limit=4), Network(world.ckpt), Output(path), scales=(1.0,), flip=False)
    return path


def test_a_store_is_read_by_id_says_what_it_is_and_travels(cams: Path) -> None:
    with open_store(cams) as store:
        id = store.ids[0]
        np.testing.assert_array_equal(store[id].values, store.read(id).values)
        assert repr(store).startswith(f"<camkit store {cams}: maps of 4 images, 20 classes: aeroplane, bicycle")
        assert repr(store[id]).startswith(f"<Activation '{id}': float32 ")
        again = pickle.loads(pickle.dumps(store))
    with again:
        assert again.ids[0] == id
        assert again[id].size


def test_a_store_feeds_a_dataloader(cams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(cams) as store:
        dataset = store.as_dataset(load=len)
        assert len(dataset) == 4
        loaded = [*DataLoader(dataset, batch_size=None)]
        assert [one["id"] for one in loaded] == list(store.ids)
        np.testing.assert_array_equal(loaded[1]["values"], store[store.ids[1]].values)
        assert loaded[0]["photo"] == len(store.ids[0])
        before = dataset._reader
        monkeypatch.setattr("camkit.store.dataset.os.getpid", lambda: -1)
        assert dataset[0]["id"] == store.ids[0]
        assert dataset._reader is not before, "a forked worker opens the file for itself"
        dataset._reader.close()


def test_maps_of_a_photo_in_memory_are_those_of_the_command(world: World, cams: Path) -> None:
    with open_store(cams) as store:
        for activation in store:
            photo = world.root / "JPEGImages" / f"{activation.id}.jpg"
            classes = [store.header.classes[index] for index in activation.classes]
            for given in (photo, Image.open(photo), np.array(Image.open(photo))):
                made = maps(str(world.ckpt), given, classes, scales=(1.0,), flip=False)
                np.testing.assert_array_equal(made.classes, activation.classes)
                np.testing.assert_allclose(made.values, activation.values, atol=1e-3)
                assert made.size == activation.size


def test_maps_of_a_module_and_of_what_it_predicts(world: World) -> None:
    loaded = load_classifier(world.ckpt)
    photo = np.full((40, 60, 3), 90, np.uint8)
    assert len(maps(loaded, photo).classes) >= 1
    with pytest.raises(LabelError, match="no such class"):
        maps(loaded, photo, ["unicorn"])

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
            self.fc = nn.Linear(8, 3)

    torch.manual_seed(0)
    assert maps(Own(), photo, [0, 2]).values.shape == (2, 10, 15)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (np.eye(6, 8, dtype=np.float32)[None], [3]),
        (np.stack([np.eye(6, 8), 1 - np.eye(6, 8)]).astype(np.float32), [1, 3]),
        (np.full((2, 6, 8), 0.5, np.float32), [2]),
        (np.linspace(-2, 2, 48, dtype=np.float32).reshape(1, 6, 8), [0]),
        (np.zeros((0, 6, 8), np.float32), []),
        (np.array([[0, 3], [255, 1]], np.uint8).repeat(12, 0).repeat(16, 1), []),
    ],
    ids=["one map", "two", "probs", "signed", "none", "mask"],
)
def test_an_activation_shows_itself(values: np.ndarray, classes: list[int]) -> None:
    one = Activation("a", values, np.array(classes) if classes else no_classes(), (24, 32))
    assert one.upsampled().shape[-2:] == (24, 32)
    picture = one.overlay(np.full((24, 32, 3), 200, np.uint8), ["a", "b", "c", "d"])
    assert picture.size == (640, 480)
    assert one._repr_png_().startswith(b"\x89PNG")


@pytest.fixture
def bare_log() -> Iterator[logging.Logger]:
    log = logging.getLogger("camkit")
    before = log.handlers, log.level, log.propagate
    log.handlers, log.propagate = [], False
    log.setLevel(logging.NOTSET)
    yield log
    log.handlers, log.propagate = before[0], before[2]
    log.setLevel(before[1])


def test_progress_is_shown_where_somebody_watches_or_asks(
    bare_log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare_log.setLevel(logging.WARNING)
    with show_progress("x", 3) as progress:
        assert isinstance(progress, Silent)
    camkit.verbose()
    with show_progress("x", 3) as progress:
        assert isinstance(progress, Lines)
    camkit.verbose(False)
    with show_progress("x", 3) as progress:
        assert isinstance(progress, Silent)
    bare_log.handlers = []
    monkeypatch.setattr("camkit.pipeline.progress.somebody_watches", lambda: True)
    with show_progress("x", 3) as progress:
        assert not isinstance(progress, Silent | Lines)


def test_completion_knows_the_public_names() -> None:
    assert {"cam", "maps", "open_store", "verbose"} < set(dir(camkit))

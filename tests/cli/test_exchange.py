"""`camkit import` and `camkit export` as a person runs them."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from camkit.store.reader import open_store
from tests.support.world import World, camkit, said


@pytest.fixture(scope="module")
def cams(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cams")
    options = ("--ckpt", world.ckpt, "--images", world.root, "--scales", "1", "--size", "full", "--dtype", "float32")
    assert camkit("cam", *options, "--out", "cams.h5", cwd=folder).returncode == 0
    return folder / "cams.h5"


def test_there_and_back_through_pipes(world: World, cams: Path, tmp_path: Path) -> None:
    """The figures of maps that were exported and imported are those of the maps."""
    exported = camkit("export", "-", "out_cam", "--format", "psa", cwd=tmp_path, input=cams.read_bytes(), fresh=True)
    assert exported.returncode == 0, said(exported)
    assert "out_cam: 12 images" in said(exported)
    assert not exported.stdout
    imported = camkit("import", "out_cam", "--dtype", "float32", "--images", world.root, cwd=tmp_path, fresh=True)
    assert imported.returncode == 0, said(imported)
    assert "format psa: maps of 12 images, 20 classes" in said(imported)
    reports = [
        json.loads(camkit("evaluate", "--gt", world.root, "--json", cwd=tmp_path, input=store).stdout)["miou"]
        for store in (imported.stdout, cams.read_bytes())
    ]
    assert reports[0] == reports[1]


def test_a_store_on_standard_input_need_not_be_named(cams: Path, tmp_path: Path) -> None:
    result = camkit("export", "masks", "--format", "png", cwd=tmp_path, input=cams.read_bytes())
    assert result.returncode == 0, said(result)
    assert len([*(tmp_path / "masks").glob("*.png")]) == 12
    assert "already done" in said(camkit("export", cams, "masks", "--format", "png", cwd=tmp_path))


def test_a_list_for_training_elsewhere(world: World, cams: Path, tmp_path: Path) -> None:
    options = ("--format", "deeplab", "--list", "pseudo.txt", "--threshold", "0.5")
    assert camkit("export", cams, "pseudo", *options, cwd=tmp_path).returncode == 0
    image, mask = (tmp_path / "pseudo.txt").read_text().splitlines()[0].split()
    assert image.endswith(f"/voc/JPEGImages/{world.ids[0]}.jpg")
    assert mask.endswith(f"/pseudo/{world.ids[0]}.png")
    imported = camkit("import", "pseudo.txt", "--out", "masks.h5", cwd=tmp_path)
    assert imported.returncode == 0, said(imported)
    with open_store(tmp_path / "masks.h5") as store:
        assert store.ids == world.ids
        assert store.header.image_root == str(world.root / "JPEGImages")


def test_a_split_of_the_photos(world: World, cams: Path, tmp_path: Path) -> None:
    assert camkit("export", cams, "irn", "--format", "irn", cwd=tmp_path).returncode == 0
    options = ("--images", world.root, "--list", "val", "--array", "high_res", "--out", "val.h5")
    result = camkit("import", "irn", *options, cwd=tmp_path)
    assert result.returncode == 0, said(result)
    with open_store(tmp_path / "val.h5") as store:
        assert store.ids == world.ids[6:]
        assert store.read(store.ids[0]).values.shape[1:] == store.read(store.ids[0]).size


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_hostile_pickles(tmp_path: Path) -> None:
    cams = tmp_path / "cams"
    cams.mkdir()
    np.save(cams / "bad.npy", {3: Evil()}, allow_pickle=True)
    alone = camkit("import", "cams", "--out", "cams.h5", cwd=tmp_path)
    assert alone.returncode == 4
    assert "it would run code" in said(alone)
    np.save(cams / "good.npy", {3: np.eye(4, dtype=np.float32)}, allow_pickle=True)
    (cams / "raw.npy").write_bytes(pickle.dumps({3: Evil()}))
    among_others = camkit("import", "cams", "--out", "cams.h5", cwd=tmp_path)
    assert among_others.returncode == 3
    assert "2 of 3 images failed: bad, raw" in said(among_others)
    assert not [*tmp_path.rglob("executed")]
    with open_store(tmp_path / "cams.h5") as store:
        assert store.ids == ("good",)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("import", "gone", "--out", "a.h5"), 4, "there is nothing to import at gone: it does not exist"),
        (("import", ".", "--out", "a.h5"), 4, "nothing to import in ."),
        (("import", "one.npy", "--classes", "gone.txt", "--out", "a.h5"), 4, "--classes gone.txt is neither"),
        (("import", "one.npy", "--limit", "0", "--out", "a.h5"), 2, "--limit 0"),
        (("import", "one.npy", "--format", "coco", "--out", "a.h5"), 4, "one.npy"),
        (("import", "one.npy", "--out", "one.npy"), 2, "both input and output"),
        (("export", "gone.h5", "out", "--format", "psa"), 4, "gone.h5 does not exist"),
        (("export", "one.npy", "out", "--format", "psa"), 4, "a NumPy array (.npy), not a camkit store"),
        (("export", "out", "--format", "psa"), 2, "which store?"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: tuple[str, ...], exit_code: int, message: str) -> None:
    if "one.npy" in arguments:
        np.save(tmp_path / "one.npy", {3: np.eye(4)}, allow_pickle=True)
    result = camkit(*arguments, cwd=tmp_path)
    error = said(result)[said(result).rindex("error: ") :].strip()
    assert result.returncode == exit_code
    assert message in error
    assert len(error.splitlines()) <= 2

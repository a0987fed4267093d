"""A toy world on disk: found as every VOC root is, continued after a break, never mixed with anything."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.data.classes import read_classes
from camkit.data.images import find_images, read_image
from camkit.data.labels import find_labels, read_labels
from camkit.data.masks import find_masks, read_mask
from camkit.data.toy import TOY_CLASSES, draw_scene, writing
from camkit.data.toy.writing import write_world
from camkit.errors import OutputError, UsageError


def digests(root: Path) -> dict[str, str]:
    """Of every file but hidden ones."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "a wörld"
    assert write_world(root, train=5, val=3, seed=2) == 8
    return root


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    for path in world.rglob("*"):
        if path.is_file():
            target = tmp_path / "copy" / path.relative_to(world)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "copy"


def test_everything_is_found(world: Path) -> None:
    images = find_images(world)
    ids = [f"toy_{n:06d}" for n in range(8)]
    assert list(images.paths) == ids
    assert list(find_images(world, list="train").paths) == ids[:5]
    assert list(find_images(world, list="val").paths) == ids[5:]
    assert list(find_images(world, list="trainval").paths) == ids
    assert read_classes(str(world / "classes.txt")) == TOY_CLASSES
    labels = find_labels(images, TOY_CLASSES, ids)
    assert labels is not None
    masks = find_masks(world)
    from_masks = read_labels(world / "SegmentationClass", TOY_CLASSES, ids)
    for n, id in enumerate(ids):
        scene = draw_scene(2, n)
        assert labels.present[id] == from_masks.present[id] == scene.classes
        assert np.array_equal(read_mask(masks[id]), scene.mask)
        assert np.array_equal(read_mask(world / "Parts" / f"{id}.png"), scene.parts)
        with Image.open(world / "Saliency" / f"{id}.png") as saliency:
            assert saliency.mode == "L"
            assert np.array_equal(np.asarray(saliency), scene.saliency)
        photo, _ = read_image(images.paths[id])
        assert photo.shape == scene.image.shape
        assert np.abs(photo.astype(float) - scene.image).mean() < 6


def test_bytes_depend_neither_on_count_nor_on_processes(world: Path, tmp_path: Path) -> None:
    assert write_world(tmp_path / "w", train=3, val=3, seed=2, processes=2) == 6
    there, here = digests(world), digests(tmp_path / "w")
    scenes = [name for name in here if "toy_" in name]
    assert len(scenes) == 6 * 5
    assert all(here[name] == there[name] for name in scenes)


def test_another_seed_is_another_world(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "w", train=1, val=0, seed=1)
    name = "JPEGImages/toy_000000.jpg"
    assert (world / name).read_bytes() != (tmp_path / "w" / name).read_bytes()


def test_finished_is_left_alone(world: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.rglob("toy_*")}
    counted: list[int] = []
    assert write_world(world, train=5, val=3, seed=2, advance=lambda: counted.append(1)) == 0
    assert len(counted) == 8
    assert {path: path.stat().st_mtime_ns for path in world.rglob("toy_*")} == before


def test_missing_and_truncated_files_are_drawn_again(world: Path, copy: Path) -> None:
    (copy / "JPEGImages/toy_000001.jpg").unlink()
    (copy / "Annotations/toy_000003.xml").write_text("<annotation>")
    mask = copy / "SegmentationClass/toy_000005.png"
    mask.write_bytes(mask.read_bytes()[:-3])
    (copy / "Parts/toy_000006.png").write_bytes(b"")
    (copy / "ImageSets/Segmentation/val.txt").unlink()
    assert write_world(copy, train=5, val=3, seed=2) == 4
    assert digests(copy) == digests(world)


def test_an_interrupted_drawing_goes_on(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "w"

    def interrupted(seed: int, index: int) -> writing.ToyScene:
        if index == 3:
            raise KeyboardInterrupt
        return draw_scene(seed, index)

    monkeypatch.setattr(writing, "draw_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_world(root, train=5, val=3, seed=2)
    monkeypatch.undo()
    assert not json.loads((root / "toy.json").read_text())["complete"]
    assert not (root / "classes.txt").exists()
    with pytest.raises(UsageError, match="seed 2, now 7"):
        write_world(root, train=5, val=3, seed=7)
    assert write_world(root, train=5, val=3, seed=2) == 5
    assert digests(root) == digests(world)


def test_an_interrupted_overwriting_goes_on(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seed: int, index: int) -> writing.ToyScene:
        if index == 2:
            raise KeyboardInterrupt
        return draw_scene(seed, index)

    monkeypatch.setattr(writing, "draw_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_world(copy, train=4, val=0, seed=6, overwrite=True)
    monkeypatch.undo()
    assert write_world(copy, train=4, val=0, seed=6, overwrite=True) == 2
    assert write_world(copy, train=4, val=0, seed=6, overwrite=True) == 4


def test_another_world_is_refused_then_overwritten(copy: Path) -> None:
    mine = copy / "JPEGImages" / "holiday.jpg"
    mine.write_bytes(b"mine")
    before = digests(copy)
    for numbers, told in (((4, 3, 2), "train 5, now 4"), ((5, 4, 2), "val 3, now 4"), ((5, 3, 0), "seed 2, now 0")):
        with pytest.raises(UsageError, match=f"another toy world: {told}\n.*--overwrite"):
            write_world(copy, train=numbers[0], val=numbers[1], seed=numbers[2])
    assert digests(copy) == before
    assert write_world(copy, train=2, val=1, seed=0, overwrite=True) == 3
    assert mine.read_bytes() == b"mine"
    for folder in ("SegmentationClass", "Parts", "Saliency", "Annotations"):
        assert len([*(copy / folder).glob("toy_*")]) == 3
    assert (copy / "ImageSets/Segmentation/trainval.txt").read_text().split() == [f"toy_{n:06d}" for n in range(3)]


def test_a_world_of_an_older_drawing_is_refused(copy: Path) -> None:
    memo = json.loads((copy / "toy.json").read_text())
    (copy / "toy.json").write_text(json.dumps({**memo, "drawing": 0}))
    with pytest.raises(UsageError, match=f"drawing 0, now {writing.DRAWING}"):
        write_world(copy, train=5, val=3, seed=2)
    assert write_world(copy, train=5, val=3, seed=2, overwrite=True) == 8


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "JPEGImages" / "toy_000000.jpg").write_bytes(b"not from here")
    with pytest.raises(UsageError, match="other things than a toy world"):
        write_world(tmp_path, train=1, val=0, overwrite=overwrite)
    assert digests(tmp_path).keys() == {"JPEGImages/toy_000000.jpg"}


@pytest.mark.parametrize(
    "memo",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"format": "camkit masks"}',
        '{"format": "camkit toy world"}',
        '{"format": "camkit toy world", "seed": "0", "train": 1, "val": 0, "drawing": 1, "complete": true}',
        '{"format": "camkit toy world", "seed": 0, "train": true, "val": 0, "drawing": 1, "complete": true}',
        '{"format": "camkit toy world", "seed": 0, "train": 1, "val": 0, "drawing": 1, "colour": 1}',
        "[" * 100_000,
    ],
)
def test_a_strange_memo_is_refused(tmp_path: Path, memo: str) -> None:
    (tmp_path / "toy.json").write_text(memo)
    with pytest.raises(UsageError, match=r"toy\.json is not the memo of a toy world"):
        write_world(tmp_path, train=1, val=0, overwrite=True)


def test_numbers_out_of_range(tmp_path: Path) -> None:
    for train, val, seed in ((0, 0, 0), (-1, 5, 0), (5, -1, 0), (1_000_000, 1, 0), (1, 0, -1)):
        with pytest.raises(UsageError):
            write_world(tmp_path / "w", train=train, val=val, seed=seed)
    assert not (tmp_path / "w").exists()


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        write_world(tmp_path / "file", train=1, val=0)
    with pytest.raises(OutputError, match="cannot write"):
        write_world(tmp_path / "file" / "below", train=1, val=0)

"""Masks as other tools take them, read back by readers of their own, written from the formats' documentation."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from camkit import Activation, Header, Writer, export_store
from camkit.data.exchange.brush import brush_lengths
from camkit.data.exchange.deeplab import read_pairs
from camkit.data.exchange.outlines import parts_of, polygon_of
from camkit.types import no_classes

CLASSES = ("cat", 'a "dog" & <co>', "hot dog")
PIXELS = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 2, 255]))


def filled(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """By the even-odd rule: a pixel is inside if a ray from its centre crosses the border an odd number of times."""
    height, width = size
    inside = np.zeros(size, bool)
    for (x, y0), (other, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if x == other:
            inside[min(y0, y1) : max(y0, y1), :x] ^= True
    return inside[:height, :width]


@settings(max_examples=40)
@given(PIXELS)
def test_a_polygon_is_its_part_holes_and_all(mask: np.ndarray) -> None:
    again = np.zeros_like(mask)
    for value, part in parts_of(mask, 255):
        polygon = polygon_of(part)
        steps = np.abs(polygon - np.roll(polygon, 1, axis=0))
        assert (filled(cut_along_axes(polygon), mask.shape) == part).all()
        assert len(polygon) >= 4
        assert steps.sum() > 0
        again[part] = value
    np.testing.assert_array_equal(again, np.where(mask == 255, 0, mask))


def cut_along_axes(polygon: np.ndarray) -> np.ndarray:
    """A cut to a hole may be slanted; there and back it adds nothing, so that it may as well have a corner."""
    found = []
    for one, other in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        low, high = sorted([tuple(one), tuple(other)])
        found += [one, np.array([low[0], high[1]])] if (one != other).all() else [one]
    return np.array(found)


def test_a_hole_is_seen_by_a_painter_too() -> None:
    ring = np.zeros((30, 40), bool)
    ring[5:25, 5:35] = True
    ring[10:20, 12:28] = False
    picture = Image.new("1", (400, 300))
    ImageDraw.Draw(picture).polygon([(10 * x, 10 * y) for x, y in polygon_of(ring).tolist()], fill=1)
    painted = np.array(picture)[5::10, 5::10]
    assert (painted == ring).mean() > 0.98


def read_brush(numbers: list[int]) -> np.ndarray:
    """Bit by bit, as the format's documentation has it."""
    bits = "".join(f"{number:08b}" for number in numbers)
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        is_run, length = take(1), take(sizes[take(2)]) + 1
        values += [take(word)] * length if is_run else [take(word) for _ in range(length)]
    return np.array(values, np.uint8)


@settings(max_examples=25)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_brushes_are_read_bit_by_bit(mask: np.ndarray) -> None:
    rgba = read_brush(brush_lengths(mask)).reshape(*mask.shape, 4)
    np.testing.assert_array_equal(rgba, np.where(mask, 255, 0)[..., None].repeat(4, axis=-1))


def test_a_long_run_takes_several_blocks() -> None:
    rgba = read_brush(brush_lengths(np.ones((300, 200), bool)))
    assert len(rgba) == 240_000
    assert (rgba == 255).all()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two photos with spaces in their names; masks with two parts, a hole and undecided pixels."""
    photos = tmp_path / "my photos"
    (photos / "a b").mkdir(parents=True)
    masks = {}
    for name in ("a b/x 1", "y"):
        Image.fromarray(np.full((12, 20, 3), 90, np.uint8)).save(photos / f"{name}.jpg")
        mask = np.zeros((12, 20), np.uint8)
        mask[1:6, 1:6], mask[3, 3], mask[8:11, 2:9], mask[2:9, 12:18], mask[11] = 1, 0, 1, 3, 255
        masks[name] = mask if name == "y" else np.roll(mask, 1, axis=1)
    with Writer(tmp_path / "masks.h5", Header("masks", CLASSES, str(photos)), [*masks]) as writer:
        for name, mask in masks.items():
            writer.write(Activation(name, mask, no_classes(), (12, 20)))
        writer.finish()
    np.savez(tmp_path / "truth.npz", **{name.replace("/", "-"): mask for name, mask in masks.items()})
    return tmp_path / "masks.h5"


def truth(store: Path, file_name: str, *, void: bool = False) -> np.ndarray:
    mask = np.load(store.with_name("truth.npz"))[file_name.removesuffix(".jpg").replace("/", "-")]
    return mask if void else np.where(mask == 255, 0, mask)


def test_coco_instances_are_what_pycocotools_reads(store: Path, tmp_path: Path) -> None:
    export_store(store, tmp_path / "out", "coco-instances")
    path = tmp_path / "out" / "instances.json"
    content = json.loads(path.read_text())
    assert [one["name"] for one in content["categories"]] == list(CLASSES)
    assert sorted(one["file_name"] for one in content["images"]) == ["a b/x 1.jpg", "y.jpg"]
    assert [one["id"] for one in content["annotations"]] == [1, 2, 3, 4, 5, 6]
    coco = pytest.importorskip("pycocotools.coco").COCO(str(path))
    for image in coco.loadImgs(coco.getImgIds()):
        found = np.zeros((12, 20), np.uint8)
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert len(annotations) == 3
        for one in annotations:
            part = coco.annToMask(one).astype(bool)
            found[part] = one["category_id"]
            left, top, width, height = one["bbox"]
            assert part.sum() == part[top : top + height, left : left + width].sum() == one["area"]
        np.testing.assert_array_equal(found, truth(store, image["file_name"]))


def test_cvat_is_read_as_its_documentation_has_it(store: Path, tmp_path: Path) -> None:
    export_store(store, tmp_path / "out", "cvat")
    root = ET.parse(tmp_path / "out" / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [label.findtext("name") for label in root.iter("label")] == list(CLASSES)
    for image in root.iter("image"):
        found = np.zeros((int(image.get("height", 0)), int(image.get("width", 0))), np.uint8)
        for mask in image.iter("mask"):
            left, top, width, height = (int(mask.get(name, 0)) for name in ("left", "top", "width", "height"))
            runs = [int(run) for run in mask.get("rle", "").split(",")]
            part = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
            found[top : top + height, left : left + width][part] = CLASSES.index(mask.get("label", "")) + 1
        np.testing.assert_array_equal(found, truth(store, image.get("name", "")))


def test_label_studio_tasks_have_a_brush_for_each_class(store: Path, tmp_path: Path) -> None:
    export_store(store, tmp_path / "out", "label-studio")
    for task in json.loads((tmp_path / "out" / "tasks.json").read_text()):
        found = np.zeros((12, 20), np.uint8)
        for one in task["predictions"][0]["result"]:
            size = (one["original_height"], one["original_width"])
            part = read_brush(one["value"]["rle"]).reshape(*size, 4)[..., 3] > 0
            found[part] = CLASSES.index(one["value"]["brushlabels"][0]) + 1
        np.testing.assert_array_equal(found, truth(store, task["data"]["image"]))


def test_yolo_polygons_and_ultralytics_masks(store: Path, tmp_path: Path) -> None:
    export_store(store, tmp_path / "polygons", "yolo-seg")
    export_store(store, tmp_path / "semantic", "ultralytics")
    for id in ("a b/x 1", "y"):
        found = np.zeros((12, 20), np.uint8)
        for line in (tmp_path / "polygons/labels/train" / f"{id}.txt").read_text().splitlines():
            number, *shares = line.split()
            polygon = np.rint(np.array(shares, float).reshape(-1, 2) * (20, 12)).astype(int)
            found[filled(cut_along_axes(polygon), (12, 20))] = int(number) + 1
        np.testing.assert_array_equal(found, truth(store, id))
        kept = Image.open(tmp_path / "semantic/masks/train" / f"{id}.png")
        assert kept.mode == "L"
        np.testing.assert_array_equal(np.array(kept), truth(store, id, void=True))
        for folder in ("polygons", "semantic"):
            assert (tmp_path / folder / "images/train" / f"{id}.jpg").is_file()
    told = (tmp_path / "semantic/data.yaml").read_text()
    assert 'masks_dir: masks\nnames:\n  0: "background"\n  1: "cat"' in told
    assert 'names:\n  0: "cat"' in (tmp_path / "polygons/data.yaml").read_text()


def test_deeplab_lists_hold_names_with_spaces(store: Path, tmp_path: Path) -> None:
    export_store(store, tmp_path / "out", "deeplab")
    pairs = read_pairs(tmp_path / "out" / "list.txt")
    assert pairs == [("my photos/a b/x 1.jpg", "out/a b/x 1.png"), ("my photos/y.jpg", "out/y.png")]

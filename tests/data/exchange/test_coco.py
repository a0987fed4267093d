"""COCO's JSON: results and instances, run lengths and polygons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camkit.data.classes import COCO_CLASSES, VOC_CLASSES
from camkit.data.exchange import rle
from camkit.data.exchange.coco import fill, read_coco
from camkit.data.exchange.naming import match_photos, number_of, numbers_of
from camkit.data.exchange.source import Ask, Source
from camkit.errors import ImageError, InputError, LabelError

SIZE = (6, 8)
IMAGES = [{"id": 9, "file_name": "x/nine.jpg", "height": 6, "width": 8}, {"id": 10, "file_name": "ten.png"}]
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}]


def rectangle(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def segment(mask: np.ndarray, *, image: Any = 9, category: Any = 17, text: bool = True, **more: Any) -> dict[str, Any]:
    counts = rle.encode(mask)
    stored: Any = rle.to_text(counts) if text else counts.tolist()
    shape = {"size": list(mask.shape), "counts": stored}
    return {"image_id": image, "category_id": category, "segmentation": shape, **more}


def write(folder: Path, content: Any) -> Path:
    path = folder / "coco.json"
    path.write_text(json.dumps(content))
    return path


def instances(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {"info": {}, "images": IMAGES, "annotations": list(annotations), "categories": CATEGORIES}


def opened(folder: Path, content: Any, classes: tuple[str, ...] | None = None) -> Source:
    return read_coco(write(folder, content), Ask(classes))


class TestInstances:
    def test_categories_become_the_classes_in_the_order_of_their_ids(self, tmp_path):
        cat, dog = rectangle(0, 0, 3, 3), rectangle(3, 4, 2, 2)
        source = opened(tmp_path, instances(segment(cat), segment(dog, category=18, text=False)))
        assert (source.kind, source.classes, [*source.files]) == ("masks", ("cat", "dog"), ["ten", "x/nine"])
        np.testing.assert_array_equal(source.read("x/nine").values, cat * np.uint8(1) + dog * np.uint8(2))

    def test_names_wanted_in_another_order(self, tmp_path):
        cat = rectangle(0, 0, 3, 3)
        source = opened(tmp_path, instances(segment(cat)), VOC_CLASSES)
        np.testing.assert_array_equal(source.read("x/nine").values, cat * np.uint8(8))

    def test_an_image_without_objects_is_background(self, tmp_path):
        images = [{**image, "height": 6, "width": 8} for image in IMAGES]
        source = opened(tmp_path, {**instances(segment(rectangle(0, 0, 1, 1))), "images": images})
        assert not source.read("ten").values.any()

    def test_an_image_of_which_nothing_says_the_size(self, tmp_path):
        source = opened(tmp_path, instances(segment(rectangle(0, 0, 1, 1))))
        with pytest.raises(ImageError, match="image ten: nothing says how large it is"):
            source.read("ten")

    def test_crowds_are_undecided_and_lie_below(self, tmp_path):
        crowd, cat = rectangle(0, 0, 6, 8), rectangle(1, 1, 2, 2)
        source = opened(tmp_path, instances(segment(cat), segment(crowd, category=18, text=False, iscrowd=1)))
        np.testing.assert_array_equal(source.read("x/nine").values, np.where(cat, 1, 255))

    def test_smaller_objects_lie_on_larger_ones(self, tmp_path):
        large, small = rectangle(0, 0, 6, 8), rectangle(1, 1, 2, 2)
        source = opened(tmp_path, instances(segment(small), segment(large, category=18)))
        np.testing.assert_array_equal(source.read("x/nine").values, np.where(small, 1, 2))

    def test_polygons(self, tmp_path):
        polygons = [[1, 1, 4, 1, 4, 3, 1, 3], [5, 4, 7, 4, 7, 6, 5, 6]]
        source = opened(tmp_path, instances({"image_id": 9, "category_id": 17, "segmentation": polygons}))
        np.testing.assert_array_equal(source.read("x/nine").values, rectangle(1, 1, 2, 3) | rectangle(4, 5, 2, 2))

    def test_categories_that_are_no_classes(self, tmp_path):
        content = instances(segment(rectangle(0, 0, 1, 1), category=18))
        with pytest.raises(LabelError, match=r"1 categories that are none of the 2 classes: 18 \(dog\)"):
            opened(tmp_path, content, ("cat", "cow"))
        with pytest.raises(LabelError, match="none of the 2 classes: 77"):
            opened(tmp_path, instances(segment(rectangle(0, 0, 1, 1), category=77)))

    def test_images_that_are_not_listed_or_listed_twice(self, tmp_path):
        with pytest.raises(InputError, match="of image 11, which the file does not list"):
            opened(tmp_path, instances(segment(rectangle(0, 0, 1, 1), image=11)))
        twice = {**instances(segment(rectangle(0, 0, 1, 1))), "images": [*IMAGES, {"id": 11, "file_name": "ten.jpg"}]}
        with pytest.raises(InputError, match="more than once: ten"):
            opened(tmp_path, twice)


class TestResults:
    def test_ids_of_coco(self, tmp_path):
        source = opened(tmp_path, [segment(rectangle(0, 0, 2, 2), category=90)], COCO_CLASSES)
        assert [*source.files] == ["9"]
        assert source.read("9").values.max() == 80

    def test_other_classes_count_from_1(self, tmp_path):
        source = opened(tmp_path, [segment(rectangle(0, 0, 2, 2), category=20, image="a/b")], VOC_CLASSES)
        assert source.read("a/b").values.max() == 20

    def test_classes_must_be_named(self, tmp_path):
        with pytest.raises(LabelError, match="does not name its categories; give --classes"):
            opened(tmp_path, [segment(rectangle(0, 0, 2, 2))])

    def test_the_higher_score_lies_on_top(self, tmp_path):
        large, small = rectangle(0, 0, 6, 8), rectangle(1, 1, 2, 2)
        results = [segment(large, category=2, score=0.9), segment(small, category=1, score=0.8)]
        source = opened(tmp_path, results, VOC_CLASSES)
        assert (source.read("9").values == 2).all()

    def test_a_folder_with_the_file(self, tmp_path):
        write(tmp_path, [segment(rectangle(0, 0, 2, 2))])
        assert [*read_coco(tmp_path, Ask(VOC_CLASSES)).files] == ["9"]


GOOD = {"size": list(SIZE), "counts": rle.to_text(rle.encode(rectangle(0, 0, 2, 2)))}
DAMAGED = {
    "null": None,
    "text": "counts",
    "empty": {},
    "cut off": {**GOOD, "counts": GOOD["counts"][:-1]},
    "no text": {**GOOD, "counts": "\u00e9"},
    "other counts": {**GOOD, "counts": [1, 2]},
    "negative": {**GOOD, "counts": [58, -10]},
    "huge": {**GOOD, "counts": [10**30]},
    "nested": {**GOOD, "counts": [[48]]},
    "no counts": {"size": [6, 8]},
    "one side": {**GOOD, "size": [6]},
    "no size": {**GOOD, "size": [0, 8]},
    "text size": {**GOOD, "size": ["6", "8"]},
    "large": {"size": [10**9, 10**9], "counts": [10**18]},
    "another size": {"size": [8, 6], "counts": [48]},
    "no polygon": [],
    "short": [[1, 1, 2, 2]],
    "odd": [[1, 1, 2, 2, 3]],
    "points": [[[1, 1], [2, 2], [3, 3]]],
    "not finite": [[1, 1, float("nan"), 2, 3, 3]],
    "words": [["a", "b", "c", "d", "e", "f"]],
}  # fmt: skip


@pytest.mark.parametrize("shape", DAMAGED.values(), ids=DAMAGED)
def test_damaged_segments_fail_their_image_alone(tmp_path, shape):
    wrong = {"image_id": 9, "category_id": 17, "segmentation": shape}
    good = rectangle(0, 0, 1, 1)
    source = opened(tmp_path, instances(segment(good, image=10), segment(good), wrong))
    assert source.read("ten").values.any()
    with pytest.raises(ImageError, match=r"coco\.json, image x/nine: "):
        source.read("x/nine")


@pytest.mark.parametrize(
    "content",
    [[], {}, [1], "text", None, {"annotations": []}, {"annotations": [{}]}, [{"image_id": 1, "category_id": 1}],
     instances() | {"images": [{"id": 9}]}, {**instances(segment(rectangle(0, 0, 1, 1))), "images": [{"id": []}]},
     {**instances(segment(rectangle(0, 0, 1, 1))), "categories": [{"id": "x", "name": "y"}]}],
)  # fmt: skip
def test_json_of_something_else(tmp_path, content):
    with pytest.raises(InputError, match=r"coco\.json"):
        opened(tmp_path, content, VOC_CLASSES)


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "\0"])
def test_no_json(tmp_path, text):
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(InputError, match=r"coco\.json"):
        read_coco(tmp_path / "coco.json", Ask(VOC_CLASSES))


def slow_fill(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixel by pixel: is the number of edges to the left of the centre odd?"""
    inside = np.zeros(size, bool)
    edges = [*zip(points.tolist(), [*points.tolist()[1:], points.tolist()[0]], strict=True)]
    for row, column in np.ndindex(*size):
        x, y = column + 0.5, row + 0.5
        crossed = [x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x for (x0, y0), (x1, y1) in edges if (y0 <= y) != (y1 <= y)]
        inside[row, column] = sum(crossed) % 2 == 1
    return inside


@pytest.mark.parametrize("seed", range(20))
def test_filled_polygons(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-5, 30, (rng.integers(3, 12), 2)).round(rng.integers(0, 3))
    monkeypatch.setattr("camkit.data.exchange.coco._CROSSINGS", int(rng.choice([1, 50, 1 << 22])))
    np.testing.assert_array_equal(fill(points, (17, 23)), slow_fill(points, (17, 23)))


class TestNaming:
    @pytest.mark.parametrize(
        ("id", "number"),
        [("2007_000032", 2007000032), ("COCO_val2014_000000000009", 9), ("a/b7", 7), ("no number", None), ("7a", None)],
    )
    def test_numbers_in_names(self, id, number):
        assert number_of(id) == number

    def test_all_ids_have_a_number_of_their_own_or_none_counts(self):
        assert numbers_of(["a1", "a2"]) == {"a1": 1, "a2": 2}
        assert numbers_of(["a1", "b1"]) is None
        assert numbers_of(["a1", "b"]) is None

    def test_names_numbers_and_folders(self):
        photos = ["COCO_train_000000000007", "day 1/a", "day 1/b", "day 2/b", "2007_000032"]
        expected = {photos[0]: "7", photos[1]: "a", photos[3]: "day 2/b", photos[4]: "2007000032"}
        assert match_photos(expected.values(), photos, "photos") == expected

    def test_strangers(self):
        with pytest.raises(InputError, match="2 of 3 images have no photo in photos: b, c; photos there: a"):
            match_photos(["a", "b", "c"], ["a"], "photos")

    def test_two_names_of_one_photo(self):
        with pytest.raises(InputError, match="x/a and y/a both go by the photo a"):
            match_photos(["x/a", "y/a"], ["a"], "photos")

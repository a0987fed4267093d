"""JSON, COCO and .npy label files."""

import json
from pathlib import Path

import numpy as np
import pytest

from camkit.data.classes import COCO_CLASSES, COCO_IDS
from camkit.data.labels import classes_of_labels
from camkit.errors import LabelError
from tests.data.test_labels import CAT, EXPECTED, IDS, PERSON, PLANE, present, written


class TestJson:
    @pytest.mark.parametrize(
        "content",
        [
            {"2007_000032": ["cat", "person"], "2007_000033": [], "deep/er/a b.c": "aeroplane"},
            {"2007_000032.jpg": [CAT, PERSON], "2007_000033": [], "er/a b.c": PLANE},
            [["2007_000032", "cat", "person"], ["2007_000033"], ["deep/er/a b.c", "aeroplane"]],
            [
                {"id": "2007_000032", "classes": ["cat", "person"], "scores": [0.9, 0.8]},
                {"file_name": "2007_000033.jpg", "labels": []},
                {"image": "deep/er/a b.c", "label": "aeroplane"},
            ],
        ],
    )
    def test_ways_to_write_them(self, tmp_path, content):
        assert present(written(tmp_path / "labels.json", json.dumps(content))) == EXPECTED
        if isinstance(content, list):
            lines = "\n".join(json.dumps(entry) for entry in content)
            assert present(written(tmp_path / "labels.jsonl", lines + "\n\n")) == EXPECTED

    def test_one_line(self, tmp_path):
        assert present(written(tmp_path / "a.jsonl", '["2007_000032", "cat"]')) == {"2007_000032": (CAT,)}
        assert present(written(tmp_path / "a.jsonl", '{"id": "2007_000032", "classes": ["cat"]}')) == {
            "2007_000032": (CAT,)
        }

    def test_mask_values(self, tmp_path):
        content = {"2007_000032": [8, 15], "2007_000033": [0, 255], "deep/er/a b.c": [1]}
        assert present(written(tmp_path / "mask_image_labels.json", json.dumps(content))) == EXPECTED
        with pytest.raises(LabelError, match="mask value 21"):
            present(written(tmp_path / "mask.json", '{"2007_000032": [21]}'))

    @pytest.mark.parametrize(
        "text",
        [
            "{", "[" * 100_000, '{"2007_000032": [1.5]}', '{"2007_000032": [true]}', '{"2007_000032": {"cat": 1}}',
            "[3]", '[{"id": []}]', '{"2007_000032": [' + "9" * 5_000 + "]}", '{"2007_000032": [' + "9" * 4_000 + "]}",
            '{"2007_000032": ["cat", 3]}', '["2007_000032"]\nnot json', '[{"id": 1.5, "classes": []}]',
        ],
    )  # fmt: skip
    def test_errors(self, tmp_path, text):
        with pytest.raises(LabelError):
            present(written(tmp_path / "labels.json", text))


class TestCoco:
    def coco(self, **changes) -> dict:
        return {
            "images": [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg"}, {"id": 10, "file_name": "t/b.jpg"}],
            "annotations": [
                {"image_id": 9, "category_id": 90, "segmentation": [[1, 2]]},
                {"image_id": 9, "category_id": 1, "iscrowd": 1},
                {"image_id": 77, "category_id": 3},
            ],
            "categories": [{"id": id, "name": name} for id, name in zip(COCO_IDS, COCO_CLASSES, strict=True)][::-1],
        } | changes

    IDS = ("COCO_train2014_000000000009", "b", "c")

    def expected(self) -> dict[str, tuple[int, ...]]:
        return {"COCO_train2014_000000000009": (0, 79), "b": ()}

    def test_categories_become_contiguous(self, tmp_path):
        path = written(tmp_path / "instances.json", json.dumps(self.coco()))
        assert present(path, self.IDS, COCO_CLASSES) == self.expected()
        assert classes_of_labels(path) == COCO_CLASSES

    def test_without_names_the_official_ids_are_meant(self, tmp_path):
        path = written(tmp_path / "instances.json", json.dumps(self.coco(categories=[])))
        assert present(path, self.IDS, COCO_CLASSES) == self.expected()

    def test_names_decide_not_positions(self, tmp_path):
        path = written(tmp_path / "a.json", json.dumps(self.coco()))
        assert present(path, self.IDS, ("toothbrush", "person")) == {self.IDS[0]: (0, 1), "b": ()}

    @pytest.mark.parametrize(
        "changes",
        [
            {"images": [{"id": 9}]}, {"images": 3}, {"images": [{"id": [], "file_name": "a"}]},
            {"annotations": [{"image_id": 9}]}, {"annotations": [{"image_id": [], "category_id": {}}]},
            {"categories": [{"id": 1}]}, {"categories": 3}, {"categories": [{"id": 1, "name": "person"}]},
        ],
    )  # fmt: skip
    def test_errors(self, tmp_path, changes):
        with pytest.raises(LabelError, match=r"a\.json"):
            present(written(tmp_path / "a.json", json.dumps(self.coco(**changes))), self.IDS, COCO_CLASSES)


class TestNpy:
    HOT = np.eye(20, dtype=np.float32)

    def saved(self, tmp_path: Path, content) -> Path:
        np.save(tmp_path / "cls_labels.npy", content)
        return tmp_path / "cls_labels.npy"

    @pytest.mark.parametrize("key", ["2007_000032", 2007000032, "2007000032", np.int32(2007000032), np.str_(IDS[0])])
    def test_voc_keys(self, tmp_path, key):
        path = self.saved(tmp_path, {key: self.HOT[CAT] + self.HOT[PERSON], "2007_000033": self.HOT[0] * 0})
        assert present(path) == {"2007_000032": (CAT, PERSON), "2007_000033": ()}

    @pytest.mark.parametrize("id", ["000000000009", "COCO_train2014_000000000009", "train/000000000009"])
    def test_coco_keys(self, tmp_path, id):
        assert present(self.saved(tmp_path, {9: np.eye(80)[3]}), (id, "other"), COCO_CLASSES) == {id: (3,)}

    def test_a_number_two_ids_end_in(self, tmp_path):
        path = self.saved(tmp_path, {9: self.HOT[3], 8: self.HOT[2]})
        assert present(path, ("a_9", "b_9", "a_8")) == {"a_8": (2,)}

    @pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16])
    def test_types(self, tmp_path, dtype):
        assert present(self.saved(tmp_path, {IDS[0]: self.HOT[CAT].astype(dtype)})) == {IDS[0]: (CAT,)}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({IDS[0]: np.zeros(21)}, "20 classes; found 21"),
            ({IDS[0]: [0] * 20}, "found list"),
            ({IDS[0]: np.array(["a"] * 20)}, "multi-hot"),
            ({(1, 2): np.zeros(20)}, "cannot read"),
            ({10**300: np.zeros(19)}, "a number of"),
            (np.zeros((5, 20)), "name no images"),
            ({}, "is empty"),
        ],
    )
    def test_errors(self, tmp_path, content, message):
        with pytest.raises(LabelError, match=message):
            present(self.saved(tmp_path, content))

"""png, deeplab and huggingface: masks and what names them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.data.exchange.formats import READERS, recognise
from camkit.data.exchange.source import Ask, Source, check_classes, stored_mask
from camkit.data.masks import write_mask
from camkit.errors import ImageError, InputError, LabelError, UsageError
from tests.data.exchange.programs import VOC

MASK = np.array([[0, 1, 20, 255], [3, 3, 0, 0]], np.uint8)


def opened(path: Path, ask: Ask = VOC) -> Source:
    return READERS[recognise(path, ask.list)](path, ask)


def draw(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 2)).save(path)
    return path


class TestPng:
    def test_a_folder_and_one_file(self, tmp_path):
        write_mask(tmp_path / "palette.png", MASK)
        Image.fromarray(MASK).save(tmp_path / "grey.png")
        source = opened(tmp_path)
        assert (source.format, source.kind, [*source.files]) == ("png", "masks", ["grey", "palette"])
        for id in source.files:
            found = source.read(id)
            np.testing.assert_array_equal(found.values, MASK)
            assert (found.size, found.values.dtype) == ((2, 4), np.uint8)
        assert [*opened(tmp_path / "grey.png").files] == ["grey"]

    def test_a_voc_root(self, tmp_path):
        draw(tmp_path / "JPEGImages/a.jpg")
        write_mask(tmp_path / "SegmentationClass/a.png", MASK)
        assert [*opened(tmp_path).files] == ["a"]

    def test_a_photo_among_masks(self, tmp_path):
        write_mask(tmp_path / "a.png", MASK)
        Image.fromarray(np.full((2, 4, 3), 77, np.uint8)).save(tmp_path / "b.png")
        with pytest.raises(ImageError, match=r"b\.png"):
            opened(tmp_path).read("b")

    @pytest.mark.parametrize("value", [21, 254])
    def test_values_beyond_the_classes(self, tmp_path, value):
        write_mask(tmp_path / "a.png", np.where(MASK == 20, value, MASK).astype(np.uint8))
        found = opened(tmp_path).read("a")
        with pytest.raises(LabelError, match=rf"a\.png holds the mask value {value}, but the 20 classes reach to 20"):
            check_classes(found, "masks", 20, tmp_path / "a.png")

    def test_undecided_in_8_and_16_bits(self):
        sixteen = np.where(MASK == 255, 65_535, MASK.astype(np.uint16)).astype(np.uint16)
        for mask in (MASK, sixteen):
            np.testing.assert_array_equal(stored_mask(mask, 20), MASK, strict=True)
            np.testing.assert_array_equal(stored_mask(mask, 300), sixteen, strict=True)
        large = np.array([[300, 255]], np.uint16)
        np.testing.assert_array_equal(stored_mask(large, 300), large, strict=True)
        np.testing.assert_array_equal(stored_mask(large, 20), large)


class TestDeeplab:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """As VOC with SegmentationClassAug: two photos with masks, the list where VOC's lists lie."""
        for id in ("a", "b"):
            draw(tmp_path / f"voc/JPEGImages/{id}.jpg")
            write_mask(tmp_path / f"voc/Aug/{id}.png", MASK)
        lines = "".join(f"/JPEGImages/{id}.jpg /Aug/{id}.png\n" for id in "ab")
        (tmp_path / "voc/ImageSets/Segmentation").mkdir(parents=True)
        (tmp_path / "voc/ImageSets/Segmentation/aug.txt").write_text(lines)
        return tmp_path / "voc"

    def test_a_list_where_voc_keeps_its_lists(self, root):
        source = opened(root / "ImageSets/Segmentation/aug.txt")
        assert (source.format, [*source.files], source.image_root) == ("deeplab", ["a", "b"], root / "JPEGImages")
        assert source.photos["b"] == root / "JPEGImages/b.jpg"
        np.testing.assert_array_equal(source.read("a").values, MASK)

    def test_a_list_elsewhere_and_its_root(self, root, tmp_path):
        elsewhere = tmp_path / "deep/down/lists/of/mine/my.txt"
        elsewhere.parent.mkdir(parents=True)
        elsewhere.write_text("# mine\nJPEGImages/b.jpg\tAug/b.png")
        with pytest.raises(InputError, match=r"the masks of .*my\.txt are not there: looked for Aug/b\.png below"):
            opened(elsewhere)
        for ask in (Ask(VOC.classes, list=elsewhere), Ask(VOC.classes, list=elsewhere, images=root / "JPEGImages")):
            assert [*opened(root, ask).files] == ["b"]
        assert [*READERS["deeplab"](elsewhere, Ask(VOC.classes, images=root)).files] == ["b"]

    def test_a_list_of_columns_may_pick_masks_of_a_folder(self, root):
        ask = Ask(VOC.classes, list=root / "ImageSets/Segmentation/aug.txt")
        assert recognise(root / "Aug", ask.list) == "png"

    def test_masks_alone(self, root):
        for photo in (root / "JPEGImages").iterdir():
            photo.unlink()
        source = opened(root / "ImageSets/Segmentation/aug.txt")
        assert ([*source.files], source.photos, source.image_root) == (["a", "b"], {}, None)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("a.jpg a.png b.png", "an image and a mask below one root a line, not 'a.jpg a.png b.png'"),
            ("a.jpg", "an image and a mask"),
            ("../a.jpg a.png", "below one root"),
            ("a.jpg ../../a.png", "below one root"),
            ("a.jpg /Aug/a.png\na.jpg /Aug/b.png", "names 2 masks for 1 images"),
        ],
    )
    def test_lists_that_make_no_sense(self, root, text, message):
        (root / "wrong.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            READERS["deeplab"](root / "wrong.txt", VOC)

    def test_a_folder_needs_a_list(self, root):
        with pytest.raises(UsageError, match="give --list"):
            READERS["deeplab"](root, VOC)


class TestHuggingFace:
    def write(self, root: Path, *rows: object) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        (root / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        return root

    @pytest.mark.parametrize("key", ["mask_file_name", "mask", "label_file_name"])
    def test_a_folder_a_split_and_the_file(self, tmp_path, key):
        write_mask(tmp_path / "hub/val/masks/x/a.png", MASK)
        photo = draw(tmp_path / "hub/val/images/x/a.jpg")
        split = self.write(tmp_path / "hub/val", {"file_name": "images/x/a.jpg", key: "masks/x/a.png"})
        for path in (split, split.parent, split / "metadata.jsonl"):
            source = opened(path)
            assert (source.format, [*source.files], source.photos) == ("huggingface", ["x/a"], {"x/a": photo})
            np.testing.assert_array_equal(source.read("x/a").values, MASK)

    def test_several_splits(self, tmp_path):
        for split in ("train", "test"):
            self.write(tmp_path / split, {"file_name": "a.jpg", "mask": "a.png"})
        with pytest.raises(InputError, match=r"several splits: .*name one of them"):
            opened(tmp_path)

    @pytest.mark.parametrize("name", ["/etc/passwd", "../a.png", "x/../../a.png", 3, None])
    @pytest.mark.parametrize("key", ["file_name", "mask_file_name"])
    def test_files_outside_of_it(self, tmp_path, key, name):
        self.write(tmp_path, {"file_name": "a.jpg", "mask_file_name": "a.png"} | {key: name})
        with pytest.raises(InputError, match="line 1: file_name and mask_file_name are paths below its folder"):
            opened(tmp_path)

    @pytest.mark.parametrize("line", ["", "{", "[]", "{}", '"a"', '{"file_name": "a.jpg"}', "[" * 100_000])
    def test_lines_that_make_no_sense(self, tmp_path, line):
        (tmp_path / "metadata.jsonl").write_text(line)
        with pytest.raises(InputError, match=r"metadata\.jsonl"):
            opened(tmp_path)


class TestRecognise:
    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ((), "nothing to import in .*looked for .npy"),
            (("photo.jpg", "notes.txt"), "nothing to import"),
            (("a.npy", "a.png"), r"several formats \(.npy, .png\): say which with --format"),
            (("a.npz", "b.json"), "several formats"),
            (("a.json", "b.json"), "holds 2 JSON files"),
        ],
    )
    def test_folders_of_no_format_or_of_several(self, tmp_path, names, message):
        for name in names:
            (tmp_path / name).write_bytes(b"{}")
        with pytest.raises(InputError, match=message):
            opened(tmp_path)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(InputError, match="does not exist"):
            recognise(tmp_path / "gone")

    @pytest.mark.parametrize("name", ["a.pth", "a.txt", "a"])
    def test_files_of_no_format(self, tmp_path, name):
        (tmp_path / name).write_text("one two three\n")
        with pytest.raises(InputError, match="is of no format known here; they are psa, irn"):
            recognise(tmp_path / name)

    def test_a_store(self, tmp_path):
        (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
        with pytest.raises(InputError, match="a store of camkit needs no import"):
            recognise(tmp_path / "a.h5")

    def test_classes_noted_beside_the_files(self, tmp_path):
        write_mask(tmp_path / "a.png", MASK)
        (tmp_path / "camkit.json").write_text(json.dumps({"classes": ["ant", "bee"]}))
        assert opened(tmp_path, Ask()).classes == ("ant", "bee")
        assert opened(tmp_path, Ask(("cow",))).classes == ("cow",)
        for damaged in ('{"classes": [1]}', '{"classes": "ant"}', "[]", "{"):
            (tmp_path / "camkit.json").write_text(damaged)
            assert len(opened(tmp_path, Ask()).classes) == 20

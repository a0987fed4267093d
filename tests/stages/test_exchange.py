"""`import` and `export` as functions: round trips, runs that go on, and what is refused before anything is written."""

from __future__ import annotations

import json
import pickletools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from camkit import Activation, Header, Output, Writer, open_store
from camkit.data.masks import read_mask, write_mask
from camkit.errors import InputError, LabelError, UsageError
from camkit.stages.export import MASKS, export_store
from camkit.stages.import_ import Foreign, import_files
from camkit.types import Size, no_classes
from tests.data.exchange.programs import random_maps, random_probs, write_irn_cam, write_psa_cam

NAMES = ("ant", "bee", "çava")
IDS = ("a1", "día 1/t2", "día 1/ü3")
SIZE = (13, 18)
FLAT_IDS = ("a1", "t2", "ü3")
PRESENT: dict[str, Sequence[int]] = {"a1": [0, 2], "día 1/t2": [1], "día 1/ü3": [], "t2": [1], "ü3": []}
MASK_FORMATS = list(MASKS)
NOT_READ_BACK = {"deeplab", "cvat", "label-studio", "yolo-seg"}  # the first is, from a list beside it


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for id in IDS:
        path = tmp_path / "photos" / f"{id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1], "olive").save(path)
    return tmp_path / "photos"


def write_store(path: Path, kind: str, dtype: str | None = None, ids: Sequence[str] = IDS, grid: Size = SIZE) -> Path:
    with Writer(path, Header(kind, NAMES, str(path.parent / "photos")), ids, dtype=dtype) as writer:
        for seed, id in enumerate(ids):
            writer.write(activation(id, kind, grid, seed))
        writer.finish()
    return path


def activation(id: str, kind: str, grid: Size, seed: int) -> Activation:
    classes = np.asarray(PRESENT[id], np.int64)
    if kind == "masks":
        values = np.random.default_rng(seed).choice([0, *(classes + 1)], SIZE).astype(np.uint8)
        return Activation(id, values, no_classes(), SIZE)
    make = random_probs if kind == "probs" else random_maps
    return Activation(id, make(PRESENT[id], grid, seed), classes, SIZE)


def same(one: Path, other: Path) -> None:
    """The records of two stores, value for value."""
    with open_store(one) as first, open_store(other) as second:
        assert first.ids == second.ids
        assert (first.header.kind, first.header.classes) == (second.header.kind, second.header.classes)
        for a, b in zip(first, second, strict=True):
            assert a.size == b.size
            np.testing.assert_array_equal(a.classes, b.classes)
            np.testing.assert_array_equal(a.values.ravel(), b.values.ravel())
            assert a.values.shape == b.values.shape or not a.values.size


class TestRoundTrips:
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    @pytest.mark.parametrize(("format", "kind"), [("psa", "maps"), ("psa", "probs"), ("npz", "maps"), ("npz", "probs")])
    def test_full_maps_and_probabilities(self, photos, tmp_path, format, kind, dtype):
        store = write_store(tmp_path / "store.h5", kind, dtype)
        export_store(store, tmp_path / "out", format)
        back = Output(tmp_path / "back.h5", dtype=dtype)
        summary = import_files(tmp_path / "out", back, foreign=Foreign(images=photos))
        assert not summary.failures
        same(store, tmp_path / "back.h5")

    @pytest.mark.parametrize("format", ["irn", "npz"])
    def test_maps_at_stride_4(self, photos, tmp_path, format):
        store = write_store(tmp_path / "store.h5", "maps", "float32", grid=(4, 5))
        export_store(store, tmp_path / "out", format)
        import_files(tmp_path / "out", Output(tmp_path / "back.h5", dtype="float32"))
        same(store, tmp_path / "back.h5")

    @pytest.mark.parametrize("format", [format for format in MASK_FORMATS if format not in NOT_READ_BACK])
    def test_masks(self, photos, tmp_path, format):
        ids = IDS[:2] if format == "coco" else IDS  # results do not name images without objects
        store = write_store(tmp_path / "store.h5", "masks", ids=ids)
        export_store(store, tmp_path / "out", format)
        import_files(tmp_path / "out", Output(tmp_path / "back.h5"), foreign=Foreign(images=photos))
        same(store, tmp_path / "back.h5")

    def test_a_list_of_columns(self, photos, tmp_path):
        (photos / "a1.jpg").rename(photos / "b.jpg")
        with Writer(tmp_path / "store.h5", Header("masks", NAMES, str(photos)), ["b"]) as writer:
            writer.write(Activation("b", np.eye(*SIZE, dtype=np.uint8), no_classes(), SIZE))
            writer.finish()
        export_store(tmp_path / "store.h5", tmp_path / "masks", "deeplab", list=tmp_path / "lists" / "mine.txt")
        assert (tmp_path / "lists/mine.txt").read_text() == "/photos/b.jpg /masks/b.png\n"
        import_files(tmp_path / "lists/mine.txt", Output(tmp_path / "back.h5"))
        same(tmp_path / "store.h5", tmp_path / "back.h5")
        with open_store(tmp_path / "back.h5") as store:
            assert store.header.image_root == str(photos)


class TestExport:
    def test_irn_as_its_programs_take_it(self, photos, tmp_path):
        store = write_store(tmp_path / "store.h5", "maps", "float32")
        export_store(store, tmp_path / "out", "irn")
        content = np.load(tmp_path / "out/a1.npy", allow_pickle=True).item()
        assert isinstance(content["keys"], torch.Tensor)
        assert isinstance(content["cam"], torch.Tensor)
        np.testing.assert_array_equal(np.pad(content["keys"] + 1, (1, 0), mode="constant"), [0, 1, 3])
        assert content["cam"].shape == (2, 4, 5)
        with open_store(store) as opened:
            np.testing.assert_array_equal(content["high_res"], opened.read("a1").values)

    def test_psa_as_its_programs_take_it(self, photos, tmp_path):
        export_store(write_store(tmp_path / "store.h5", "probs"), tmp_path / "out", "psa")
        content = np.load(tmp_path / "out/a1.npy", allow_pickle=True).item()
        assert {key: type(key) for key in content} == {0: int, 1: int, 3: int}
        assert np.allclose(np.stack([*content.values()]).sum(axis=0), 1, atol=2e-3)

    @pytest.mark.parametrize("format", ["psa", "irn"])
    def test_pickles_are_the_same_every_time_and_name_numpy_as_version_1_does(self, photos, tmp_path, format):
        store = write_store(tmp_path / "store.h5", "maps")
        for folder in ("one", "two"):
            export_store(store, tmp_path / folder, format)
        for id in IDS:
            raw = (tmp_path / "one" / f"{id}.npy").read_bytes()
            assert raw == (tmp_path / "two" / f"{id}.npy").read_bytes()
            pickled = raw[raw.index(b"\n") + 1 :]
            named = [str(name) for opcode, name, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"]
            assert [name for name in named if name.startswith("numpy.")]
            assert not [name for name in named if "_core" in name]

    def test_coco_results(self, photos, tmp_path):
        export_store(write_store(tmp_path / "store.h5", "masks"), tmp_path / "out", "coco")
        results = json.loads((tmp_path / "out/results.json").read_text())
        assert [(result["image_id"], result["category_id"]) for result in results] == [(1, 1), (1, 3), (2, 2)]
        assert all(result["segmentation"]["size"] == [*SIZE] for result in results)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["camkit.json", "results.json"]

    def test_no_results_at_all(self, tmp_path):
        export_store(write_store(tmp_path / "store.h5", "masks", ids=IDS[2:]), tmp_path / "out", "coco")
        assert json.loads((tmp_path / "out/results.json").read_text()) == []

    def test_hugging_face(self, photos, tmp_path):
        export_store(write_store(tmp_path / "store.h5", "masks"), tmp_path / "out", "huggingface")
        rows = [json.loads(line) for line in (tmp_path / "out/train/metadata.jsonl").read_text().splitlines()]
        assert [row["classes"] for row in rows] == [["ant", "çava"], ["bee"], []]
        for row, id in zip(rows, IDS, strict=True):
            assert (tmp_path / "out/train" / row["file_name"]).read_bytes() == (photos / f"{id}.jpg").read_bytes()
            assert (tmp_path / "out/train" / row["mask_file_name"]).is_file()

    def test_maps_become_masks_by_the_threshold(self, photos, tmp_path):
        store = write_store(tmp_path / "store.h5", "maps")
        export_store(store, tmp_path / "low", "png", threshold=0.0)
        export_store(store, tmp_path / "high", "png", threshold=1.0)
        assert read_mask(tmp_path / "low/a1.png").all()
        assert not read_mask(tmp_path / "high/a1.png").any()

    @pytest.mark.parametrize("format", ["psa", "png", "coco", "deeplab", "huggingface"])
    def test_a_run_that_was_stopped_goes_on(self, photos, tmp_path, format, monkeypatch):
        for id, flat in zip(IDS, FLAT_IDS, strict=True):
            (photos / f"{id}.jpg").rename(photos / f"{flat}.jpg")
        store = write_store(tmp_path / "store.h5", "maps", ids=FLAT_IDS)
        export_store(store, tmp_path / "whole", format)
        with monkeypatch.context() as patch:
            patch.setattr("camkit.pipeline.folder_sink.FolderSink.finish", lambda self: sys.exit("killed"))
            with pytest.raises(SystemExit):
                export_store(store, tmp_path / "out", format)
        done = next(path for path in sorted((tmp_path / "out").rglob("a1.*")) if path.is_file())
        before = done.stat().st_mtime_ns
        again = export_store(store, tmp_path / "out", format)
        assert again.already == 3
        if format != "coco":  # whose parts are joined by then
            assert done.stat().st_mtime_ns == before
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")
        assert export_store(store, tmp_path / "out", format).seconds == 0

    def test_a_file_that_is_missing_is_made_again(self, photos, tmp_path):
        store = write_store(tmp_path / "store.h5", "maps")
        export_store(store, tmp_path / "out", "psa")
        (tmp_path / "out/a1.npy").unlink()
        assert export_store(store, tmp_path / "out", "psa").already == 2
        assert (tmp_path / "out/a1.npy").is_file()

    @pytest.mark.parametrize("options", [{}, {"overwrite": True}])
    def test_a_folder_of_somebody_elses(self, photos, tmp_path, options):
        store = write_store(tmp_path / "store.h5", "maps")
        with pytest.raises(UsageError, match="is both input and output; choose another folder"):
            export_store(store, photos, "psa", **options)
        others = shutil.copytree(photos, tmp_path / "others")
        with pytest.raises(UsageError, match=r"holds files that camkit export did not write \(a1.jpg, día 1\)"):
            export_store(store, others, "psa", **options)
        (tmp_path / "out").mkdir()
        (tmp_path / "out/camkit.json").write_text('{"format": "camkit masks", "provenance": {}}')
        with pytest.raises(UsageError, match="is not from camkit export"):
            export_store(store, tmp_path / "out", "psa", **options)

    def test_overwriting_removes_what_the_other_run_wrote_and_nothing_else(self, photos, tmp_path):
        store = write_store(tmp_path / "store.h5", "maps")
        export_store(store, tmp_path / "out", "psa")
        (tmp_path / "out/mine.npy").write_bytes(b"precious")
        with pytest.raises(UsageError, match="--format was psa and is now png"):
            export_store(store, tmp_path / "out", "png")
        export_store(store, tmp_path / "out", "png", overwrite=True)
        assert sorted(path.name for path in (tmp_path / "out").rglob("*.np?")) == ["mine.npy"]
        assert len([*(tmp_path / "out").rglob("*.png")]) == 3

    @pytest.mark.parametrize("name", ["../photos/a1.jpg", "/etc/passwd", ""])
    def test_a_memo_cannot_have_other_files_removed(self, photos, tmp_path, name):
        store = write_store(tmp_path / "store.h5", "maps")
        export_store(store, tmp_path / "out", "psa")
        memo = json.loads((tmp_path / "out/camkit.json").read_text())
        (tmp_path / "out/camkit.json").write_text(json.dumps({**memo, "files": [name]}))
        with pytest.raises(UsageError, match="is not from camkit export"):
            export_store(store, tmp_path / "out", "png", overwrite=True)
        assert (photos / "a1.jpg").exists()

    def test_a_list_that_is_there_is_kept(self, photos, tmp_path):
        store = write_store(tmp_path / "store.h5", "masks", ids=["a1"])
        (tmp_path / "train_aug.txt").write_text("precious")
        with pytest.raises(UsageError, match=r"train_aug\.txt is there already"):
            export_store(store, tmp_path / "out", "deeplab", list=tmp_path / "train_aug.txt")
        assert (tmp_path / "train_aug.txt").read_text() == "precious"

    @pytest.mark.parametrize(
        ("kind", "format", "options", "message"),
        [
            ("masks", "gif", {}, "gif is not a format; the formats are psa, irn"),
            ("masks", "psa", {}, "holds masks; the format psa takes maps, probs"),
            ("probs", "irn", {}, "holds probs; the format irn takes maps"),
            ("maps", "psa", {"threshold": 0.3}, "--threshold turns maps into masks"),
            ("masks", "png", {"threshold": 0.3}, "--threshold turns maps into masks"),
            ("masks", "png", {"list": "a.txt"}, "--list names the list to write"),
        ],
    )
    def test_what_does_not_go_together(self, tmp_path, kind, format, options, message):
        store = write_store(tmp_path / "store.h5", kind)
        with pytest.raises(UsageError, match=message):
            export_store(store, tmp_path / "out", format, **options)
        assert not (tmp_path / "out").exists()

    def test_photos_that_are_not_there(self, photos, tmp_path):
        store = write_store(tmp_path / "store.h5", "masks")
        (photos / "a1.jpg").unlink()
        with pytest.raises(InputError, match=r"1 of 3 images have no photo in .*photos: a1"):
            export_store(store, tmp_path / "out", "huggingface")
        photos.rename(tmp_path / "elsewhere")
        with pytest.raises(InputError, match=r"were in .*photos, which is not there\ngive --images"):
            export_store(store, tmp_path / "out", "huggingface")


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the memo and lists, which name the folder itself."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in ("camkit.json", "list.txt")}


class TestImport:
    def cams(self, folder: Path) -> Path:
        for seed, id in enumerate(IDS):
            write_psa_cam(folder / Path(id).parent, Path(id).name, PRESENT[id], SIZE, seed)
        return folder

    def test_photos_give_ids_and_sizes(self, photos, tmp_path):
        for id in IDS:
            write_irn_cam(tmp_path / "cams", Path(id).name, PRESENT[id], SIZE, full=None)
        alone = import_files(tmp_path / "cams", Output(tmp_path / "alone.h5"))
        assert set(alone.failures) == {Path(id).name for id in IDS}
        assert "give --images" in alone.failures["a1"]
        import_files(tmp_path / "cams", Output(tmp_path / "with.h5"), foreign=Foreign(images=photos))
        with open_store(tmp_path / "with.h5") as store:
            assert store.ids == IDS
            assert store.header.image_root == str(photos)
            assert {activation.size for activation in store} == {SIZE}
            assert store.read("día 1/ü3").values.shape == (0, *SIZE)

    def test_provenance(self, photos, tmp_path):
        import_files(self.cams(tmp_path / "cams"), Output(tmp_path / "a.h5"), foreign=Foreign(images=photos))
        with open_store(tmp_path / "a.h5") as store:
            made = store.header.provenance
        assert made["command"] == "import"
        assert made["parameters"]["format"] == "psa"
        assert (made["selection"]["count"], made["selection"]["images"]) == (3, str(tmp_path / "cams"))

    def test_again_with_other_options(self, photos, tmp_path):
        cams, out = self.cams(tmp_path / "cams"), Output(tmp_path / "a.h5")
        import_files(cams, out, foreign=Foreign(images=photos))
        assert import_files(cams, out, foreign=Foreign(images=photos)).seconds == 0
        with pytest.raises(UsageError, match="--clip was off and is now on"):
            import_files(cams, out, foreign=Foreign(images=photos, clip=True))
        with pytest.raises(UsageError, match="3 then, 2 now"):
            import_files(cams, out, foreign=Foreign(images=photos, limit=2))

    def test_lists_and_limits(self, photos, tmp_path):
        cams = self.cams(tmp_path / "cams")
        (tmp_path / "list.txt").write_text("t2\nphotos/a1.jpg 1\n")
        import_files(cams, Output(tmp_path / "a.h5"), foreign=Foreign(images=photos, list=str(tmp_path / "list.txt")))
        with open_store(tmp_path / "a.h5") as store:
            assert store.ids == IDS[:2]
        import_files(cams, Output(tmp_path / "b.h5"), foreign=Foreign(limit=1))
        with open_store(tmp_path / "b.h5") as store:
            assert store.ids == IDS[:1]
        (tmp_path / "list.txt").write_text("unknown\n")
        with pytest.raises(InputError, match="names 1 ids that are not among the 3 images"):
            import_files(cams, Output(tmp_path / "c.h5"), foreign=Foreign(list=str(tmp_path / "list.txt")))

    def test_one_bad_file_does_not_stop_the_others(self, photos, tmp_path):
        cams = self.cams(tmp_path / "cams")
        np.save(cams / "nan.npy", {3: np.full(SIZE, np.nan)})
        np.save(cams / "negative.npy", {3: np.full(SIZE, -0.5)})
        np.save(cams / "small.npy", {3: np.ones((5, 5))})
        (cams / "truncated.npy").write_bytes((cams / "a1.npy").read_bytes()[:-300])
        for name in ("nan", "negative", "small", "truncated"):
            Image.new("RGB", SIZE[::-1]).save(photos / f"{name}.jpg")
        summary = import_files(cams, Output(tmp_path / "a.h5"), foreign=Foreign(images=photos))
        assert {id: message.partition(".npy ")[2] for id, message in summary.failures.items() if id != "truncated"} == {
            "nan": "holds values that are not finite",
            "negative": "holds values from -0.5 to -0.5; maps lie in 0 … 1; --clip takes what is below 0 as 0",
            "small": f"is for a photo of 5 x 5 px, but {photos}/small.jpg has 18 x 13",
        }
        assert "truncated" in summary.failures
        with open_store(tmp_path / "a.h5") as store:
            assert store.ids == IDS

    def test_a_mask_of_another_size_than_its_photo(self, photos, tmp_path):
        write_mask(tmp_path / "masks/a1.png", np.zeros((18, 13), np.uint8))
        summary = import_files(tmp_path / "masks", Output(tmp_path / "a.h5"), foreign=Foreign(images=photos))
        assert "is for a photo of 13 x 18 px" in summary.failures["a1"]

    @pytest.mark.parametrize("name", ["a", "z"])
    def test_classes_without_names_stop_the_run(self, tmp_path, name):
        """Before anything is written if the first file tells; the others would get wrong names too."""
        write_psa_cam(tmp_path / "cams", "m", [3], SIZE)
        write_psa_cam(tmp_path / "cams", name, [3, 44], SIZE)
        with pytest.raises(LabelError, match=rf"{name}\.npy holds the class 44, but the 20 classes reach to 19\n"):
            import_files(tmp_path / "cams", Output(tmp_path / "a.h5"))
        assert not (tmp_path / "a.h5").exists()
        import_files(tmp_path / "cams", Output(tmp_path / "a.h5", overwrite=True), foreign=Foreign(classes="coco"))

    def test_options_without_effect_are_refused(self, tmp_path):
        write_mask(tmp_path / "masks/a.png", np.zeros(SIZE, np.uint8))
        with pytest.raises(UsageError, match="--kind is for maps and probabilities"):
            import_files(tmp_path / "masks", Output(tmp_path / "a.h5"), foreign=Foreign(kind="maps"))
        with pytest.raises(UsageError, match="masks cannot be stored as float32"):
            import_files(tmp_path / "masks", Output(tmp_path / "a.h5", dtype="float32"))
        with pytest.raises(UsageError, match="gif is not a format"):
            import_files(tmp_path / "masks", Output(tmp_path / "a.h5"), foreign=Foreign(format="gif"))

    def test_masks_of_many_classes(self, tmp_path):
        (tmp_path / "names.txt").write_text("\n".join(f"thing {n}" for n in range(300)))
        write_mask(tmp_path / "masks/a.png", np.array([[0, 300, 65_535]], np.uint16))
        write_mask(tmp_path / "masks/b.png", np.array([[0, 254, 255]], np.uint8))
        names = Foreign(classes=str(tmp_path / "names.txt"))
        import_files(tmp_path / "masks", Output(tmp_path / "a.h5"), foreign=names)
        with open_store(tmp_path / "a.h5") as store:
            assert store.read("a").values.tolist() == [[0, 300, 65_535]]
            assert store.read("b").values.tolist() == [[0, 254, 65_535]]

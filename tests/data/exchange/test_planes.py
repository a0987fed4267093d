"""psa, irn and npz: what the programs write is read as they mean it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from camkit.data.exchange.formats import READERS, recognise
from camkit.data.exchange.source import Ask, Source, check_classes, checked_values
from camkit.errors import ImageError, LabelError
from tests.data.exchange.programs import VOC, random_maps, random_probs, write_irn_cam, write_psa_cam, write_psa_crf

SIZE = (13, 18)


def opened(path: Path, ask: Ask = VOC) -> Source:
    return READERS[recognise(path)](path, ask)


def save(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(content, object), allow_pickle=True)
    return path.parent


class TestPsa:
    def test_maps(self, tmp_path):
        maps = write_psa_cam(tmp_path, "a", [14, 3], SIZE)
        source = opened(tmp_path)
        found = source.read("a")
        assert (source.format, source.kind, found.size) == ("psa", "maps", SIZE)
        assert found.classes.tolist() == [3, 14]
        np.testing.assert_array_equal(found.values, maps[::-1])

    def test_maps_of_the_class_0_are_no_probabilities(self, tmp_path):
        maps = write_psa_cam(tmp_path, "a", [0, 1], SIZE)
        source = opened(tmp_path)
        assert source.kind == "maps"
        assert source.read("a").classes.tolist() == [0, 1]
        np.testing.assert_array_equal(source.read("a").values, maps)

    def test_probabilities_of_the_crf(self, tmp_path):
        probs = write_psa_crf(tmp_path, "a", [3, 14], SIZE)
        write_psa_crf(tmp_path, "b", [], SIZE)
        source = opened(tmp_path)
        found = source.read("a")
        assert (source.kind, found.classes.tolist()) == ("probs", [3, 14])
        np.testing.assert_array_equal(found.values, probs)
        assert source.read("b").values.shape == (1, *SIZE)
        assert source.read("b").classes.tolist() == []

    def test_the_first_file_that_tells_says_the_kind(self, tmp_path):
        save(tmp_path / "a.npy", {})
        (tmp_path / "b.npy").write_bytes(b"damaged")
        write_psa_crf(tmp_path, "c", [3], SIZE)
        assert opened(tmp_path).kind == "probs"
        assert opened(tmp_path, Ask(VOC.classes, kind="maps")).read("c").classes.tolist() == [0, 4]

    def test_half_precision_probabilities_still_sum_to_one(self, tmp_path):
        probs = random_probs(range(20), SIZE).astype(np.float16)
        save(tmp_path / "a.npy", dict(enumerate(probs)))
        assert opened(tmp_path).kind == "probs"
        checked_values(opened(tmp_path).read("a").values, "probs", False, tmp_path)

    def test_no_classes(self, tmp_path):
        save(tmp_path / "a.npy", {})
        found = opened(tmp_path).read("a")
        assert (len(found.values), found.size) == (0, None)

    def test_keys_of_other_types(self, tmp_path):
        maps = random_maps([1, 2, 3], SIZE)
        save(tmp_path / "a.npy", {np.int64(7): maps[0], "3": maps[1], "thing 5": torch.from_numpy(maps[2])})
        found = opened(tmp_path).read("a")
        assert found.classes.tolist() == [3, 5, 7]
        np.testing.assert_array_equal(found.values, maps[[1, 2, 0]])


class TestIrn:
    def test_the_strided_maps_and_the_size_of_the_full_ones(self, tmp_path):
        strided = write_irn_cam(tmp_path, "a", [3, 14], SIZE)
        source = opened(tmp_path)
        found = source.read("a")
        assert (source.format, source.kind, found.size) == ("irn", "maps", SIZE)
        assert found.classes.tolist() == [3, 14]
        np.testing.assert_array_equal(found.values, strided)

    def test_another_array(self, tmp_path):
        write_irn_cam(tmp_path, "a", [3], SIZE)
        assert opened(tmp_path, Ask(VOC.classes, array="high_res")).read("a").values.shape == (1, *SIZE)
        with pytest.raises(ImageError, match="no array 'rw': it has keys, cam, high_res"):
            opened(tmp_path, Ask(VOC.classes, array="rw"))

    def test_keys_alone(self, tmp_path):
        write_irn_cam(tmp_path, "a", [], SIZE)
        found = opened(tmp_path).read("a")
        assert (len(found.values), found.classes.tolist(), found.size) == (0, [], None)

    def test_planes_of_zeros_without_classes(self, tmp_path):
        nothing = {"keys": torch.tensor([]).long(), "cam": torch.zeros(4, 5), "high_res": np.zeros(SIZE)}
        found = opened(save(tmp_path / "a.npy", nothing)).read("a")
        assert (len(found.values), found.size) == (0, SIZE)

    @pytest.mark.parametrize("name", ["attn_highres", "highres", "refined_cam"])
    def test_full_maps_alone(self, tmp_path, name):
        maps = random_maps([3, 14], SIZE).astype(np.float16)
        found = opened(save(tmp_path / "a.npy", {"keys": np.array([3, 14]), name: maps})).read("a")
        assert found.size == SIZE
        np.testing.assert_array_equal(found.values, maps)

    @pytest.mark.parametrize("name", ["cams", "msf_cam", "of my own"])
    def test_maps_that_do_not_say_how_large_the_photo_is(self, tmp_path, name):
        maps = random_maps([3], SIZE)
        found = opened(save(tmp_path / "a.npy", {"keys": [3], name: maps})).read("a")
        assert found.size is None
        np.testing.assert_array_equal(found.values, maps)

    def test_keys_that_count_the_background(self, tmp_path):
        maps = random_maps([3, 14], SIZE)
        found = opened(save(tmp_path / "a.npy", {"keys": np.array([0, 15, 4]), "cam": maps})).read("a")
        assert found.classes.tolist() == [3, 14]
        np.testing.assert_array_equal(found.values, maps[::-1])

    @pytest.mark.parametrize("keys", [[0, 4, 15], [3, 14]])
    def test_probabilities_with_their_background(self, tmp_path, keys):
        probs = random_probs([3, 14], SIZE)
        source = opened(save(tmp_path / "a.npy", {"keys": np.array(keys), "prob": probs}))
        assert (source.kind, source.read("a").classes.tolist()) == ("probs", [3, 14])
        np.testing.assert_array_equal(source.read("a").values, probs)


class TestNpz:
    def test_arrays_with_keys(self, tmp_path):
        maps = random_maps([3, 14], SIZE)
        np.savez(tmp_path / "a.npz", maps=maps, classes=[14, 3], size=[26, 36])
        found = opened(tmp_path).read("a")
        assert (found.classes.tolist(), found.size) == ([3, 14], (26, 36))
        np.testing.assert_array_equal(found.values, maps[::-1])

    def test_arrays_named_after_classes(self, tmp_path):
        maps = random_maps([0, 1, 2], SIZE)
        np.savez_compressed(tmp_path / "a.npz", **{"thing 9": maps[0], "Thing-3": maps[1], "12": maps[2], "size": 1})
        found = opened(tmp_path).read("a")
        assert (found.classes.tolist(), found.size) == ([3, 9, 12], SIZE)
        np.testing.assert_array_equal(found.values, maps[[1, 0, 2]])

    def test_a_background_makes_probabilities(self, tmp_path):
        probs = random_probs([3], SIZE)
        np.savez(tmp_path / "a.npz", **{"thing 3": probs[1], "background": probs[0]})
        source = opened(tmp_path)
        assert (source.kind, source.read("a").classes.tolist()) == ("probs", [3])
        np.testing.assert_array_equal(source.read("a").values, probs)

    def test_probabilities_without_classes(self, tmp_path):
        np.savez(tmp_path / "a.npz", probs=np.ones((1, *SIZE)), classes=np.zeros(0, int))
        source = opened(tmp_path)
        assert (source.kind, source.read("a").values.shape) == ("probs", (1, *SIZE))

    def test_pickles_within_are_not_read(self, tmp_path):
        np.savez(tmp_path / "a.npz", **{"thing 3": np.array([{}], object)})
        with pytest.raises(ImageError, match="cannot read"):
            opened(tmp_path)

    def test_a_bomb_is_not_unpacked(self, tmp_path, monkeypatch):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("maps.npy", bytes(3 << 20))
        monkeypatch.setattr("camkit.data.exchange.npz._MAX_BYTES", 2 << 20)
        with pytest.raises(ImageError, match="unpacks to 3 MiB"):
            opened(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all"])
    def test_damaged(self, tmp_path, content):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.npz"):
            opened(tmp_path)


def plane(value: float = 0.5) -> np.ndarray:
    return np.full(SIZE, value, np.float32)


DAMAGED = {
    "shapes": {3: plane(), 4: plane()[1:]},
    "rank": {3: plane()[None]},
    "text": {3: "map"},
    "objects": {3: [[0.5]]},
    "complex": {3: plane().astype(np.complex64)},
    "no pixels": {3: np.zeros((0, 4))},
    "negative class": {-1: plane()},
    "key": {3.5: plane()},
    "twice": {3: plane(), "3": plane()},
    "no array": {"keys": [3]},
    "two arrays": {"keys": [3], "one": plane()[None], "two": plane()[None]},
    "keys of text": {"keys": ["dog"], "cam": plane()[None]},
    "keys of fractions": {"keys": [3.5], "cam": plane()[None]},
    "more keys": {"keys": [3, 4, 5], "cam": plane()[None]},
    "double keys": {"keys": [3, 3], "cam": np.stack([plane(), plane()])},
    "flat": {"keys": [3], "cam": plane()},
    "array": plane(),
    "list": [plane()],
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_file_of_maps_fails_naming_itself(tmp_path, content):
    save(tmp_path / "a.npy", {4: plane()} if not isinstance(content, dict) or "keys" not in content else {"keys": []})
    save(tmp_path / "b.npy", content)
    source = opened(tmp_path)
    with pytest.raises(ImageError, match=r"b\.npy") as raised:
        source.read("b")
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 300 + len(str(tmp_path))


def test_files_of_the_other_format(tmp_path):
    write_psa_cam(tmp_path, "a", [3], SIZE)
    write_irn_cam(tmp_path, "b", [3], SIZE)
    with pytest.raises(ImageError, match=r"b\.npy is of the format irn"):
        opened(tmp_path).read("b")
    with pytest.raises(ImageError, match=r"a\.npy is of the format psa"):
        READERS["irn"](tmp_path, VOC).read("a")


@pytest.mark.parametrize("content", [{"dgo": plane()}, {"thing 3": plane(), "unicorn": plane()}])
def test_names_that_are_no_classes_concern_all_files(tmp_path, content):
    save(tmp_path / "a.npy", content)
    with pytest.raises(LabelError, match=r"a\.npy speaks of '(dgo|unicorn)', which is no class; .*\ngive --classes"):
        opened(tmp_path)


def test_classes_beyond_those_with_names(tmp_path):
    write_psa_cam(tmp_path, "a", [3, 19], SIZE)
    write_psa_cam(tmp_path, "b", [3, 20], SIZE)
    source = opened(tmp_path)
    check_classes(source.read("a"), "maps", 20, tmp_path / "a.npy")
    with pytest.raises(LabelError, match=r"b\.npy holds the class 20, but the 20 classes reach to 19"):
        check_classes(source.read("b"), "maps", 20, tmp_path / "b.npy")


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("format", ["psa", "irn"])
def test_nothing_in_a_pickle_is_executed(tmp_path, format):
    content = {3: Evil(tmp_path / "trace")} if format == "psa" else {"keys": [3], "cam": Evil(tmp_path / "trace")}
    save(tmp_path / "a.npy", content)
    for read in (opened, READERS[format]):
        with pytest.raises(ImageError, match=r"refuses to load .*a\.npy: it would run code"):
            read(tmp_path, VOC)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files(tmp_path, share):
    for name, write in {"psa": write_psa_cam, "irn": write_irn_cam}.items():
        write(tmp_path / name, "a", [3, 14], SIZE)
        whole = (tmp_path / name / "a.npy").read_bytes()
        (tmp_path / name / "a.npy").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ImageError, match=r"a\.npy"):
            opened(tmp_path / name)


class TestValues:
    def check(self, low: float, high: float, kind: str = "maps", clip: bool = False) -> np.ndarray:
        return checked_values(np.array([[[low, high]]], np.float32), kind, clip, Path("a.npy"))

    def test_rounding_errors_of_programs(self):
        np.testing.assert_array_equal(self.check(-1e-5, 1 + 1e-5), [[[0, 1]]])

    @pytest.mark.parametrize(("low", "high"), [(-0.2, 1), (0, 1.2), (-3, 15)])
    def test_other_values_are_refused_or_clipped(self, low, high):
        with pytest.raises(ImageError, match=r"a\.npy holds values from .*; maps lie in 0 … 1"):
            self.check(low, high)
        np.testing.assert_array_equal(self.check(low, high, clip=True), [[[0, 1]]])

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_no_numbers_are_not_clipped(self, value):
        with pytest.raises(ImageError, match="not finite"):
            self.check(0.5, value, clip=True)

    def test_probabilities_sum_to_one(self):
        with pytest.raises(ImageError, match="do not sum to 1"):
            self.check(0.5, 1, kind="probs")

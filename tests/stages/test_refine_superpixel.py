"""`refine_superpixel` as a function: every kind of store, and what does not fit together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from camkit import Activation, Header, Output, Runtime, Summary, Writer, mask, open_store
from camkit.errors import InputError, StoreError, UsageError
from camkit.methods.superpixels import renumber
from camkit.stages.refine_superpixel import refine_superpixel
from camkit.types import no_classes
from camkit.upsample import upsample
from tests.methods.test_superpixels import slow_average, slow_vote

CLASSES = ("ant", "bee", "cow")
SIZES = {"a": (13, 18), "ü/b": (8, 9), "c": (11, 7)}


def write(path: Path, kind: str, records: Mapping[str, Activation], classes: tuple[str, ...] = CLASSES) -> Path:
    with Writer(path, Header(kind, classes, "/photos"), list(records)) as writer:
        for activation in records.values():
            writer.write(activation)
        writer.finish()
    return path


def record(id: str, kind: str, random: np.random.Generator) -> Activation:
    """Maps at a quarter of the size, of no class for the photo c; masks with undecided pixels."""
    size = SIZES[id]
    if kind == "superpixels":
        return Activation(id, renumber(random.integers(0, 9, size)), no_classes(), size)
    if kind == "masks":
        return Activation(id, random.choice([0, 1, 3, 255], size=size).astype(np.uint8), no_classes(), size)
    classes = np.array([0, 2])[: 0 if id == "c" else 2]
    values = random.random((len(classes) + (kind == "probs"), -(-size[0] // 4), -(-size[1] // 4)))
    values = values / values.sum(axis=0) if kind == "probs" else values - (kind == "signed") * 0.5
    return Activation(id, values.astype(np.float32), classes, size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for kind in ("maps", "signed", "probs", "masks"):
        write(tmp_path / f"{kind}.h5", kind, {id: record(id, kind, random) for id in SIZES})
    write(tmp_path / "superpixels.h5", "superpixels", {id: record(id, "superpixels", random) for id in SIZES}, ())
    return tmp_path


def read(path: Path) -> dict[str, Activation]:
    with open_store(path) as store:
        return {found.id: found for found in store}


def refine(folder: Path, name: str, **options: object) -> Summary:
    dtype = options.pop("dtype", None)
    output = Output(folder / "out.h5", overwrite=True, dtype=dtype)  # type: ignore[arg-type]
    return refine_superpixel(folder / name, folder / "superpixels.h5", output, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["maps", "signed", "probs"])
def test_averages_are_those_of_the_slow_loop(folder: Path, kind: str) -> None:
    assert refine(folder, f"{kind}.h5", size="full", dtype="float32").failures == {}
    given, regions, found = (read(folder / f"{name}.h5") for name in (kind, "superpixels", "out"))
    for id, size in SIZES.items():
        expected = slow_average(upsample(given[id].values, size), regions[id].values)
        assert found[id].size == size
        np.testing.assert_array_equal(found[id].classes, given[id].classes)
        np.testing.assert_allclose(found[id].values, expected, atol=1e-6)
        if kind == "probs":
            np.testing.assert_allclose(found[id].values.sum(axis=0), 1, atol=1e-3)  # float16 before
    with open_store(folder / "out.h5") as store:
        assert store.header.kind == kind
        assert store.header.classes == CLASSES
        assert store.header.provenance["command"] == "refine superpixel"
        assert store.header.provenance["parameters"] == {"how": "average", "size": "full", "dtype": "float32"}
        assert len(store.header.provenance["parents"]) == 2


def test_averages_are_stored_at_the_size_asked_for(folder: Path) -> None:
    refine(folder, "maps.h5")
    small = read(folder / "out.h5")
    assert [small[id].values.shape for id in SIZES] == [(2, 4, 5), (2, 2, 3), (0, 3, 2)]
    refine(folder, "maps.h5", size="full")
    whole = read(folder / "out.h5")
    np.testing.assert_allclose(small["a"].values, upsample(whole["a"].values, (4, 5)), atol=1e-3)


def test_masks_vote_and_so_do_those_of_maps_and_probabilities(folder: Path) -> None:
    regions = read(folder / "superpixels.h5")
    for kind, options in (("masks", {}), ("maps", {"threshold": 0.5}), ("probs", {})):
        masks = folder / "masks.h5"
        if kind != "masks":
            masks = folder / f"{kind}-masks.h5"
            mask(folder / f"{kind}.h5", Output(masks), **options)
        refine(folder, f"{kind}.h5", how=None if kind == "masks" else "vote", **options)
        given, found = read(masks), read(folder / "out.h5")
        for id in SIZES:
            np.testing.assert_array_equal(found[id].values, slow_vote(given[id].values, regions[id].values, 255))
        with open_store(folder / "out.h5") as store:
            assert store.header.kind == "masks"
            assert store.header.provenance["parameters"] == {"how": "vote", **options}


def test_a_vote_on_maps_has_the_threshold_of_mask(folder: Path) -> None:
    refine(folder, "maps.h5", how="vote")
    with open_store(folder / "out.h5") as store:
        assert store.header.provenance["parameters"] == {"how": "vote", "threshold": 0.3}


def test_undecided_is_65535_where_classes_are_many(tmp_path: Path) -> None:
    names = tuple(f"class {n}" for n in range(300))
    values = np.array([[255, 255, 3, 65_535, 65_535, 65_535]], np.uint16)
    write(tmp_path / "masks.h5", "masks", {"a": Activation("a", values, no_classes(), (1, 6))}, names)
    numbers = np.array([[0, 0, 0, 0, 1, 1]])
    write(tmp_path / "superpixels.h5", "superpixels", {"a": Activation("a", numbers, no_classes(), (1, 6))}, ())
    refine(tmp_path, "masks.h5")
    assert read(tmp_path / "out.h5")["a"].values.tolist() == [[255, 255, 255, 255, 65_535, 65_535]]


def test_a_second_run_has_nothing_to_do_and_another_is_refused(folder: Path) -> None:
    output = Output(folder / "out.h5")
    refine_superpixel(folder / "maps.h5", folder / "superpixels.h5", output)
    before = (folder / "out.h5").read_bytes()
    assert refine_superpixel(str(folder / "maps.h5"), str(folder / "superpixels.h5"), output).already == 3
    with pytest.raises(UsageError, match="--size was 4 and is now full"):
        refine_superpixel(folder / "maps.h5", folder / "superpixels.h5", output, size="full")
    assert (folder / "out.h5").read_bytes() == before
    refine(folder, "maps.h5")
    assert (folder / "out.h5").read_bytes() == before


WRONG = [
    ("masks.h5", {"how": "average"}, r"masks\.h5 holds masks; --how average takes maps, signed, probs"),
    ("signed.h5", {"how": "vote"}, r"signed\.h5 holds signed; --how vote takes maps, probs, masks"),
    ("superpixels.h5", {}, r"superpixels\.h5 holds superpixels; --how average takes"),
    ("maps.h5", {"threshold": 0.3}, "--threshold is for --how vote on maps"),
    ("probs.h5", {"how": "vote", "threshold": 0.3}, "--threshold is for --how vote on maps"),
    ("masks.h5", {"size": "4"}, "--size and --dtype are for averages"),
    ("maps.h5", {"how": "vote", "dtype": "float32"}, "--size and --dtype are for averages"),
    ("maps.h5", {"size": "0"}, "--size 0"),
    ("signed.h5", {"dtype": "uint8"}, "signed cannot be stored as uint8"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_what_has_no_meaning_or_no_effect_is_refused(
    folder: Path, name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        refine(folder, name, **options)
    assert not list(folder.glob("out.h5*"))


def test_a_store_is_not_written_over_its_inputs(folder: Path) -> None:
    for out in ("maps.h5", "superpixels.h5"):
        with pytest.raises(UsageError, match="is both input and output"):
            refine_superpixel(folder / "maps.h5", folder / "superpixels.h5", Output(folder / out, overwrite=True))


def test_other_stores_are_no_superpixels(folder: Path) -> None:
    for name, error, message in (
        ("masks.h5", UsageError, r"masks\.h5 holds masks; --superpixels takes what camkit superpixels writes"),
        ("nothing.h5", StoreError, "does not exist"),
    ):
        with pytest.raises(error, match=message):
            refine_superpixel(folder / "maps.h5", folder / name, Output(folder / "out.h5"))


def test_images_without_superpixels_fail_and_are_told_of_before(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    some = {"a": read(folder / "superpixels.h5")["a"]}
    write(folder / "some.h5", "superpixels", some, ())
    caplog.set_level(logging.WARNING, "camkit")
    summary = refine_superpixel(folder / "maps.h5", folder / "some.h5", Output(folder / "out.h5"))
    assert set(summary.failures) == {"c", "ü/b"}
    assert "has no record of 'c'" in summary.failures["c"]
    assert "some.h5 has no superpixels of 2 of 3 images: c, ü/b" in caplog.messages[0]
    assert list(read(folder / "out.h5")) == ["a"]
    with pytest.raises(StoreError, match=r"^c: .* has no record of 'c'"):
        refine_superpixel(folder / "maps.h5", folder / "some.h5", Output(folder / "stop.h5"), Runtime(on_error="stop"))


def test_no_image_in_common_is_an_error(folder: Path) -> None:
    other = {"z": Activation("z", np.zeros((2, 2), int), no_classes(), (2, 2))}
    write(folder / "other.h5", "superpixels", other, ())
    with pytest.raises(InputError, match=r"have no image in common: z against a, c, ü/b"):
        refine_superpixel(folder / "maps.h5", folder / "other.h5", Output(folder / "out.h5"))
    assert not list(folder.glob("out.h5*"))


@pytest.mark.parametrize("name", ["maps.h5", "masks.h5"])
def test_superpixels_of_another_photo_are_a_failure(folder: Path, name: str) -> None:
    regions = read(folder / "superpixels.h5")
    regions["a"] = Activation("a", renumber(regions["a"].values.T), no_classes(), (18, 13))
    write(folder / "turned.h5", "superpixels", regions, ())
    summary = refine_superpixel(folder / name, folder / "turned.h5", Output(folder / "out.h5"))
    assert list(summary.failures) == ["a"]
    assert "superpixels of a photo of 13x18, but this one is 18x13" in summary.failures["a"]

"""Prototypes stores: written and read back, made by hand, and made to do harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from camkit.errors import StoreError
from camkit.store import Header, open_store, stage
from camkit.store.prototypes import (
    Centres,
    ClassPrototypes,
    Examples,
    Gathered,
    PrototypeStore,
    encode_prototypes,
    holds_prototypes,
    read_prototypes,
)

CLASSES = ("cat", "dog", "naïve chair")
CHANNELS = 5


def centres(seed: int, count: int = 4) -> Centres:
    random = np.random.default_rng(seed)
    ids = np.array([["a/ü x", "b", ""]] * count, object).reshape(count, 3)
    boxes = random.integers(0, 100, (count, 3, 4))
    return Centres(
        random.random((count, CHANNELS), np.float32),
        random.random(count) > 0.5,
        random.integers(0, 1 << 40, count),
        random.random(count, np.float32),
        Examples(ids, boxes, random.random((count, 3), np.float32)),
        Gathered(1 << 40, 1000, 23, True),
    )


def store() -> PrototypeStore:
    of_class = {0: ClassPrototypes(centres(1), centres(2)), 2: ClassPrototypes(centres(3, 0), centres(4))}
    header = Header("prototypes", CLASSES, "/photos", stage("lpcam-cluster", {"clusters": 4}))
    return PrototypeStore(header, of_class, CHANNELS, {"c": "cannot be read"})


def fields(found: Centres) -> list[object]:
    assert found.examples is not None
    assert found.counts is not None
    assert found.scores is not None
    examples = found.examples
    arrays = (
        found.values, found.kept, found.counts, found.scores, examples.ids, examples.boxes, examples.similarities,
    )  # fmt: skip
    return [array.tolist() for array in arrays] + [array.shape for array in arrays] + [vars(found.gathered)]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path, made = tmp_path / "p.h5", store()
    path.write_bytes(encode_prototypes(made))
    assert holds_prototypes(path)
    found = read_prototypes(path)
    assert found.header == made.header
    assert found.failures == {"c": "cannot be read"}
    assert (found.channels, found.name, list(found.of_class)) == (CHANNELS, str(path), [0, 2])
    for number, sides in made.of_class.items():
        assert fields(found.of_class[number].foreground) == fields(sides.foreground)
        assert fields(found.of_class[number].context) == fields(sides.context)
    assert encode_prototypes(found) == path.read_bytes() == encode_prototypes(made)


def by_hand(path: Path, **groups: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for number, arrays in groups.items():
            for name, array in arrays.items():
                file[f"prototypes/{number.lstrip('c')}/{name}"] = array
    return path


def test_two_arrays_are_enough_and_all_are_prototypes(tmp_path: Path) -> None:
    foreground, context = np.ones((3, 4)), np.full((2, 4), 2, np.float16)
    both = {"foreground": foreground, "context": context}
    found = read_prototypes(by_hand(tmp_path / "p.h5", c7=both, c10={"foreground": foreground}))
    assert found.header == Header("prototypes", (), "")
    assert list(found.of_class) == [7, 10]
    assert np.array_equal(found.of_class[7].foreground.prototypes, foreground)
    assert np.array_equal(found.of_class[7].context.prototypes, context)
    assert found.of_class[7].context.values.dtype == np.float32
    assert found.of_class[10].context.values.shape == (0, 4)


ARRAY = np.ones((3, 4), np.float32)
NOT_FINITE = np.array([[1, 2, np.nan, 3]])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"c0": {"foreground": ARRAY, "context": np.ones((2, 5))}}, "'prototypes/0/context' has 5 channels"),
        ({"c0": {"foreground": ARRAY}, "c3": {"foreground": np.ones((3, 2))}}, "'prototypes/3/foreground' has 2"),
        ({"c0": {"foreground": NOT_FINITE}}, "'prototypes/0/foreground' has values that are not finite"),
        ({"c0": {"context": ARRAY}}, "no 'prototypes/0/foreground'"),
        ({"c0": {"foreground": ARRAY, "context_kept": np.ones(3)}}, "no 'prototypes/0/context'"),
        ({"c0": {"foreground": ARRAY, "legs": ARRAY}}, "'prototypes/0/legs', which"),
        ({"cat": {"foreground": ARRAY}}, "'prototypes/at/foreground', which"),
        ({"c07": {"foreground": ARRAY}}, "'prototypes/07/foreground', which"),
        ({"c99999": {"foreground": ARRAY}}, "'prototypes/99999/foreground', which"),
        ({"c0": {"foreground/deeper": ARRAY}}, "'prototypes/0/foreground/deeper', which"),
        ({"c0": {"foreground": np.ones(3)}}, r"has the shape \(3,\); it should be \(any, any\)"),
        ({"c0": {"foreground": np.ones((3, 4), int)}}, "not an array of the right type"),
        ({"c0": {"foreground": ARRAY, "foreground_kept": np.ones(2, np.uint8)}}, r"it should be \(3\)"),
        ({"c0": {"foreground": ARRAY, "foreground_scores": np.ones((3, 20))}}, r"shape \(3, 20\)"),
        ({"c0": {"foreground": np.ones((70_000, 1), np.float32)}}, "absurd size"),
    ],
)
def test_stores_that_make_no_sense_are_refused(
    tmp_path: Path, groups: dict[str, dict[str, np.ndarray]], message: str
) -> None:
    path = by_hand(tmp_path / "p.h5", **groups)
    with pytest.raises(StoreError, match=message) as caught:
        read_prototypes(path)
    assert str(path) in str(caught.value)


def link_elsewhere(file: h5py.File) -> None:
    del file["prototypes/0/foreground"]
    file["prototypes/0/foreground"] = h5py.ExternalLink("other.h5", "/x")


def claim_much(file: h5py.File) -> None:
    del file["prototypes/0/context"]
    file.create_dataset("prototypes/0/context", (60_000, 2_000), "f4", chunks=(60, 2_000))


def of_another_version(file: h5py.File) -> None:
    file.attrs["version"] = 2


def unfinished(file: h5py.File) -> None:
    del file.attrs["complete"]


def a_class_too_many(file: h5py.File) -> None:
    file.move("prototypes/2", "prototypes/3")


def an_id_that_leads_out(file: h5py.File) -> None:
    file["prototypes/0/foreground_examples"][0, 0] = b"../x"


def examples_of_objects(file: h5py.File) -> None:
    del file["prototypes/0/foreground_examples"]
    file["prototypes/0/foreground_examples"] = np.array([["a", "b", "c"]] * 4, object)


def rounds_that_are_text(file: h5py.File) -> None:
    file["prototypes/0/foreground"].attrs["rounds"] = "many"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (link_elsewhere, "leads elsewhere"),
        (claim_much, "fewer values than it claims"),
        (of_another_version, "newer camkit"),
        (unfinished, "not finished"),
        (a_class_too_many, "prototypes of a class 3, but names classes 0 … 2"),
        (an_id_that_leads_out, "relative path"),
        (examples_of_objects, "right type"),
        (rounds_that_are_text, "wrong type"),
    ],
)
def test_hostile_stores_are_refused(tmp_path: Path, harm: Callable[[h5py.File], None], message: str) -> None:
    path = tmp_path / "p.h5"
    path.write_bytes(encode_prototypes(store()))
    with h5py.File(path, "a") as file:
        harm(file)
    with pytest.raises(StoreError, match=message) as caught:
        read_prototypes(path)
    assert str(path) in str(caught.value)


def test_nothing_else_passes_for_one(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    path.write_bytes(encode_prototypes(store()))
    with pytest.raises(StoreError, match="holds 'prototypes'; this command reads maps"):
        open_store(path)
    with h5py.File(path, "a") as file:
        del file["prototypes"]
    with pytest.raises(StoreError, match="has no prototypes"):
        read_prototypes(path)
    with h5py.File(path, "a") as file:
        file.attrs["kind"] = np.bytes_(b"maps")
    with pytest.raises(StoreError, match="holds 'maps'; this command reads prototypes"):
        read_prototypes(path)
    with pytest.raises(StoreError, match="does not exist"):
        read_prototypes(tmp_path / "none.h5")


def test_a_truncated_store_is_refused(tmp_path: Path) -> None:
    whole = encode_prototypes(store())
    path = tmp_path / "p.h5"
    for length in range(0, len(whole), 997):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError):
            read_prototypes(path)


def test_a_damaged_store_is_read_or_refused(tmp_path: Path) -> None:
    whole = encode_prototypes(store())
    random = np.random.default_rng(0)
    path, refused = tmp_path / "p.h5", 0
    for _ in range(300):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), 4):
            damaged[at] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read_prototypes(path)
        except StoreError:
            refused += 1
    assert refused > 30

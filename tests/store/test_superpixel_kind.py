"""Stores of superpixels: what comes back, and what is refused on the way in and out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camkit.errors import StoreError, UsageError
from camkit.store import Header, Writer, describe, merge_stores, open_store, shard_ids, stage
from camkit.store.codec import check_values
from camkit.types import Activation, no_classes

HEADER = Header("superpixels", (), "/photos", stage("superpixels", {"scale": 100}))
IDS = ("a/ü 1", "b", "c")


def activation(id: str, values: np.ndarray, size: tuple[int, int] | None = None) -> Activation:
    return Activation(id, values, no_classes(), size or (values.shape[0], values.shape[1]))


def stripes(id: str) -> np.ndarray:
    return np.repeat(np.arange(3 + IDS.index(id)), 5).reshape(-1, 5).T


def write(out: Path, ids: tuple[str, ...] = IDS, shard: tuple[int, int] = (0, 1)) -> None:
    with Writer(out, HEADER, ids, shard=shard) as writer:
        for id in shard_ids(ids, shard):
            writer.write(activation(id, stripes(id)))
        writer.finish()


def write_one(out: Path, values: np.ndarray, size: tuple[int, int] | None = None, dtype: str | None = None) -> None:
    with Writer(out, HEADER, ["x"], dtype=dtype) as writer:
        writer.write(activation("x", values, size))
        writer.finish()


def test_superpixels_come_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    with open_store(tmp_path / "a.h5") as store:
        assert store.header == HEADER
        assert store.ids == IDS
        for found in store:
            np.testing.assert_array_equal(found.values, stripes(found.id))
            assert found.values.dtype == np.uint16
            assert found.classes.size == 0
        facts = describe(store)
    assert (facts["kind"], facts["classes"], facts["dtypes"]) == ("superpixels", [], {"uint16": 3})
    with h5py.File(tmp_path / "a.h5") as file:
        dataset = file["superpixels/b"]
        assert dataset.shuffle
        assert dataset.compression == "gzip"
        assert set(dataset.attrs) == {"size"}


def test_the_smallest_type_that_holds_the_numbers_is_taken(tmp_path: Path) -> None:
    few, many = np.arange(1 << 16).reshape(256, -1), np.arange((1 << 16) + 1).reshape(1, -1)
    for values, dtype in ((few, np.uint16), (many, np.uint32), (few.astype(np.uint32), np.uint16)):
        out = tmp_path / f"{values.dtype}-{values.size}.h5"
        write_one(out, values)
        with open_store(out) as store:
            found = store.read("x").values
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, values)
    write_one(tmp_path / "wide.h5", few, dtype="uint32")
    with open_store(tmp_path / "wide.h5") as store:
        assert store.read("x").values.dtype == np.uint32
    with pytest.raises(UsageError, match="superpixels cannot be stored as float16"):
        write_one(tmp_path / "float.h5", few, dtype="float16")


WRONG = [
    (np.array([[1, 1]]), "as they first appear"),
    (np.array([[0, 2]]), "as they first appear"),
    (np.array([[0, 2], [1, 0]]), "as they first appear"),
    (np.array([[0, -1]]), "as they first appear"),
    (np.array([[0.0, 1.0]]), "not integers"),
    (np.zeros((1, 2, 3), np.int64), "superpixels have 2 axes"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_what_is_no_superpixels_is_not_written(tmp_path: Path, values: np.ndarray, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        write_one(tmp_path / "a.h5", values)


def test_superpixels_are_as_large_as_the_photo(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has superpixels of \(2, 3\) for an image of \(4, 6\)"):
        write_one(tmp_path / "a.h5", np.zeros((2, 3), int), (4, 6))


@given(arrays(np.uint16, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 5)))
def test_the_check_is_that_of_the_slow_loop(values: np.ndarray) -> None:
    seen = -1
    good = True
    for number in values.flat:
        good &= number <= seen + 1
        seen = max(seen, int(number))
    if good:
        check_values(values, HEADER, "it")
        return
    with pytest.raises(StoreError):
        check_values(values, HEADER, "it")


def by_hand(path: Path, values: np.ndarray, kind: str | None = "superpixels") -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["version"] = "camkit", 1
        if kind:
            file.attrs["kind"] = kind
        file.attrs["classes"] = np.array([], "S1")
        file["superpixels/x"] = values
        file["superpixels/x"].attrs["size"] = values.shape
        file.attrs["complete"] = 1
    return path


def test_a_store_made_by_hand_is_read_and_its_kind_guessed(tmp_path: Path) -> None:
    values = np.array([[0, 0, 1], [2, 1, 1]], ">u2")
    with open_store(by_hand(tmp_path / "a.h5", values, kind=None)) as store:
        assert store.header.kind == "superpixels"
        found = store.read("x").values
    assert found.dtype == np.dtype("=u2")
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 2]], np.uint16), "as they first appear"),
        (np.array([[0, 2**32 - 1]], np.uint32), "as they first appear"),
        (np.array([[0, 1]], np.uint8), "superpixels are uint16 or uint32"),
        (np.array([[0, 1]], np.int32), "superpixels are uint16 or uint32"),
        (np.array([[0.0, 1.0]], np.float32), "superpixels are uint16 or uint32"),
    ],
)
def test_what_is_no_superpixels_is_not_read(tmp_path: Path, values: np.ndarray, message: str) -> None:
    with open_store(by_hand(tmp_path / "a.h5", values)) as store, pytest.raises(StoreError, match=message):
        store.read("x")


def test_shards_merge_into_what_one_run_writes(tmp_path: Path) -> None:
    write(tmp_path / "whole.h5")
    for n in range(2):
        write(tmp_path / f"{n}.h5", shard=(n, 2))
    merge_stores([tmp_path / "0.h5", tmp_path / "1.h5"], tmp_path / "merged.h5")
    assert (tmp_path / "merged.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()

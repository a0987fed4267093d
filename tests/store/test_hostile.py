"""Whatever bytes a file holds, reading it ends in records or in a CamkitError."""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camkit.errors import CamkitError, StoreError
from camkit.store import Writer, describe, merge_stores, open_store
from tests.store.conftest import IDS, header, record, write


def read_all(path: Path) -> None:
    with open_store(path) as reader:
        assert isinstance(reader.failures, dict)
        for found in reader:
            assert found.values.dtype in (np.float32, np.uint8, np.uint16)
        describe(reader)


def ends_well(data: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        path.write_bytes(data)
        try:
            read_all(path)
        except CamkitError as error:
            message = str(error)
        else:
            return True
        assert message.count("\n") <= 1
        return False


def by_hand(path: Path, **attributes: Any) -> h5py.File:
    """A store as a person would write it, of classes cat and dog, open for more."""
    file = h5py.File(path, "w")
    wanted = {"format": "camkit", "version": 1, "classes": ["cat", "dog"], "complete": True, **attributes}
    for name, value in wanted.items():
        if value is not None:
            file.attrs[name] = value
    return file


def add(file: h5py.File, id: str = "maps/x", data: Any = None, **attributes: Any) -> h5py.Dataset:
    dataset = file.create_dataset(id, data=np.ones((1, 3, 4), np.float16) if data is None else data)
    for name, value in {"classes": [1], "size": [6, 8], **attributes}.items():
        if value is not None:
            dataset.attrs[name] = value
    return dataset


def test_a_store_made_by_hand_is_read(tmp_path: Path) -> None:
    with by_hand(tmp_path / "a.h5") as file:
        add(file)
        add(file, "maps/y/z", np.ones((1, 3, 4), ">f4"))
        file["failures/f"] = "bad"
    with open_store(tmp_path / "a.h5") as reader:
        assert (reader.header.kind, reader.header.classes, reader.ids) == ("maps", ("cat", "dog"), ("x", "y/z"))
        assert reader.read("y/z").values.tolist() == np.ones((1, 3, 4)).tolist()
        assert reader.failures == {"f": "bad"}
    merge_stores([tmp_path / "a.h5"], tmp_path / "b.h5")
    read_all(tmp_path / "b.h5")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), st.booleans())
def test_random_bytes(data: bytes, signed: bool) -> None:
    assert not ends_well(b"\x89HDF\r\n\x1a\n" * signed + data)


def _texts_by_hand() -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="earliest") as file:
        for name, value in {"format": "camkit", "version": 1, "classes": ["cat", "dog"], "complete": True}.items():
            file.attrs[name] = value
        for name in "abc":
            add(file, f"maps/{name}", notes='{"rounds": 3}')
        file["failures/f"] = "bad"
    return stream.getvalue()


@pytest.mark.parametrize("origin", ["camkit", "by hand"])
def test_damaged_bytes(tmp_path: Path, origin: str) -> None:
    write(tmp_path / "a.h5", IDS)
    whole = (tmp_path / "a.h5").read_bytes() if origin == "camkit" else _texts_by_hand()
    assert ends_well(whole)
    for seed in range(250):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.choice([1, 2, 20])):
            data[chance.randrange(len(data))] = chance.choice([0, 255, chance.randrange(256)])
        ends_well(bytes(data if chance.random() < 0.8 else data[: chance.randrange(len(data))]))


def virtual(folder: Path) -> bytes:
    """A store whose record is a virtual dataset: what it is made of is told in a global heap."""
    with by_hand(folder / "virtual.h5", classes=np.array([b"cat", b"dog"])) as file:
        layout = h5py.VirtualLayout((1, 3, 4), np.float16)
        for row in range(3):
            layout[:, row] = h5py.VirtualSource(str(folder / "source.h5"), "d", (1, 3, 4))[:, row]
        dataset = file.create_group("maps").create_virtual_dataset("x", layout)
        dataset.attrs["classes"], dataset.attrs["size"] = [1], [6, 8]
    return (folder / "virtual.h5").read_bytes()


def test_a_heap_without_an_end_is_found_before_any_object_is_looked_at(tmp_path: Path) -> None:
    """HDF5 would loop over it for ever, and hear no signal."""
    data = bytearray(virtual(tmp_path))
    heap = data.find(b"GCOL\x01")
    data[heap + 16 : heap + 32] = bytes(16)
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(StoreError, match="damaged: its texts cannot be read"):
        open_store(tmp_path / "a.h5")


def test_virtual_datasets_are_refused_before_they_are_looked_at(tmp_path: Path) -> None:
    """HDF5 may crash over damaged sources."""
    whole = virtual(tmp_path)
    with pytest.raises(StoreError, match="lie in other files"):
        open_store(tmp_path / "virtual.h5")
    heap = whole.find(b"GCOL\x01")
    for seed in range(100):
        chance, data = random.Random(seed), bytearray(whole)
        for _ in range(chance.choice([1, 2, 20])):
            data[heap + chance.randrange(200)] = chance.choice([0, 255, chance.randrange(256)])
        assert not ends_well(bytes(data))


def test_values_that_look_like_heaps(tmp_path: Path) -> None:
    """One by chance is none; so many that looking at each would take for ever are damage."""
    for count, sound in ((1, True), (8, True), (2000, False)):
        values = np.frombuffer(b"values: " + (b"GCOL\x01" + b"\xff" * 11) * count, np.uint8)
        with by_hand(tmp_path / "a.h5", kind=np.bytes_("superpixels"), classes=np.array([b"cat"])) as file:
            file["superpixels/x"] = np.zeros((2, 2), np.uint16)
            file["superpixels/x"].attrs["size"] = [2, 2]
            file["other"] = values
        assert ends_well((tmp_path / "a.h5").read_bytes()) == sound


VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    st.binary(min_size=1, max_size=9).filter(lambda raw: raw.strip(b"\0")).map(np.void),
    st.lists(st.integers(-9, 9), max_size=4),
    st.lists(st.sampled_from(["cat", "dog", ""]), max_size=4).map(lambda names: np.array(names, "S3")),
    st.just(h5py.Empty("f4")),
    st.sampled_from(["{}", "[]", "[" * 5000, '{"parents": [3]}', '{"parents": {"a": 1}}', '{"parameters": 3}']),
)
DTYPES = st.sampled_from(["f2", ">f4", "f8", "u1", "u2", "i8", "c8", "S5", "?", [("a", "f4")]])
SHAPES = st.one_of(st.just((1, 3, 4)), st.lists(st.integers(0, 5), max_size=4).map(tuple))


@settings(max_examples=150, deadline=None)
@given(
    root=st.dictionaries(st.sampled_from(["kind", "classes", "provenance", "version", "shard"]), VALUES, max_size=2),
    group=st.sampled_from(["maps", "probs", "scores", "masks", "failures"]),
    shape=SHAPES,
    dtype=DTYPES,
    attributes=st.dictionaries(st.sampled_from(["classes", "size", "notes"]), VALUES, max_size=2),
)
def test_random_structure(root: dict, group: str, shape: tuple, dtype: Any, attributes: dict) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        with by_hand(path, **root) as file:
            add(file, f"{group}/x", np.zeros(shape, dtype), **attributes)
        ends_well(path.read_bytes())


def _soft(file: h5py.File) -> None:
    file["maps/soft"] = h5py.SoftLink("/maps/x")


def _external(file: h5py.File) -> None:
    file["maps/out"] = h5py.ExternalLink("/etc/other.h5", "/maps/x")


def _group_link(file: h5py.File) -> None:
    file.move("maps", "elsewhere")
    file["maps"] = h5py.SoftLink("/elsewhere")


def _cycle(file: h5py.File) -> None:
    file["maps/again"] = file["maps"]


def _raw_file(file: h5py.File) -> None:
    raw = file.create_dataset("maps/raw", (1, 3, 4), "f2", external=[("/etc/passwd", 0, 24)])
    raw.attrs["classes"], raw.attrs["size"] = [1], [6, 8]


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((1, 3, 4), "f2")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "maps/x", (1, 3, 4))
    virtual = file.create_virtual_dataset("maps/virtual", layout)
    virtual.attrs["classes"], virtual.attrs["size"] = [1], [6, 8]


def _huge(file: h5py.File) -> None:
    huge = file.create_dataset("maps/huge", (1, 20_000, 20_000), "f2", chunks=(1, 20_000, 20_000), compression="gzip")
    huge.attrs["classes"], huge.attrs["size"] = [1], [20_000, 20_000]


def _huge_chunk(file: h5py.File) -> None:
    huge = file.create_dataset("maps/h", (1, 3, 4), "f2", maxshape=(None,) * 3, chunks=(1, 9000, 9000), compression=1)
    huge[...] = 1
    huge.attrs["classes"], huge.attrs["size"] = [1], [6, 8]


def _deep(file: h5py.File) -> None:
    add(file, "maps/" + "/".join("a" * 500))


def _windows(file: h5py.File) -> None:
    add(file, "maps/..\\..\\evil")


def _both(file: h5py.File) -> None:
    file["failures/x"] = "bad"


def _named_type(file: h5py.File) -> None:
    file["maps/type"] = np.dtype("f4")


@pytest.mark.parametrize(
    "spoil",
    [
        _soft,
        _external,
        _group_link,
        _cycle,
        _raw_file,
        _virtual,
        _huge,
        _huge_chunk,
        _deep,
        _windows,
        _both,
        _named_type,
    ],
)
def test_what_leads_elsewhere_or_nowhere_is_refused(tmp_path: Path, spoil: Callable[[h5py.File], None]) -> None:
    with by_hand(tmp_path / "a.h5") as file:
        add(file)
        spoil(file)
    with pytest.raises(StoreError):
        read_all(tmp_path / "a.h5")
    with pytest.raises(StoreError):
        merge_stores([tmp_path / "a.h5"], tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()
    assert not (tmp_path / "b.h5.parts").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x93NUMPY\x01", "NumPy array"),
        (b"\x80\x02}q", "pickle"),
        (b"hello", "not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n", "truncated or damaged"),
    ],
)
def test_what_a_file_is_instead_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(StoreError, match=words):
        open_store(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"complete": None}, "was not finished"),
        ({"complete": 0}, "was not finished"),
        ({"version": 2}, r"newer camkit \(format 2\)"),
        ({"format": "other"}, "not a camkit store"),
        ({"format": None}, "not a camkit store"),
        ({"kind": "prototypes"}, "holds 'prototypes'"),
        ({"classes": ["cat", "cat"]}, "occurs twice"),
    ],
)
def test_headers_that_do_not_fit_are_explained(tmp_path: Path, attributes: dict, words: str) -> None:
    with by_hand(tmp_path / "a.h5", **attributes) as file:
        add(file)
    with pytest.raises(StoreError, match=words):
        open_store(tmp_path / "a.h5")


def test_places_that_hold_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.h5", tmp_path / "nul\0.h5"):
        with pytest.raises(StoreError):
            open_store(path)
    with pytest.raises(StoreError, match="no store"):
        open_store()


def test_a_part_is_not_a_store(tmp_path: Path) -> None:
    with Writer(tmp_path / "a.h5", header(), IDS, part_records=1) as writer:
        writer.write(record("b"))
        (part,) = (tmp_path / "a.h5.parts").glob("part-*")
        with pytest.raises(StoreError, match="not a camkit store"):
            open_store(part)

from __future__ import annotations

import re
import runpy
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camkit import store
from camkit.errors import StoreError, UsageError
from camkit.store import Header, Writer, check_id, check_ids, describe, open_store, shard_ids
from camkit.types import Activation
from tests.store.conftest import CLASSES, IDS, header, record, write

NAMES = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
COMPONENTS = NAMES.filter(lambda name: name not in (".", ".."))
PATHS = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("kind", store.KINDS)
def test_every_kind_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "a.h5", IDS, header(kind))
    with open_store(tmp_path / "a.h5") as reader:
        assert reader.header == header(kind)
        assert reader.ids == tuple(sorted(IDS))
        for found in reader:
            wanted = record(found.id, kind)
            atol = 0.001 if kind == "signed" else 0
            np.testing.assert_allclose(found.values, wanted.values, rtol=0, atol=atol)
            np.testing.assert_array_equal(found.classes, wanted.classes)
            assert (found.size, found.notes) == (wanted.size, wanted.notes)
            assert found.values.dtype == {"masks": np.uint8, "superpixels": np.uint16}.get(kind, np.float32)


@settings(max_examples=40, deadline=None)
@given(st.lists(PATHS, min_size=1, max_size=6, unique=True))
def test_ids_round_trip(ids: list[str]) -> None:
    folders = {"/".join(id.split("/")[:n]) for id in ids for n in range(1, id.count("/") + 1)}
    ids = [id for id in ids if id not in folders]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "a.h5", ids)
        with open_store(Path(folder) / "a.h5") as reader:
            assert list(reader.ids) == sorted(ids)
            assert [found.id for found in reader] == sorted(ids)


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.floats(0, 1, width=32)),
    st.sampled_from(["float16", "float32", "uint8"]),
)
def test_arrays_round_trip(values: np.ndarray, dtype: str) -> None:
    head = Header("maps", tuple(f"class {n}" for n in range(9)), "")
    with tempfile.TemporaryDirectory() as folder:
        with Writer(Path(folder) / "a.h5", head, ["x"], dtype=dtype) as writer:
            writer.write(Activation("x", values, np.arange(len(values)), (9, 9)))
            writer.finish()
        with open_store(Path(folder) / "a.h5") as reader:
            found = reader.read("x").values
    tolerance = {"float16": 2**-12, "float32": 0, "uint8": 0.5001 / 255}[dtype]
    np.testing.assert_allclose(found, values, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "id",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0b", "a\\b", "a\udcff", "x" * 2000, "/".join("a" * 99)],
)
def test_bad_ids_are_refused(id: str) -> None:
    with pytest.raises(StoreError):
        check_id(id)


def test_an_id_cannot_be_the_folder_of_another() -> None:
    with pytest.raises(StoreError, match=r"'a' and 'a/b/c'"):
        check_ids(["a/b/c", "z", "a"])
    with pytest.raises(StoreError, match="twice"):
        check_ids(["a", "b", "a"])


def test_shards_share_the_ids_out() -> None:
    shards = [shard_ids(IDS, (n, 4)) for n in range(4)]
    assert sorted(id for shard in shards for id in shard) == sorted(IDS)


def _maps(**changes: object) -> Activation:
    fields = {"id": "a", "values": np.ones((2, 3, 3)), "classes": np.array([0, 2]), "size": (6, 6), "notes": {}}
    return Activation(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"values": np.full((2, 3, 3), np.nan)},
        {"values": np.full((2, 3, 3), np.inf)},
        {"values": np.full((2, 3, 3), 1.5)},
        {"values": np.full((2, 3, 3), -0.5)},
        {"values": np.ones((3, 3, 3))},
        {"values": np.ones((3, 3))},
        {"values": np.ones((2, 0, 3))},
        {"values": np.ones((2, 600, 600))},
        {"values": np.ones((2, 3, 3), complex)},
        {"classes": np.array([2, 0])},
        {"classes": np.array([0, 0])},
        {"classes": np.array([0, 3])},
        {"classes": np.array([-1, 2])},
        {"classes": np.array([0.0, 1.0])},
        {"size": (0, 6)},
        {"size": (10**6, 10**6)},
        {"notes": {"bad": float("nan")}},
        {"notes": {"bad": object()}},
        {"id": "unknown"},
    ],
)
def test_records_that_break_the_format_are_not_written(tmp_path: Path, changes: dict[str, object]) -> None:
    with Writer(tmp_path / "a.h5", header(), ["a"]) as writer:
        with pytest.raises(StoreError):
            writer.write(_maps(**changes))
        writer.write(_maps())
        with pytest.raises(StoreError, match="already"):
            writer.write(_maps())
        assert writer.finish()
        with pytest.raises(StoreError, match="too late"):
            writer.write(_maps())


def test_masks_hold_their_classes_and_undecided_only(tmp_path: Path) -> None:
    none = np.zeros(0, np.int64)
    with Writer(tmp_path / "a.h5", header("masks"), ["a"]) as writer:
        with pytest.raises(StoreError, match="beyond its 3 classes"):
            writer.write(Activation("a", np.full((4, 4), 9, np.uint8), none, (4, 4)))
        with pytest.raises(StoreError, match="a mask of"):
            writer.write(Activation("a", np.zeros((4, 5), np.uint8), none, (4, 4)))
    many = Header("masks", tuple(f"class {n}" for n in range(9000)), "")
    with Writer(tmp_path / "b.h5", many, ["a"]) as writer:
        writer.write(Activation("a", np.array([[0, 9000, 65535]], np.uint16), none, (1, 3)))
        writer.finish()
    with open_store(tmp_path / "b.h5") as reader:
        assert reader.header.classes == many.classes
        assert reader.read("a").values.tolist() == [[0, 9000, 65535]]
    with pytest.raises(UsageError, match="uint16"):
        Writer(tmp_path / "c.h5", many, ["a"], dtype="uint8")


def test_odd_texts_survive(tmp_path: Path) -> None:
    head = Header(
        "scores", CLASSES, "/photos\udcff", store.stage("classify", {"path": Path("x\udcff"), "big": "y" * 200_000})
    )
    with Writer(tmp_path / "a.h5", head, ["a", "b", "c"]) as writer:
        writer.fail("a", "lone \udcff, NUL \0, ü")
        writer.fail("b", "")
        writer.write(Activation("c", np.zeros(3), np.zeros(0, int), (1, 1), {"long": "z" * 100_000}))
        writer.finish()
    with open_store(tmp_path / "a.h5") as reader:
        assert reader.header == head
        assert reader.failures == {"a": "lone \\udcff, NUL , ü", "b": "failed"}
        assert len(reader.read("c").notes["long"]) == 100_000
        with pytest.raises(StoreError, match="it failed, lone"):
            reader.read("a")
        with pytest.raises(StoreError, match="no record of 'zz'"):
            reader.read("zz")


def test_describe_says_what_is_inside(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", IDS)
    with open_store(tmp_path / "a.h5") as reader:
        facts = describe(reader)
        sizes = sorted(record.size for record in reader)
    assert (facts["kind"], facts["images"], facts["dtypes"]) == ("maps", 9, {"float16": 9})
    assert facts["bytes"] == (tmp_path / "a.h5").stat().st_size
    assert tuple(facts["sizes"]["max"]) == max(sizes, key=lambda size: size[0] * size[1])
    store.provenance.to_json(facts)


def test_the_example_in_the_format_document_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = (Path(store.__file__).parent / "FORMAT.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write(Path("cams.h5"), IDS)
    Path("example.py").write_text(example)
    runpy.run_path("example.py")
    assert [line.split(" [")[0] for line in capsys.readouterr().out.splitlines()] == sorted(IDS)


def test_only_filters_every_hdf5_has(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", IDS)
    with h5py.File(tmp_path / "a.h5") as file:
        used = {dataset.compression for dataset in (file["maps"][id] for id in IDS) if dataset.size}
        assert used == {"gzip"}
        assert all(file["maps"][id].size or file["maps"][id].compression is None for id in IDS)

"""Resuming, refusing, overwriting, shards: the store is the same whatever happened on the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camkit.errors import CamkitError, OutputError, StoreError, UsageError
from camkit.store import Header, Writer, merge_stores, open_store, shard_ids, stage
from camkit.types import Activation
from tests.store.conftest import CLASSES, IDS, header, record, write


def begin(out: Path, count: int, **options: object) -> None:
    """Write `count` more records, then be interrupted."""
    with suppress(KeyboardInterrupt), Writer(out, header(), IDS, **options) as writer:  # type: ignore[arg-type]
        for id in [id for id in sorted(IDS) if id not in writer.done][:count]:
            writer.write(record(id))
        raise KeyboardInterrupt


@settings(max_examples=15, deadline=None)
@given(stops=st.lists(st.integers(0, 4), max_size=4), size=st.integers(1, 5))
def test_interruptions_and_parts_leave_no_trace(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int], size: int
) -> None:
    folder = tmp_path_factory.mktemp("writer")
    write(folder / "a.h5", IDS)
    for stop in stops:
        begin(folder / "b.h5", stop, part_records=size)
    write(folder / "b.h5", IDS, part_records=size)
    assert (folder / "b.h5").read_bytes() == (folder / "a.h5").read_bytes()
    assert not (folder / "b.h5.parts").exists()


def test_ctrl_c_keeps_what_was_done(tmp_path: Path) -> None:
    begin(tmp_path / "a.h5", 4)
    with pytest.raises(StoreError, match="not finished yet"):
        open_store(tmp_path / "a.h5")
    with Writer(tmp_path / "a.h5", header(), IDS) as writer:
        assert writer.done == frozenset(sorted(IDS)[:4])
        with pytest.raises(StoreError, match="not whole: 5 images"):
            writer.finish()


def test_parts_are_flushed_by_count_size_and_time(tmp_path: Path) -> None:
    for name, limit in {"count": {"part_records": 1}, "size": {"part_bytes": 1}, "time": {"part_seconds": 0}}.items():
        with Writer(tmp_path / name, header("scores"), IDS, **limit) as writer:  # type: ignore[arg-type]
            writer.write(record("b", "scores"))
            assert len(list((tmp_path / f"{name}.parts").glob("part-*"))) == 1


def test_finished_and_same_is_finished(tmp_path: Path, undisturbed: bytes) -> None:
    out = tmp_path / "undisturbed.h5"
    before = out.stat().st_mtime_ns
    with Writer(out, header(), IDS) as writer:
        assert writer.finished
        assert writer.done == set(IDS)
        assert writer.finish()
    assert out.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_leftovers_of_a_kill_after_the_join_are_swept(tmp_path: Path) -> None:
    begin(tmp_path / "a.h5", 9)
    shutil.copytree(tmp_path / "a.h5.parts", tmp_path / "kept")
    write(tmp_path / "a.h5", IDS)
    shutil.copytree(tmp_path / "kept", tmp_path / "a.h5.parts")
    assert write(tmp_path / "a.h5", IDS)
    assert not (tmp_path / "a.h5.parts").exists()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (header(scales=(1, 2)), "--scales was not given and is now 1,2"),
        (replace(header(), provenance=stage("dcsm", {})), "the command was cam and is now dcsm"),
        (replace(header(), provenance=stage("cam", {}, selection={"count": 8, "sha256": "b"})), "9 then, 8 now"),
        (replace(header(), classes=("cat", "dog")), "the classes changed"),
        (replace(header(), kind="signed"), "held maps and now signed"),
    ],
)
def test_another_run_is_refused_until_overwrite(tmp_path: Path, other: Header, words: str) -> None:
    write(tmp_path / "done.h5", IDS)
    begin(tmp_path / "begun.h5", 3)
    for name in ("done.h5", "begun.h5"):
        with pytest.raises(UsageError, match=words) as refusal:
            Writer(tmp_path / name, other, IDS)
        assert "--overwrite" in str(refusal.value)
        with Writer(tmp_path / name, other, IDS, overwrite=True) as writer:
            assert not writer.done
            assert (tmp_path / "done.h5").exists()
    assert write(tmp_path / "done.h5", IDS, overwrite=True)


def test_versions_and_the_place_of_the_checkpoint_do_not_count(tmp_path: Path) -> None:
    one = stage("cam", {"a": 1}, checkpoint={"path": "/x/a.pth", "sha256": "1"})
    two = stage("cam", {"a": 1}, checkpoint={"path": "/y/a.pth", "sha256": "1"})
    write(tmp_path / "a.h5", IDS, Header("maps", CLASSES, "/a", one))
    two["versions"]["torch"] = "99"
    with Writer(tmp_path / "a.h5", Header("maps", CLASSES, "/b", two), IDS) as writer:
        assert writer.finished


def test_files_that_are_no_stores_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(UsageError, match="not an HDF5 file"):
        Writer(tmp_path / "notes.txt", header(), IDS)
    assert (tmp_path / "notes.txt").read_text() == "precious"
    assert not (tmp_path / "notes.txt.parts").exists()
    with pytest.raises(UsageError, match="replaces stores only"):
        write(tmp_path / "notes.txt", IDS, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "precious"
    with pytest.raises(UsageError, match="regular file"):
        Writer(tmp_path, header(), IDS)
    with pytest.raises(OutputError, match="is no folder"):
        Writer(tmp_path / "missing" / "a.h5", header(), IDS)


def test_more_or_other_images_are_another_run(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", IDS)
    begin(tmp_path / "b.h5", 2)
    with pytest.raises(UsageError, match="not among those chosen now"):
        Writer(tmp_path / "a.h5", header(), IDS[:4])
    with pytest.raises(UsageError, match="9 then, 4 now"):
        Writer(tmp_path / "b.h5", header(), IDS[:4])


def test_failures_are_tried_again(tmp_path: Path, undisturbed: bytes) -> None:
    out = tmp_path / "a.h5"
    with Writer(out, header(), IDS) as writer:
        for id in IDS:
            if id in ("b", "q/t"):
                writer.fail(id, "bad image")
            else:
                writer.write(record(id))
        assert writer.finish()
    with open_store(out) as reader:
        assert reader.failures == {"b": "bad image", "q/t": "bad image"}
    with Writer(out, header(), IDS) as writer:
        assert not writer.finished
        assert writer.done == set(IDS) - {"b", "q/t"}
        assert dict(writer.failures) == {"b": "bad image", "q/t": "bad image"}
        writer.fail("b", "still bad")
        writer.write(record("q/t"))
        assert writer.finish()
        assert dict(writer.failures) == {"b": "still bad"}
    with open_store(out) as reader:
        assert reader.failures == {"b": "still bad"}
    assert write(out, IDS)
    assert out.read_bytes() == undisturbed


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    begin(tmp_path / "a.h5", 4)
    (part,) = (tmp_path / "a.h5.parts").glob("part-*")
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(OutputError, match=part.name):
        Writer(tmp_path / "a.h5", header(), IDS)
    part.unlink()
    assert write(tmp_path / "a.h5", IDS)


@pytest.mark.parametrize("run", [b"", b"[]", b"{}", b'{"header": {"kind": 3}}', b"[" * 100_000])
def test_a_spoilt_run_file_is_another_run(tmp_path: Path, run: bytes) -> None:
    begin(tmp_path / "a.h5", 4)
    (tmp_path / "a.h5.parts" / "run.json").write_bytes(run)
    with pytest.raises(UsageError, match="--overwrite"):
        Writer(tmp_path / "a.h5", header(), IDS)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_shards_into_one_store_one_after_the_other(tmp_path: Path, undisturbed: bytes, order: Sequence[int]) -> None:
    out = tmp_path / "a.h5"
    assert [write(out, IDS, shard=(n, 3)) for n in order] == [True, False, True]
    assert out.read_bytes() == undisturbed
    assert not (tmp_path / "a.h5.parts").exists()
    with Writer(out, header(), IDS, shard=(1, 3)) as writer:
        assert writer.finished


def test_a_lone_shard_is_a_store_and_stays_finished(tmp_path: Path) -> None:
    assert write(tmp_path / "a.h5", IDS, shard=(1, 3))
    with open_store(tmp_path / "a.h5") as reader:
        assert (reader.header.shard, reader.ids) == ("1/3", shard_ids(IDS, (1, 3)))
    with Writer(tmp_path / "a.h5", header(), IDS, shard=(1, 3)) as writer:
        assert writer.finished
    with Writer(tmp_path / "a.h5", header(), IDS) as writer:
        assert writer.done == set(shard_ids(IDS, (1, 3)))


def test_shards_at_the_same_time_are_joined_by_the_last(tmp_path: Path, undisturbed: bytes) -> None:
    out = tmp_path / "a.h5"
    writers = [Writer(out, header(), IDS, shard=(n, 3)) for n in range(3)]
    finished = []
    for n, writer in enumerate(writers):
        for id in shard_ids(IDS, (n, 3)):
            writer.write(record(id))
        finished.append(writer.finish())
        assert out.exists() == (n == 2)
    assert finished == [False, False, True]
    assert out.read_bytes() == undisturbed


def test_the_number_of_shards_may_change_between_runs(tmp_path: Path, undisturbed: bytes) -> None:
    out = tmp_path / "a.h5"
    begin(out, 4)
    with Writer(out, header(), IDS, shard=(1, 2)) as writer:
        assert writer.done == set(shard_ids(IDS, (1, 2))) & set(sorted(IDS)[:4])
        with pytest.raises(OutputError, match="another number of shards"):
            Writer(out, header(), IDS, shard=(0, 3))
    assert write(out, IDS)
    assert out.read_bytes() == undisturbed


def test_overwriting_one_shard_keeps_the_others(tmp_path: Path, undisturbed: bytes) -> None:
    out = tmp_path / "a.h5"
    for _ in range(2):
        for n in range(3):
            write(out, IDS, shard=(n, 3), overwrite=True)
    assert out.read_bytes() == undisturbed


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Writer(tmp_path / "a.h5", header(), IDS):
        for options in ({}, {"overwrite": True}):
            with pytest.raises(OutputError, match=f"being written by process {os.getpid()} on "):
                Writer(tmp_path / "a.h5", header(), IDS, **options)
        with pytest.raises(CamkitError):
            merge_stores([tmp_path / "a.h5"], tmp_path / "a.h5")
    assert write(tmp_path / "a.h5", IDS)


def test_a_link_at_out_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.h5").symlink_to(tmp_path / "disk" / "b.h5")
    write(tmp_path / "a.h5", IDS)
    assert (tmp_path / "a.h5").is_symlink()
    assert (tmp_path / "disk" / "b.h5").is_file()


def test_without_hard_links_the_store_is_copied(
    tmp_path: Path, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert [write(tmp_path / "a.h5", IDS, shard=(n, 3)) for n in range(3)] == [True, False, True]
    assert (tmp_path / "a.h5").read_bytes() == undisturbed


@pytest.mark.parametrize("shard", [(3, 3), (-1, 3), (0, 0)])
def test_impossible_options_are_refused(tmp_path: Path, shard: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        Writer(tmp_path / "a.h5", header(), IDS, shard=shard)
    with pytest.raises(UsageError, match="cannot be stored as int8"):
        Writer(tmp_path / "a.h5", header(), IDS, dtype="int8")


def test_more_parts_than_files_may_be_open(tmp_path: Path) -> None:
    ids = [f"{number:03d}" for number in range(150)]
    write(tmp_path / "a.h5", ids)
    write(tmp_path / "b.h5", ids, part_records=1)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_large_maps_are_cut_into_planes_and_join_the_same(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 500, 500)).astype(np.float32)
    for name, shards in (("a.h5", 1), ("b.h5", 2)):
        for n in range(shards):
            with Writer(tmp_path / name, header(), ["x", "y"], shard=(n, shards)) as writer:
                for id in shard_ids(["x", "y"], (n, shards)):
                    writer.write(Activation(id, values, np.arange(3), (500, 500)))
                writer.finish()
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["maps/x"].chunks == (1, 500, 500)
    with open_store(tmp_path / "a.h5") as reader:
        np.testing.assert_allclose(reader.read("y").values, values, atol=2**-12)


def test_an_interrupted_overwrite_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    write(out, IDS, header(scales=[1]))
    with suppress(KeyboardInterrupt), Writer(out, header(scales=[2]), IDS, overwrite=True, part_records=1) as writer:
        writer.write(record(IDS[0]))
        raise KeyboardInterrupt
    with Writer(out, header(scales=[2]), IDS, overwrite=True) as writer:
        assert writer.done == {IDS[0]}
        for id in set(IDS) - writer.done:
            writer.write(record(id))
        assert writer.finish()
    with open_store(out) as store:
        assert store.header.provenance["parameters"]["scales"] == [2]
        assert store.ids == tuple(sorted(IDS))

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from camkit.errors import InputError, OutputError, StoreError, UsageError
from camkit.store import (
    Writer,
    difference,
    merge_stores,
    open_store,
    receive_store,
    send_store,
    sha256_file,
    stage,
)
from camkit.store.join import Sink
from camkit.store.merge import missing_shards, shard_words
from camkit.store.reader import merged_shard
from tests.store.conftest import IDS, header, record, write


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{n}.h5" for n in range(3)]
    for n, path in enumerate(paths):
        write(path, IDS, shard=(n, 3))
    return paths


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_merged_shards_are_the_undisturbed_run(
    tmp_path: Path, shards: list[Path], undisturbed: bytes, order: tuple[int, ...]
) -> None:
    assert merge_stores([shards[n] for n in order], tmp_path / "m.h5")
    assert (tmp_path / "m.h5").read_bytes() == undisturbed
    assert not merge_stores(shards, tmp_path / "m.h5")
    with open_store(*shards) as together, open_store(tmp_path / "m.h5") as merged:
        assert together.header == merged.header
        for one, other in zip(together, merged, strict=True):
            np.testing.assert_array_equal(one.values, other.values)


def test_some_shards_stay_a_shard(tmp_path: Path, shards: list[Path], undisturbed: bytes) -> None:
    merge_stores([shards[2], shards[0]], tmp_path / "two.h5")
    with open_store(tmp_path / "two.h5") as reader:
        assert reader.header.shard == "0/3,2/3"
    merge_stores([tmp_path / "two.h5", shards[1]], tmp_path / "m.h5")
    assert (tmp_path / "m.h5").read_bytes() == undisturbed
    assert merged_shard(["0/3", "1/3", "nonsense"]) == "nonsense,0/3,1/3"


def test_missing_shards_are_told(tmp_path: Path, shards: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    merge_stores(shards, tmp_path / "whole.h5")
    assert not caplog.messages
    merge_stores([shards[2], shards[0]], tmp_path / "two.h5")
    assert caplog.messages == ["the stores are not the whole run; missing: shard 1 of 3"]


@pytest.mark.parametrize(
    ("shard", "held", "missing"),
    [
        ("1/3", "shard 1 of 3", "shards 2, 3 of 3"),
        ("0/3", "shard 3 of 3", "shards 1, 2 of 3"),
        ("0/3,2/3", "shards 2, 3 of 3", "shard 1 of 3"),
        ("10/12,2/12", "shards 2, 10 of 12", "shards 1, 3, 4, 5, 6, 7, 8, 9, … of 12"),
        ("0/2,1/2", "shards 1, 2 of 2", ""),
        ("0/2,1/3", "shard 2 of 2; shard 1 of 3", "shard 1 of 2; shards 2, 3 of 3"),
        ("0/999999999", "shard 999999999 of 999999999", "shards 1, 2, 3, 4, 5, 6, 7, 8, … of 999999999"),
        ("nonsense", "shard nonsense", ""),
    ],
)
def test_people_count_shards_from_1(shard: str, held: str, missing: str) -> None:
    assert shard_words(shard) == held
    assert missing_shards(shard) == missing
    assert missing_shards("") == ""


def test_overlap_and_other_runs_name_both_files(tmp_path: Path, shards: list[Path]) -> None:
    write(tmp_path / "all.h5", IDS)
    with pytest.raises(StoreError, match=r"all\.h5 and .*1\.h5 both hold the id"):
        open_store(tmp_path / "all.h5", shards[1])
    write(tmp_path / "other.h5", ["zz"], header(scales=(1,)))
    with pytest.raises(StoreError, match=r"of one run: --scales is not given in \S*0\.h5 and 1 in \S*other\.h5$"):
        merge_stores([shards[0], tmp_path / "other.h5"], tmp_path / "m.h5")
    write(tmp_path / "masks.h5", ["zz"], header("masks"))
    with pytest.raises(StoreError, match=r"of one run: \S*0\.h5 holds maps, \S*masks\.h5 holds masks$"):
        open_store(shards[0], tmp_path / "masks.h5")
    with pytest.raises(UsageError, match=r"exists: masks\.h5 holds masks, what is to be merged holds maps\n"):
        merge_stores(shards, tmp_path / "masks.h5")
    write(tmp_path / "two.h5", ["zz"], replace(header(), classes=("cat", "dog")))
    with pytest.raises(StoreError, match=r"the classes differ \(3 in \S*0\.h5, 2 in \S*two\.h5\)$"):
        open_store(shards[0], tmp_path / "two.h5")
    write(tmp_path / "folder.h5", ["b/c"])
    with pytest.raises(StoreError, match="'b' and 'b/c'"):
        merge_stores([shards[0], shards[1], shards[2], tmp_path / "folder.h5"], tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()


def test_stores_of_other_images_remember_all_selections(tmp_path: Path) -> None:
    heads = [replace(header(), provenance=stage("cam", {}, selection={"count": n, "sha256": str(n)})) for n in (2, 3)]
    write(tmp_path / "a.h5", ["x", "y"], heads[0])
    write(tmp_path / "b.h5", ["p", "q", "r"], heads[1])
    merge_stores([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "ab.h5")
    merge_stores([tmp_path / "b.h5", tmp_path / "a.h5"], tmp_path / "ba.h5")
    assert (tmp_path / "ab.h5").read_bytes() == (tmp_path / "ba.h5").read_bytes()
    with open_store(tmp_path / "ab.h5") as reader:
        assert reader.ids == ("p", "q", "r", "x", "y")
        assert reader.header.provenance["selection"]["count"] == 5
        assert [one["count"] for one in reader.header.provenance["merged"]] == [2, 3]


def test_failures_are_carried_over(tmp_path: Path, shards: list[Path]) -> None:
    with Writer(tmp_path / "f.h5", header(), [*IDS, "zz"], overwrite=True) as writer:
        for id in [*IDS, "zz"]:
            writer.fail(id, "bad")
        writer.finish()
    merge_stores([tmp_path / "f.h5"], tmp_path / "m.h5")
    with open_store(tmp_path / "m.h5") as reader:
        assert reader.failures == dict.fromkeys(sorted([*IDS, "zz"]), "bad")
    with pytest.raises(StoreError, match="both hold"):
        merge_stores([shards[0], tmp_path / "f.h5"], tmp_path / "m2.h5")


def test_merge_overwrites_only_when_asked(tmp_path: Path, shards: list[Path], undisturbed: bytes) -> None:
    with pytest.raises(UsageError, match="other images"):
        merge_stores(shards, shards[0])
    assert merge_stores(shards, shards[0], overwrite=True)
    assert shards[0].read_bytes() == undisturbed
    with Writer(tmp_path / "begun.h5", header(), IDS) as writer:
        writer.write(record("b"))
    with pytest.raises(UsageError, match="unfinished run"):
        merge_stores(shards[1:], tmp_path / "begun.h5")


def test_a_damaged_record_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", IDS, header("masks"))
    with h5py.File(tmp_path / "a.h5") as file:
        place = file["masks/b"].id.get_chunk_info(0)
    data = bytearray((tmp_path / "a.h5").read_bytes())
    data[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    (tmp_path / "a.h5").write_bytes(data)
    with open_store(tmp_path / "a.h5") as reader, pytest.raises(StoreError, match=r"'b' is damaged"):
        reader.read("b")


class Reluctant(io.BytesIO):
    """Takes at most 7 bytes at a time, and after `limit` writes fails."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def write(self, data: Any) -> int:
        self.limit -= 1
        if self.limit < 0:
            raise KeyboardInterrupt
        return super().write(data[:7])


def test_the_sink_writes_all_or_says_why_not() -> None:
    with h5py.File(sink := Sink(whole := Reluctant(10**6)), "w") as file:
        file["x"] = np.arange(100)
    sink.check()
    with h5py.File(io.BytesIO(whole.getvalue())) as file:
        assert file["x"][99] == 99
    for limit in range(0, 200, 20):
        with h5py.File(sink := Sink(Reluctant(limit)), "w") as file:
            file["x"] = np.arange(100)
        with pytest.raises(KeyboardInterrupt):
            sink.check()


class Pipe(io.BytesIO):
    """A stream that cannot seek, as pipes cannot."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError("pipes do not seek")


def test_a_store_goes_through_a_pipe(tmp_path: Path, undisturbed: bytes) -> None:
    sent = Pipe()
    send_store(tmp_path / "undisturbed.h5", sent)
    with receive_store(Pipe(sent.getvalue())) as path:
        assert path.read_bytes() == undisturbed
        with open_store(path) as reader:
            assert len(reader) == len(IDS)
    assert not path.exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "held no store"), (b"<html>", "a web page"), (b"id\tcat\n", "not an HDF5 file")],
)
def test_what_is_no_store_is_refused_at_once(data: bytes, words: str) -> None:
    with pytest.raises(StoreError, match=words), receive_store(Pipe(data)):
        pass


def test_errors_do_not_speak_of_the_temporary_file(tmp_path: Path, undisturbed: bytes) -> None:
    def heard(data: bytes) -> str:
        with pytest.raises(StoreError) as caught, receive_store(io.BytesIO(data)) as path:
            open_store(path, name="standard input").read("nobody")
        assert str(path) not in str(caught.value)
        return str(caught.value)

    assert heard(undisturbed) == "standard input has no record of 'nobody'"
    assert heard(undisturbed[: len(undisturbed) // 2]).startswith("standard input is truncated")
    assert heard(undisturbed.replace(b"complete", b"complexe")).startswith("standard input is damaged")


def test_a_reader_that_goes_away(tmp_path: Path, undisturbed: bytes) -> None:
    receiving, sending = os.pipe()
    os.close(receiving)
    stream = os.fdopen(sending, "wb", buffering=0)
    with stream, pytest.raises(OutputError, match="use --out FILE"):
        send_store(tmp_path / "undisturbed.h5", stream)


def test_a_slow_real_pipe(tmp_path: Path, undisturbed: bytes) -> None:
    receiving, sending = os.pipe()
    with os.fdopen(sending, "wb") as target, os.fdopen(receiving, "rb") as source:

        def send() -> None:
            with target:
                for byte in range(0, len(undisturbed), 700):
                    target.write(undisturbed[byte : byte + 700])
                    target.flush()

        thread = threading.Thread(target=send)
        thread.start()
        with receive_store(source) as path:
            assert path.read_bytes() == undisturbed
        thread.join()


def test_differences_are_said_in_words() -> None:
    def made(**changes: object) -> dict:
        fields = {"parameters": {"scales": (1, 0.5), "flip": True}, "checkpoint": {"path": "a.pth", "sha256": "1"}}
        return stage("cam", **{**fields, **changes})  # type: ignore[arg-type]

    assert difference(made(), made()) is None
    flipped = made(parameters={"scales": (1,), "flip": False})
    assert difference(made(), flipped) == "--flip was on and is now off; --scales was 1,0.5 and is now 1"
    assert difference(made(), made(checkpoint={"path": "b.pth", "sha256": "2"})) == (
        "the checkpoint was a.pth and is now b.pth"
    )
    assert difference(made(), made(checkpoint={"path": "a.pth", "sha256": "2"})) == "the checkpoint is another one"
    assert difference(made(), made(selection={"count": 2, "sha256": "x"})) == (
        "the images or their labels changed (0 then, 2 now)"
    )
    assert difference(made(), made(selection={"count": 2, "sha256": "x"}), selection=False) is None
    above = [stage("crf", {"min_size": 1}, parents=[made(parameters={"x": n})]) for n in range(2)]
    assert difference(*above) == "in the input store (cam), --x was 0 and is now 1"
    here = difference(made(), flipped, names=("a.h5", "b.h5"))
    assert here == "--flip is on in a.h5 and off in b.h5; --scales is 1,0.5 in a.h5 and 1 in b.h5"
    assert difference(made(), made(selection={"count": 2, "sha256": "x"}), names=("a.h5", "b.h5")) == (
        "the images or their labels differ (0 in a.h5, 2 in b.h5)"
    )
    assert difference(*above, names=("a.h5", "b.h5")) == "in the input store (cam), --x is 0 in a.h5 and 1 in b.h5"
    assert "2 more" in str(difference(made(parameters={}), made(parameters=dict.fromkeys("abcde", 1))))


def test_provenance_needs_no_torch_and_is_plain(tmp_path: Path) -> None:
    code = "import sys, camkit.store; assert 'torch' not in sys.modules; print(camkit.store.stage('x', {})['versions'])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "torch" in said
    found = stage("cam", {"path": Path("a"), "n": np.int64(3), "s": (1, np.float32(0.5))})
    assert found["parameters"] == {"path": "a", "n": 3, "s": [1, 0.5]}
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf")
    with pytest.raises(InputError, match="cannot be read"):
        sha256_file(tmp_path / "missing")

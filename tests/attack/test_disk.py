"""A disk that is full at any single write loses nothing: the same command, run again, gives the same bytes."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camkit import temporary
from camkit.data.exchange.png import write_png
from camkit.data.exchange.writing import OneFile
from camkit.errors import OutputError
from camkit.pipeline.folder_sink import FolderSink, Maker
from camkit.store import Header, join, merge_stores, parts
from camkit.training.folder import TrainingFolder
from camkit.types import Activation, no_classes
from tests.attack.test_inputs import RUN
from tests.store.conftest import IDS, write


class Disk:
    """Counts writes; the one that is to fail takes half of what it is given, the next says that the disk is full."""

    def __init__(self) -> None:
        self.writes, self.full_at = 0, -1

    def of(self, stream: Any) -> Any:
        disk = self

        class Stream:
            def write(self, data: Any) -> int:
                disk.writes += 1
                if disk.full_at == disk.writes:
                    stream.write(bytes(memoryview(data).cast("B"))[: len(data) // 2])
                    raise OSError(errno.ENOSPC, "No space left on device")
                return int(stream.write(data))

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                stream.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(stream, name)

        return Stream()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    fresh, new = temporary.open_fresh, temporary._new
    for place in (parts, join):
        monkeypatch.setattr(place, "open_fresh", lambda path: made.of(fresh(path)))
    monkeypatch.setattr(temporary, "_new", lambda name: made.of(new(name)))
    monkeypatch.setattr("os.fsync", lambda number: None)
    return made


def store(folder: Path) -> bytes:
    write(folder / "a.h5", IDS, part_records=3)
    return (folder / "a.h5").read_bytes()


def merged(folder: Path) -> bytes:
    store(folder)
    merge_stores([folder / "a.h5"], folder / "b.h5")
    return (folder / "b.h5").read_bytes()


def pictures(folder: Path) -> bytes:
    maker = Maker("camkit mask", "camkit masks", "masks")
    with FolderSink(folder / "m", OneFile(".png", write_png), Header("masks", ("cat",), "", RUN), "ab", maker) as sink:
        for id in "ab":
            if id not in sink.done:
                sink.write(Activation(id, np.eye(9, dtype=np.uint8), no_classes(), (9, 9)))
        sink.finish()
    return b"".join((folder / "m" / name).read_bytes() for name in ("a.png", "b.png", "camkit.json"))


def training(folder: Path) -> bytes:
    opened = TrainingFolder(folder / "n.safetensors")
    opened.begin(RUN, overwrite=False)
    try:
        opened.save_state({"state": {"epoch": 1}})
        opened.write_history([{"epoch": 1.0}])
        opened.best.write_bytes(b"best")
        opened.publish()
    finally:
        opened.release()
    return b"".join((folder / name).read_bytes() for name in ("n.curve.csv", "n.safetensors"))


@pytest.mark.parametrize("work", [store, merged, pictures, training])
def test_a_disk_that_is_full_at_any_write(disk: Disk, tmp_path: Path, work: Callable[[Path], bytes]) -> None:
    (tmp_path / "whole").mkdir()
    expected, lost = work(tmp_path / "whole"), []
    writes = disk.writes
    for at in range(1, writes + 1):
        folder = tmp_path / str(at)
        folder.mkdir()
        disk.writes, disk.full_at = 0, at
        with pytest.raises(OutputError):
            work(folder)
        disk.full_at = -1
        if work(folder) != expected or [path for path in folder.rglob("*") if path.suffix == ".tmp"]:
            lost.append(at)
    print(f"\ndisk full, {work.__name__} | {writes} | {writes - len(lost)} | {len(lost)}")
    assert writes > 2
    assert not lost


def test_a_page_that_was_killed_while_it_was_written_leaves_nothing(tmp_path: Path) -> None:
    name, stream = temporary.open_unfinished(tmp_path / "report.html")
    stream.close()  # as the kernel does
    assert name.exists()
    again, stream = temporary.open_unfinished(tmp_path / "report.html")
    assert again == name
    beside, other = temporary.open_unfinished(tmp_path / "report.html")
    assert beside != again
    for one in (stream, other):
        one.close()


def test_no_temporary_name_leads_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    for name in (tmp_path / "run.json.tmp", temporary.open_unfinished(tmp_path / "page")[0]):
        name.unlink(missing_ok=True)
        name.symlink_to(tmp_path / "precious")
    parts.write_atomically(tmp_path / "run.json", json.dumps({}).encode())
    _, stream = temporary.open_unfinished(tmp_path / "page")
    stream.write(b"x")
    stream.close()
    assert (tmp_path / "precious").read_text() == "mine"

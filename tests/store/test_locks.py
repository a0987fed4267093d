"""Where the file system has no locks, a file that only one process can create stands for each."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from camkit.errors import OutputError
from camkit.store import Writer, open_store
from camkit.store.locks import HELD, Lock
from camkit.training.folder import TrainingFolder
from tests.store.conftest import IDS, header, record, write


@pytest.fixture(autouse=True)
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(number: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_one_process_has_it(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "a", wait=False)
    with pytest.raises(BlockingIOError, match="if that is gone, remove"):
        Lock(tmp_path / "a", wait=False)
    lock.release()
    Lock(tmp_path / "a", wait=True).release()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_process_left_is_taken_over_here_and_told_elsewhere(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    held = tmp_path / f"a{HELD}"
    for text in (f"process {gone.pid} on {socket.gethostname()}, begun 17",
                 f"process {os.getpid()} on {socket.gethostname()}, begun 17"):  # fmt: skip
        held.write_text(text)
        Lock(tmp_path / "a", wait=False).release()
        assert not held.exists()
    for text in ("process 1 on another, begun 17", "", "nonsense"):
        held.write_text(text)
        with pytest.raises(BlockingIOError):
            Lock(tmp_path / "a", wait=False)
        assert held.read_text() == text


def test_stores_and_trainings_are_written_all_the_same(tmp_path: Path, undisturbed: bytes) -> None:
    out = tmp_path / "a.h5"
    with Writer(out, header(), IDS, shard=(0, 2)) as first:
        with pytest.raises(OutputError, match=f"is being written by process .*\nif it is gone, remove .*{HELD}"):
            Writer(out, header(), IDS, shard=(0, 2))
        assert not write(out, IDS, shard=(1, 2))
        for id in sorted(IDS)[::2]:
            first.write(record(id))
        assert first.finish()
    assert out.read_bytes() == undisturbed
    assert not out.with_name("a.h5.parts").exists()
    folder = TrainingFolder(tmp_path / "n.safetensors")
    folder.begin({"command": "x"}, overwrite=False)
    with pytest.raises(OutputError, match="being trained by another process"):
        TrainingFolder(tmp_path / "n.safetensors").begin({"command": "x"}, overwrite=False)
    folder.release()
    assert not folder.path.exists()


def test_a_rank_that_was_killed_and_another_number_of_ranks(tmp_path: Path, undisturbed: bytes) -> None:
    """Uneven shards, one of them left half done; three ranks began, two end it."""
    out = tmp_path / "a.h5"
    write(out, IDS, shard=(0, 3))
    with Writer(out, header(), IDS, shard=(2, 3), part_records=1) as killed:
        killed.write(record(sorted(IDS)[2]))
    for rank in (0, 1):
        write(out, IDS, shard=(rank, 2))
    assert out.read_bytes() == undisturbed
    with open_store(out) as store:
        assert len(store) == len(IDS)

"""Kills, several writers, and disks that refuse: in processes of their own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from camkit.store import open_store
from tests.store.conftest import write

IDS = [f"{number % 3}/{number:03d}" for number in range(60)]
SCRIPT = """
import json, resource, sys, time
from pathlib import Path
from camkit.errors import CamkitError
from camkit.store import Writer, shard_ids
from tests.store.conftest import header, record
from tests.store.test_processes import IDS

out, options = Path(sys.argv[1]), json.loads(sys.argv[2])
shard = tuple(options.get("shard", (0, 1)))
if "limit" in options:
    resource.setrlimit(resource.RLIMIT_FSIZE, (options["limit"],) * 2)
try:
    with Writer(out, header(), IDS, shard=shard, part_records=options.get("part", 4)) as writer:
        print("done", *sorted(writer.done), flush=True)
        for id in shard_ids(IDS, shard):
            if id not in writer.done:
                time.sleep(options.get("pause", 0))
                writer.write(record(id))
        print("joined", writer.finish(), flush=True)
except CamkitError as error:
    print(type(error).__name__, error)
    sys.exit(9)
"""


def start(out: Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out), json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("wanted") / "a.h5"
    write(out, IDS)
    return out.read_bytes()


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path, wanted: bytes) -> None:
    out, chance, kills, held = tmp_path / "a.h5", random.Random(1), 0, set[str]()
    while True:
        process = start(out, pause=0.01 if kills < 12 else 0, part=3)
        assert process.stdout is not None
        done = set(process.stdout.readline().split()[1:])
        assert held <= done
        held = done
        time.sleep(chance.uniform(0, 0.12))
        if kills < 15 and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        rest = process.communicate(timeout=60)[0]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, rest
    assert kills >= 5
    assert out.read_bytes() == wanted
    assert write(out, IDS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_a_second_writer_is_told_who_is_first(tmp_path: Path, wanted: bytes) -> None:
    first = start(tmp_path / "a.h5", pause=0.05)
    assert first.stdout is not None
    first.stdout.readline()
    second = start(tmp_path / "a.h5")
    said = second.communicate(timeout=60)[0]
    assert second.returncode == 9
    assert f"being written by process {first.pid} on " in said
    assert "joined True" in first.communicate(timeout=60)[0]
    assert (tmp_path / "a.h5").read_bytes() == wanted


def test_many_shards_at_once(tmp_path: Path, wanted: bytes) -> None:
    processes = [start(tmp_path / "a.h5", shard=(n, 5), part=2) for n in range(5)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 5, said
    assert (tmp_path / "a.h5").read_bytes() == wanted
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("limit", [1_000, 12_000])
def test_a_file_size_limit_is_an_ordinary_error(tmp_path: Path, wanted: bytes, limit: int) -> None:
    process = start(tmp_path / "a.h5", limit=limit)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 9, said
    assert "OutputError" in said
    assert "larger than the limit" in said
    assert len(said.splitlines()) == 3  # done, and the two lines of the message: HDF5 adds no noise of its own
    assert not (tmp_path / "a.h5").exists()
    again = start(tmp_path / "a.h5")
    done = set(again.communicate(timeout=60)[0].splitlines()[0].split()[1:])
    assert done == (set(IDS) if limit > 1_000 else set())
    assert (tmp_path / "a.h5").read_bytes() == wanted


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_while_joining(tmp_path: Path, wanted: bytes) -> None:
    code = """
import sys
from pathlib import Path
from camkit.errors import OutputError
from camkit.store import Writer, join, shard_ids
from tests.store.conftest import header, record
from tests.store.test_processes import IDS
with Writer(Path(sys.argv[1]), header(), IDS) as writer:
    for id in IDS:
        writer.write(record(id))
    join.open_fresh = lambda path: open("/dev/full", "r+b", buffering=0)
    try:
        writer.finish()
    except OutputError as error:
        print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.h5")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert "the disk is full" in said.stdout
    assert said.stderr == ""
    assert not (tmp_path / "a.h5").exists()
    assert write(tmp_path / "a.h5", IDS)
    assert (tmp_path / "a.h5").read_bytes() == wanted


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system nobody may write to")
def test_a_file_system_that_takes_no_files(tmp_path: Path) -> None:
    said = start(Path("/proc/a.h5")).communicate(timeout=60)[0]
    assert "OutputError /proc/a.h5.parts cannot be written" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", IDS)
    tmp_path.chmod(0o555)
    try:
        said = start(tmp_path / "b.h5").communicate(timeout=60)[0]
        assert "OutputError" in said
        assert "permission denied" in said
        assert "joined True" in start(tmp_path / "a.h5").communicate(timeout=60)[0]
    finally:
        tmp_path.chmod(0o755)


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    code = """
import os, signal, sys, time
from pathlib import Path
from camkit.store import Writer
from tests.store.conftest import header
from tests.store.test_processes import IDS
writer = Writer(Path(sys.argv[1]), header(), IDS)
child = os.fork()
if child == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.h5")]
    child = int(subprocess.run(command, stdout=subprocess.PIPE, check=False, cwd=Path(__file__).parents[2]).stdout)
    try:
        assert write(tmp_path / "a.h5", IDS)
    finally:
        os.kill(child, signal.SIGKILL)


def test_readers_of_an_unfinished_store_are_told(tmp_path: Path) -> None:
    process = start(tmp_path / "a.h5", pause=0.02)
    assert process.stdout is not None
    process.stdout.readline()
    said = subprocess.run(
        [sys.executable, "-c", f"from camkit.store import open_store; open_store({str(tmp_path / 'a.h5')!r})"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "not finished yet" in said.stderr
    process.communicate(timeout=60)
    with open_store(tmp_path / "a.h5") as reader:
        assert len(reader) == len(IDS)

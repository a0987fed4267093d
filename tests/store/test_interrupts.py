"""An interrupt at any instant of writing, and another run: the store is as if there had been none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import h5py
import pytest

from camkit.store import Writer
from camkit.store.durable import DurableWriter
from camkit.store.join import join_files, part_of
from camkit.store.parts import Parts, write_atomically
from tests.store.conftest import header, record
from tests.support.interrupts import codes_of, places_that_differ

IDS = ("a/b", "c", "d", "e")
FAILED = "d"
CORE = codes_of(DurableWriter._keep, DurableWriter._flush, DurableWriter._publish)
WRITING = codes_of(
    DurableWriter.fail, DurableWriter._flush_if_due, DurableWriter.__exit__, Writer.write, Writer._write_part,
    Parts.add, write_atomically, part_of,
)  # fmt: skip
ENDING = codes_of(Writer.finish, Writer._join, Writer._check_all, join_files, Parts.remove, Parts.clear)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    monkeypatch.setattr("os.fsync", lambda number: None)  # an interrupt takes nothing from the disk
    numbers = count()
    return lambda: tmp_path / f"{next(numbers)}.h5"


def run(out: Path) -> bytes:
    """What is at `out` in the end; a part for every two images."""
    with Writer(out, header(), IDS, part_records=2, part_seconds=1e9) as writer:
        for id in IDS:
            if id in writer.done:
                continue
            writer.fail(id, "no") if id == FAILED else writer.write(record(id))
        assert writer.finish()
    assert not out.with_name(f"{out.name}.parts").exists()
    return out.read_bytes()


@pytest.mark.slow
def test_while_images_are_written(fresh: Callable[[], Path]) -> None:
    instants, places = places_that_differ(run, fresh, WRITING, CORE)
    assert instants > 30
    assert not places


@pytest.mark.slow
def test_while_the_store_is_joined(fresh: Callable[[], Path]) -> None:
    instants, places = places_that_differ(run, fresh, ENDING)
    assert instants > 30
    assert not places


def published_twice(out: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The ids in each part after an interrupt that came when the first was published."""
    add = Parts.add

    def interrupted_add(self: Parts, data: bytes, shard: tuple[int, int]) -> Path:
        add(self, data, shard)
        monkeypatch.setattr(Parts, "add", add)
        raise KeyboardInterrupt

    monkeypatch.setattr(Parts, "add", interrupted_add)
    with pytest.raises(KeyboardInterrupt):
        run(out)
    for path in Parts(out).files():
        with h5py.File(path) as file:
            yield set(file["maps/a"]) | set(file["maps"])


def test_a_part_that_is_published_twice_counts_once(fresh: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    out = fresh()
    first, second = published_twice(out, monkeypatch)
    assert first == second
    assert run(out) == run(fresh())

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import ImageError, InputError, StoreError
from camkit.pipeline.load import Failure, batches_by_size, load_ahead
from camkit.pipeline.progress import Silent
from camkit.pipeline.run import fold_records, map_records
from camkit.types import Activation, Record, no_classes


def record(id: str, size: tuple[int, int] = (4, 4)) -> Record:
    return Record(id, size, image=np.zeros((*size, 3), np.uint8))


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.failed: dict[str, str] = {}

    def write(self, activation: Activation) -> None:
        if activation.id == "nan":
            raise StoreError("values are not finite")
        self.written.append(activation.id)

    def fail(self, id: str, message: str) -> None:
        self.failed[id] = message


def step(batch: Sequence[Record]) -> list[Activation]:
    if any(r.id.startswith("bad") for r in batch):
        raise ImageError("cannot be read")
    if any(r.id.startswith("huge") for r in batch):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if any(r.id.startswith("bug") for r in batch):
        raise IndexError("off by one")
    if any(r.id.startswith("thin") for r in batch):
        raise RuntimeError("Output size is too small\nand more")
    return [Activation(r.id, np.zeros((0, 1, 1)), no_classes(), r.size) for r in batch]


def test_loading_keeps_the_order_and_stays_ahead_by_a_bounded_number() -> None:
    started: list[int] = []

    def load(n: int) -> Record:
        started.append(n)
        time.sleep(0.001 * (n % 3))
        return record(str(n))

    loaded = load_ahead(range(50), load, workers=3)
    for n, item in enumerate(loaded):
        assert isinstance(item, Record)
        assert item.id == str(n)
        assert len(started) <= n + 3 + 2 + 2


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_while_loading_surfaces(workers: int) -> None:
    def load(n: int) -> Record:
        if n == 3:
            raise KeyError("a bug in the loader")
        return record(str(n))

    loaded = load_ahead(range(6), load, workers=workers)
    assert [next(loaded) for _ in range(3)]
    with pytest.raises(KeyError, match="a bug in the loader"):
        next(loaded)


def test_leaving_early_ends_the_threads() -> None:
    loaded = load_ahead(range(1000), lambda n: record(str(n)), workers=4)
    next(loaded)
    loaded.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("camkit-load")]


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 5), st.integers(1, 4))
def test_batches_hold_one_size_and_lose_nothing(sizes: list[int], batch_size: int, waiting: int) -> None:
    records = [record(str(n), (size + 1, 5)) for n, size in enumerate(sizes)]
    held = 0
    drawn: list[str] = []

    def counted() -> Iterator[Record]:
        nonlocal held
        for r in records:
            held += 1
            yield r

    for batch in batches_by_size(counted(), batch_size, waiting):
        assert not isinstance(batch, Failure)
        assert 1 <= len(batch) <= batch_size
        assert len({r.size for r in batch}) == 1
        assert held <= waiting * batch_size
        held -= len(batch)
        drawn.extend(r.id for r in batch)
    assert sorted(drawn) == sorted(r.id for r in records)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_failures_are_recorded_by_id_and_the_rest_is_done(batch_size: int) -> None:
    sink = Kept()
    items = [
        record("a"),
        record("bad1"),
        Failure("gone", ImageError("no such file")),
        record("huge"),
        record("thin"),
        record("nan"),
        record("b"),
    ]
    map_records(items, step, sink, progress=Silent(), batch_size=batch_size)
    assert sorted(sink.written) == ["a", "b"]
    assert sink.failed.keys() == {"bad1", "gone", "huge", "thin", "nan"}
    assert sink.failed["bad1"] == "cannot be read"
    assert "out of memory" in sink.failed["huge"]
    assert sink.failed["thin"] == "the network fails on this image of 4x4: Output size is too small"


def test_on_error_stop_raises_the_first_failure_with_its_id() -> None:
    sink = Kept()
    with pytest.raises(ImageError, match="bad1: cannot be read"):
        map_records([record("a"), record("bad1"), record("b")], step, sink, progress=Silent(), on_error="stop")
    assert sink.written == ["a"]


def test_a_bug_is_no_failure_of_an_image() -> None:
    with pytest.raises(IndexError) as caught:
        map_records([record("bug")], step, Kept(), progress=Silent())
    assert "bug" in caught.value.__notes__[0]


class Count:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def update(self, r: Record) -> None:
        if r.id == "bad":
            raise InputError("of another size")
        self.ids.append(r.id)

    def compute(self) -> int:
        return len(self.ids)


def test_fold_gives_the_result_and_the_failures() -> None:
    items = [record("a"), record("bad"), Failure("gone", ImageError("no such file")), record("b")]
    assert fold_records(items, Count(), progress=Silent()) == (2, {"bad": "of another size", "gone": "no such file"})
    with pytest.raises(InputError, match="bad: of another size"):
        fold_records(items, Count(), progress=Silent(), on_error="stop")


class Sum:
    """Of the pixels of photos, in whole numbers."""

    def __init__(self) -> None:
        self.sum, self.names = 0, set[str]()

    def update(self, record: Record) -> None:
        if record.id == "bad":
            raise InputError("of another size")
        time.sleep(0.001)
        self.sum += record.size[0]
        self.names.add(threading.current_thread().name)

    def merge(self, other: Sum) -> None:
        self.sum += other.sum
        self.names |= other.names

    def compute(self) -> tuple[int, int]:
        return self.sum, len(self.names)


def test_reducers_in_threads_are_merged() -> None:
    items = [record(str(n), (n + 1, 4)) for n in range(40)] + [record("bad")]
    (total, threads), failures = fold_records(items, Sum(), progress=Silent(), others=[Sum(), Sum()])
    assert (total, failures) == (sum(range(41)), {"bad": "of another size"})
    assert threads == 2
    (total, threads), _ = fold_records(items, Sum(), progress=Silent())
    assert (total, threads) == (sum(range(41)), 1)


def test_short_memory_halves_the_batches_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    sizes: list[int] = []

    def greedy(batch: Sequence[Record]) -> list[Activation]:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(batch)

    sink = Kept()
    map_records((record(str(n)) for n in range(20)), greedy, sink, progress=Silent(), batch_size=8)
    assert sink.written == [str(n) for n in range(20)]
    assert not sink.failed
    assert sizes == [8, 4, 2, 2, 2, 2, *[2] * 6]
    assert [line.message for line in caplog.records] == [
        "out of memory with 8 photos at once; going on with 4 (see --batch-size)",
        "out of memory with 4 photos at once; going on with 2 (see --batch-size)",
    ]

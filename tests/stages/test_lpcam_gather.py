"""The sample that LPCAM clusters, interrupted at any instant: as if there had been no interrupt."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pytest

from camkit.errors import OutputError, StoreError
from camkit.methods.sampling import Reservoir
from camkit.stages import lpcam_gather
from camkit.stages.lpcam_gather import SampleWriter
from camkit.stages.lpcam_sample import Budget, Sample, group_of
from camkit.store import Header
from camkit.store.durable import DurableWriter
from camkit.store.parts import Parts, write_atomically
from camkit.store.prototypes import SIDES, Centres, ClassPrototypes, Gathered, PrototypeStore
from camkit.store.sample import Rows, SeenImage, encode_part, read_features, read_part, read_parts, shrink_part
from camkit.types import Activation
from tests.support.interrupts import codes_of, places_that_differ

IDS = ("a/b", "c", "d", "e", "f", "g")
FAILED = "d"
HEADER = Header("prototypes", ("cat", "dog"), "/photos")
CHANNELS = 4


class Small(Budget):
    """So that rows are left out, parts are shrunk, and a part is two images."""

    rows = 40
    per_group = 15
    part_bytes = 600


BUDGET = Small(1 << 20, CHANNELS)
CORE = codes_of(DurableWriter._keep, DurableWriter._flush, DurableWriter._publish)
WRITING = codes_of(
    DurableWriter.fail, DurableWriter._flush_if_due, DurableWriter.__exit__, SampleWriter.write,
    SampleWriter._write_part, SampleWriter._tidy, Parts.add, write_atomically, shrink_part, encode_part,
)  # fmt: skip
SAMPLING = codes_of(Reservoir, SampleWriter._sampled, SampleWriter._wanted_rows)
ENDING = codes_of(
    SampleWriter.finish, SampleWriter._is_last, SampleWriter.sample, SampleWriter.publish, Parts.remove, Parts.clear
)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    monkeypatch.setattr("os.fsync", lambda number: None)  # an interrupt takes nothing from the disk
    numbers = count()
    return lambda: tmp_path / f"{next(numbers)}.h5"


def activation(id: str) -> Activation:
    """A function of the id alone: features, and two classes' foregrounds."""
    draw = np.random.default_rng(IDS.index(id))
    values = draw.random((CHANNELS + 2, 4, 5), np.float32)
    values[CHANNELS:] = values[CHANNELS:] > 0.6
    return Activation(id, values, np.array([0, 1]), (40, 50))


def prototypes_of(sample: Sample) -> PrototypeStore:
    """Each sampled feature is its own centre."""

    def centres(group: int) -> Centres:
        found = sample.features(group)
        about = Gathered(found.total, len(found.values), 0, converged=True)
        return Centres(found.values, found.cells % 2 == 0, counts=found.images, gathered=about)

    of_class = {
        number: ClassPrototypes(*(centres(group_of(number, side == "context")) for side in SIDES)) for number in (0, 1)
    }
    return PrototypeStore(HEADER, of_class, CHANNELS, sample.failures)


def run(out: Path) -> bytes:
    with SampleWriter(out, HEADER, IDS, BUDGET, seed=0) as writer:
        for id in IDS:
            if id in writer.done:
                continue
            writer.fail(id, "no") if id == FAILED else writer.write(activation(id))
        if writer.finish() and not writer.finished:
            writer.publish(prototypes_of(writer.sample()))
    assert not out.with_name(f"{out.name}.parts").exists()
    return out.read_bytes()


def test_rows_are_left_out_and_parts_shrunk(fresh: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests below would show little."""
    called = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: called.append(function.__name__) or function(*arguments)

    monkeypatch.setattr(lpcam_gather, "shrink_part", watched(shrink_part))
    monkeypatch.setattr(Parts, "add", watched(Parts.add))
    run(fresh())
    assert called.count("shrink_part") > 0
    assert called.count("add") > 2


@pytest.mark.slow
@pytest.mark.parametrize("codes", [CORE | WRITING, SAMPLING, ENDING], ids=["writing", "sampling", "ending"])
def test_interrupted_at_any_instant(fresh: Callable[[], Path], codes: frozenset[CodeType]) -> None:
    instants, places = places_that_differ(run, fresh, codes, CORE & codes)
    assert instants > 20
    assert not places


def test_a_part_without_an_image_that_a_later_one_tells_of(tmp_path: Path) -> None:
    image = {id: SeenImage(id, (40, 50), (4, 5), {0: 9}) for id in "abc"}

    def part(name: str, ids: str, cells: int) -> Path:
        rows = Rows.joined(
            [Rows.of_image(n, 0, np.arange(3, dtype=np.uint64) + 9 * n, np.arange(3) + cells) for n in range(len(ids))]
        )
        features = np.repeat(rows.cells[:, None], CHANNELS, 1).astype(np.float32)
        path = tmp_path / name
        path.write_bytes(encode_part([image[id] for id in ids], {}, rows, features)[0])
        return path

    old, new = part("old", "abc", 0), part("new", "b", 10)
    first, second = read_parts([old, new])
    assert [image.id for image in first.images] == ["a", "c"]
    assert first.rows.images.tolist() == [0, 0, 0, 1, 1, 1]
    assert [image.id for image in second.images] == ["b"]
    assert np.array_equal(read_features(first, first.span(0, np.uint64(1 << 40)))[:, 0], [0, 1, 2, 0, 1, 2])
    smaller = shrink_part(first, np.array([True, False, True, False, False, True]))
    assert smaller.images == first.images
    again = read_part(old)
    assert again.images == first.images
    assert again.rows.cells.tolist() == [0, 2, 2]
    nothing, _ = read_parts([old, part("newest", "ac", 20)])
    assert len(nothing.rows) == len(read_features(nothing, slice(None))) == 0


def test_rows_of_an_image_that_a_part_does_not_name(tmp_path: Path) -> None:
    rows = Rows.of_image(1, 0, np.arange(3, dtype=np.uint64), np.arange(3))
    image = SeenImage("a", (40, 50), (4, 5), {0: 9})
    (tmp_path / "part").write_bytes(encode_part([image], {}, rows, np.zeros((3, CHANNELS), np.float32))[0])
    with pytest.raises(OutputError, match="rows of an image that it does not name\nremove that part"):
        read_parts([tmp_path / "part"])


def test_an_image_is_sampled_once(tmp_path: Path) -> None:
    with SampleWriter(tmp_path / "p.h5", HEADER, IDS, BUDGET, seed=0) as writer:
        writer.write(activation("c"))
        with pytest.raises(StoreError, match="the record of 'c' was written already"):
            writer.write(activation("c"))
        with pytest.raises(StoreError, match="'z' is not among the ids"):
            writer.fail("z", "no")

"""A folder as a sink: it goes on, it knows its own files, and it touches no others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camkit.data.exchange.png import write_png
from camkit.data.exchange.writing import OneFile
from camkit.errors import OutputError, UsageError
from camkit.pipeline.folder_sink import FolderSink, Maker
from camkit.store import Header, stage
from camkit.types import Activation, no_classes

IDS = ("a", "b/c", "d")
PNG = OneFile(".png", write_png)
MAKER = Maker("camkit mask", "camkit masks", "masks")


def header(threshold: float = 0.3) -> Header:
    return Header("masks", ("cat", "dog"), "", stage("mask", {"threshold": threshold}))


def sink(folder: Path, ids: Sequence[str] = IDS, threshold: float = 0.3, **options: Any) -> FolderSink:
    return FolderSink(folder, PNG, header(threshold), ids, MAKER, **options)


def fill(folder: Path, ids: Sequence[str] = IDS, count: int = 99, **options: Any) -> list[str]:
    """Write so many files, then stop; or all, and finish. Which were written."""
    with sink(folder, ids, **options) as opened:
        todo = [id for id in opened.own if id not in opened.done][:count]
        if opened.finished:
            return []
        for id in todo:
            mask = np.full((2, 3), IDS.index(id) % 3, np.uint8)
            opened.write(Activation(id, mask, no_classes(), (2, 3)))
        if len(opened.done) + len(todo) == len(opened.own):
            assert opened.finish()
    return todo


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


def memo(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "camkit.json").read_text())
    return found


def make_old(folder: Path) -> None:
    """As folders of masks were before their memos named the files."""
    old = {"format": "camkit masks", "classes": ["cat", "dog"], "provenance": header().provenance}
    (folder / "camkit.json").write_text(json.dumps(old, indent=1) + "\n")


def test_a_run_that_stopped_goes_on(tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    assert fill(tmp_path / "out", count=1) == ["a"]
    assert memo(tmp_path / "out")["complete"] is False
    assert fill(tmp_path / "out") == ["b/c", "d"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert sink(tmp_path / "out").finished
    assert fill(tmp_path / "out") == []


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    with sink(tmp_path / "out", ["a"]) as opened:
        opened.fail("a", "no")
        assert opened.finish()
        assert opened.failures == {"a": "no"}
    assert not sink(tmp_path / "out", ["a"]).finished
    assert fill(tmp_path / "out", ["a"]) == ["a"]


def test_another_run_is_refused_until_overwrite(tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(UsageError, match=r"holds masks of another run: --threshold was 0\.3 and is now 0\.5\ngive --o"):
        sink(tmp_path, threshold=0.5)
    (tmp_path / "mine.png").write_bytes(b"precious")
    assert fill(tmp_path, ["d"], threshold=0.5, overwrite=True) == ["d"]
    assert names(tmp_path) == ["camkit.json", "d.png", "mine.png"]
    with pytest.raises(UsageError, match=r"did not write, by its camkit\.json \(mine\.png\)\nremove them"):
        sink(tmp_path, ["d", "mine"], overwrite=True)
    assert (tmp_path / "mine.png").read_bytes() == b"precious"


@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
def test_a_folder_of_somebody_elses(tmp_path: Path, options: dict[str, bool]) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds files that camkit mask did not write \(notes\.txt\); choose another"):
        sink(tmp_path, **options)
    with pytest.raises(OutputError, match=r"notes\.txt is a file; give camkit mask a folder"):
        sink(tmp_path / "notes.txt", **options)
    assert names(tmp_path) == ["notes.txt"]


def test_a_folder_whose_memo_names_no_files_goes_on(tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    fill(tmp_path / "out", count=2)
    make_old(tmp_path / "out")
    assert fill(tmp_path / "out") == ["d"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_folder_whose_memo_names_no_files_is_replaced_if_all_are_known(tmp_path: Path) -> None:
    fill(tmp_path)
    make_old(tmp_path)
    with pytest.raises(UsageError, match=r"did not write, by its camkit\.json \(d\.png\)\nremove them, or choose"):
        sink(tmp_path, ["a", "b/c"], threshold=0.5, overwrite=True)
    assert len(names(tmp_path)) == 4
    assert fill(tmp_path, threshold=0.5, overwrite=True) == [*IDS]
    assert memo(tmp_path)["files"] == ["a.png", "b/c.png", "d.png"]


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "camkit export", "provenance": {}}',
        '{"format": "camkit masks", "provenance": {"command": "mask", "parameters": [1]}}',
        '{"format": "camkit masks", "provenance": 3}',
        '{"format": "camkit masks", "provenance": {}, "files": 0}',
        '{"format": "camkit masks", "provenance": {}, "files": ["../x"]}',
        '{"format": "camkit masks", "provenance": {}, "complete": 3}',
        "[]",
    ],
)
@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
def test_memos_of_others(tmp_path: Path, text: str, options: dict[str, bool]) -> None:
    (tmp_path / "camkit.json").write_text(text)
    with pytest.raises(UsageError, match=r"camkit\.json is not from camkit mask; choose another folder"):
        sink(tmp_path, **options)


def test_memos_that_cannot_be_read(tmp_path: Path) -> None:
    for text in ("[" * 100_000, "{", "\udcff"):
        (tmp_path / "camkit.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(UsageError, match=r"camkit\.json cannot be read: .*; choose another folder"):
            sink(tmp_path)


def test_shards_fill_one_folder(tmp_path: Path) -> None:
    fill(tmp_path / "whole", threshold=0.5)
    fill(tmp_path / "out")
    one, two = sink(tmp_path / "out", threshold=0.5, own=IDS[:2], overwrite=True), {"own": IDS[2:], "threshold": 0.5}
    assert fill(tmp_path / "out", **two, overwrite=True) == ["d"]
    written = (tmp_path / "out/d.png").stat().st_mtime_ns
    with one:
        assert names(tmp_path / "out") == [".camkit.lock", "camkit.json", "d.png"]
    assert fill(tmp_path / "out", threshold=0.5, own=IDS[:2]) == ["a", "b/c"]
    assert (tmp_path / "out/d.png").stat().st_mtime_ns == written
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert sink(tmp_path / "out", **two).finished


def test_one_process_fills_a_folder_or_the_ranks_of_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    with sink(folder):
        for own in (None, ("a",)):
            with pytest.raises(OutputError, match=r"being written by another camkit mask \(process \d+ on"):
                sink(folder, own=own).__enter__()
    with sink(folder, own=("a",)), sink(folder, own=("d",)), pytest.raises(OutputError, match="being written"):
        sink(folder).__enter__()
    assert names(folder) == ["camkit.json"]


def test_what_another_process_has_finished_meanwhile_stays(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    late = sink(folder)
    assert fill(folder) == list(IDS)
    before = contents(folder)
    with late:
        assert late.finished
    assert contents(folder) == before

"""The first thing a newcomer runs."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.cli.main import main
from camkit.data.masks import read_mask
from camkit.errors import CheckpointError
from camkit.models.tensors import read_tensors
from camkit.stages.demo import METHODS, commands_of
from tests.support.world import camkit, said


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    result = camkit("demo", "here", "--scenes", "4", "--full", cwd=folder, fresh=True)
    assert result.returncode == 0, said(result)
    (folder / "table.txt").write_bytes(result.stdout)
    return folder


@pytest.fixture(autouse=True)
def usual_log() -> Iterator[None]:
    """A command in this process sets up the log for itself."""
    log = logging.getLogger("camkit")
    before = log.handlers, log.propagate
    yield
    log.handlers, log.propagate = before
    log.setLevel(logging.NOTSET)


def test_it_prints_one_table_with_a_row_per_method(place: Path) -> None:
    lines = (place / "table.txt").read_text().splitlines()
    assert lines[0].split() == [
        "method", "mIoU", "AP", "precision", "recall", "of", "head", "of", "body", "of", "limb", "seconds",
    ]  # fmt: skip
    assert [line[:14].strip() for line in lines[1:3]] == ["CAM, one scale", "CAM"]
    assert [line[:18].strip() for line in lines[9:12]] == ["InferCam, CRF", "Network", "Network, saliency"]
    figures = [[float(word) for word in line[14:].split()] for line in lines[1:3]]
    assert all(0 < figure <= 100 for row in figures for figure in row[:6])
    # the classifier that comes along has learned something: guessing background alone gives less than 10
    assert min(row[0] for row in figures) > 25


def test_it_leaves_a_page_a_sheet_masks_and_stores_that_others_can_use(place: Path) -> None:
    here = place / "here"
    page = (here / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<article") == 4
    assert min(Image.open(here / "sheet.png").size) > 300
    masks = sorted((here / "masks").glob("*.png"))
    assert len(masks) == 4
    assert any(len(np.unique(read_mask(mask))) > 1 for mask in masks)
    judged = camkit("evaluate", "here/cam.h5", "--gt", "here/world", "--parts", "here/world/Parts", "--json", cwd=place)
    assert judged.returncode == 0, said(judged)
    parts = {row["name"]: row["recall"] for row in json.loads(judged.stdout)["parts"]}
    assert list(parts) == ["head", "body", "limb"]
    assert f"{100 * parts['head']:.1f}" in (place / "table.txt").read_text()


def test_run_again_it_keeps_what_it_has(place: Path) -> None:
    before = {path: path.read_bytes() for path in (place / "here").glob("*.h5")}
    (place / "here/cam.seconds").write_text("")  # as a kill may leave it
    again = camkit("demo", "here", "--scenes", "4", "--full", "--json", cwd=place)
    assert again.returncode == 0, said(again)
    assert {path: path.read_bytes() for path in before} == before
    found = json.loads(again.stdout)
    assert found["images"] == 4
    table = (place / "table.txt").read_text()
    for row in found["methods"]:
        assert f"{100 * row['miou']:.1f}" in table
        assert row["method"] == "CAM" or f"{row['seconds']:.1f}" in table


def test_another_world_in_the_same_place_is_refused_until_it_may_replace(place: Path, tmp_path: Path) -> None:
    place = shutil.copytree(place, tmp_path / "place")
    other = camkit("demo", "here", "--scenes", "2", cwd=place)
    assert other.returncode == 2
    assert "holds another toy world: val 4, now 2" in said(other)
    assert "--overwrite" in said(other)
    replaced = camkit("demo", "here", "--scenes", "2", "--overwrite", "-q", cwd=place)
    assert replaced.returncode == 0, said(replaced)
    assert "2 drawn scenes" in replaced.stdout.decode()
    assert len(list((place / "here/masks").glob("*.png"))) == 2


def test_places_and_numbers_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for arguments, words in (
        (("file",), "file"),
        (("here", "--scenes", "0"), "--scenes"),
        (("here", "--device", "tpu"), "no such device"),
    ):
        result = camkit("demo", *arguments, cwd=tmp_path)
        assert result.returncode in (2, 4), said(result)
        assert words in said(result)
        assert "Traceback" not in said(result)
    assert (tmp_path / "file").read_text() == "mine"


def test_the_commands_that_it_tells_make_the_same_stores(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [line for method in METHODS for line in commands_of(method[1], Path("here"))]
    assert len(told) == len(METHODS) + 1
    again = camkit("demo", "here", "--scenes", "4", cwd=place)
    for line in told:
        assert f"$ {line}\n" in said(again)
    monkeypatch.chdir(place)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for line in told:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, line  # another command would be refused: the store is there


def test_names_of_weights_that_are_not_known_get_a_hint(tmp_path: Path) -> None:
    for name, hint in (
        ("efficientnet-lite", "do you mean efficientnet-lite"),
        ("https://example.org/a.pth", "camkit downloads nothing"),
        ("nothing.pth", "one of toy, "),
    ):
        with pytest.raises(CheckpointError, match=hint):
            read_tensors(Path(name))

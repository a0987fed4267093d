"""What is said of a wrong command line, of files of the wrong kind, and of runs that have not come to their end."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from camkit import Activation, Header, Output, Writer, evaluate_predictions
from camkit.cli.main import main
from camkit.data.masks import write_mask
from camkit.errors import StoreError, UsageError
from camkit.pipeline.output import at_a_path
from camkit.stages.info import describe_file, lines_of
from camkit.stages.show import View, columns_of, show_sheet
from camkit.types import no_classes
from tests.support.world import World

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """A command line in this process: its exit code, and what it says on standard error."""
    log = logging.getLogger("camkit")
    before, handler = (log.handlers, log.propagate, log.level), signal.getsignal(signal.SIGTERM)

    def carry_out(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["camkit", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    yield carry_out
    signal.signal(signal.SIGTERM, handler)
    log.handlers, log.propagate = before[:2]
    log.setLevel(before[2])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("evalute", "x.h5"), "there is no command camkit evalute; do you mean evaluate?"),
        (("refine", "wolk"), "there is no command camkit refine wolk; do you mean walk?"),
        (("cam", "--imags", "x"), "camkit cam has no option --imags; do you mean --images?"),
        (("cam", "--xyzzy"), "camkit cam has no option --xyzzy"),
        (("cam",), "camkit cam needs --images: folder of images"),
        (("cam", "--ckpt"), "--ckpt needs a value"),
        (("cam", "--ckpt", "a", "--images", "b", "--limit", "many"), "--limit many: give a whole number"),
        (("cam", "--ckpt", "a", "--images", "b", "--workers=-1"), "--workers -1: give a whole number from 0"),
        (("mask", "a.h5", "--threshold=3"), "--threshold 3: give a number from 0 to 1"),
        (("cam", "--ckpt", "a", "--images", "b", "--on-error", "go"), "--on-error go: give one of skip, stop"),
        (("demo", "a", "b"), "camkit demo has no use for: b"),
    ],
)
def test_a_wrong_command_line_gets_two_plain_lines(run: Run, words: tuple[str, ...], told: str) -> None:
    code, said = run(*words)
    assert code == 2
    first, second = said.splitlines()
    assert first.startswith(f"error: {told}")
    assert "--help" in second
    assert not any(word in said for word in ("valid", "Input", "pydantic", "Usage", "parse"))


@pytest.mark.parametrize("suffix", ["png", "pth", "safetensors", "html", "csv"])
def test_a_store_is_not_written_under_the_name_of_something_else(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.h5"), at_a_path(Output(tmp_path / f"cams.{suffix}")):
        pass


def test_info_of_photos_and_of_a_voc_root(world: World, tmp_path: Path) -> None:
    facts = describe_file(world.root)
    assert facts["holds"] == "a VOC root"
    assert facts["splits"] == ["train", "val"]
    assert facts["brings"] == ["annotations", "masks"]
    shutil.copytree(world.root / "JPEGImages", tmp_path / "photos")
    assert "  photos: 12 files" in lines_of(describe_file(tmp_path / "photos"))


def store(path: Path, command: str, *, finish: bool = True) -> Path:
    header = Header("masks", ("ant", "bee"), "", {"command": command})
    with Writer(path, header, ["a", "b"]) as writer:
        writer.write(Activation("a", np.ones((4, 6), np.uint8), no_classes(), (4, 6)))
        if finish:
            writer.write(Activation("b", np.ones((4, 6), np.uint8), no_classes(), (4, 6)))
            writer.finish()
    return path


def test_info_of_a_run_that_was_stopped(tmp_path: Path) -> None:
    store(tmp_path / "masks.h5", "mask", finish=False)
    told = [*lines_of(describe_file(tmp_path / "masks.h5"))]
    assert told[1] == "  an unfinished run: masks.h5 is not written yet; 1 of 2 images are done"
    assert "camkit mask" in told[2]
    assert [*lines_of(describe_file(tmp_path / "masks.h5.parts"))] == told


def test_info_of_a_training_that_was_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "mine.safetensors.training"
    folder.mkdir()
    (folder / "curve.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n")
    (folder / "run.json").write_text(json.dumps({"command": "classify-train", "parameters": {"epochs": 9}}))
    told = [*lines_of(describe_file(tmp_path / "mine.safetensors"))]
    assert told[1] == "  an unfinished training: mine.safetensors is not written yet; 2 of 9 epochs are done"
    assert "last.safetensors" in told[3]


def test_two_methods_are_pointed_to_compare(world: World, tmp_path: Path) -> None:
    one, other = store(tmp_path / "one.h5", "mask"), store(tmp_path / "other.h5", "crf")
    with pytest.raises(StoreError, match="--compare"):
        evaluate_predictions([one, other], world.root)


def test_a_folder_of_masks_is_shown(world: World, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for id in world.ids[:2]:
        source = world.root / "SegmentationClass" / f"{id}.png"
        shutil.copy(source, tmp_path / "masks" / source.name)
    with columns_of([tmp_path / "masks"], images=world.root) as columns:
        assert columns[0].name == "masks"
        assert show_sheet(columns, tmp_path / "sheet.png", View(images=world.root)) == 2
    write_mask(tmp_path / "masks" / "stranger.png", np.zeros((4, 4), np.uint8))

"""What a training tells: classes, photos, numbers, how long; and a share of the photos to judge by."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from camkit.cli.commandline import known_name
from camkit.cli.console import EachWarningOnce
from camkit.cli.training_options import OF_CLASSIFIERS, OfRecipe, share_of
from camkit.data.classes import VOC_CLASSES
from camkit.errors import UsageError
from camkit.pipeline.select import Inputs, select
from camkit.settings.option import help_of, options_of
from camkit.settings.recipe import PRESETS, Recipe
from camkit.stages.judge import split
from tests.support.world import World, camkit, said


def test_a_training_tells_classes_photos_recipe_and_time_left(world: World, tmp_path: Path) -> None:
    told = camkit(
        "classify-train", "--images", world.root, "--arch", "toy", "--width", 4, "--epochs", 2, "--lr", 0.001,
        "--optimizer", "adamw", "--resize", 48, "--crop", 32, "--val", "0.25", "--out", "a.safetensors", cwd=tmp_path,
    )  # fmt: skip
    assert told.returncode == 0, said(told)
    words = said(told)
    assert "training on 9 photos, judged by 3" in words
    assert "20 classes: " in words
    assert "recipe: 2 epochs, batches of 32, crops of 32 px, adamw, rate 0.001, cosine (--recipe prints all" in words
    epochs = [line for line in words.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == 2
    assert epochs[0].endswith(" left")
    assert not epochs[1].endswith(" left")


def test_recipe_prints_every_number(tmp_path: Path) -> None:
    words = ("--images", "nowhere", "--out", "a.safetensors", "--preset", "irn", "--epochs", 7, "--recipe")
    told = camkit("classify-train", *words, cwd=tmp_path)
    assert told.returncode == 0, said(told)
    numbers = json.loads(told.stdout)
    assert numbers["epochs"] == 7
    assert numbers["rate"] == PRESETS["irn"].rate
    assert numbers["augmentation"]["crop"] == PRESETS["irn"].augmentation.crop


def test_a_share_is_drawn_by_the_seed_and_not_learned_from(world: World) -> None:
    everything = select(Inputs(world.root), VOC_CLASSES)
    learned, judged = split(everything, 0.25, VOC_CLASSES, seed=0)
    assert judged is not None
    assert len(judged.ids) == 3
    assert sorted((*learned.ids, *judged.ids)) == list(everything.ids)
    assert split(everything, 0.25, VOC_CLASSES, seed=0)[1].ids == judged.ids  # type: ignore[union-attr]
    assert split(everything, 0.25, VOC_CLASSES, seed=1)[1].ids != judged.ids  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="leaves none to learn from"):
        split(select(Inputs(world.root, limit=1), VOC_CLASSES), 0.5, VOC_CLASSES, seed=0)


def test_a_share_is_a_number_that_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert share_of("0.2") == 0.2
    assert share_of("val") is share_of(None) is None
    (tmp_path / "0.2").write_text("a\n")
    assert share_of("0.2") is None
    with pytest.raises(UsageError, match="between 0 and 1"):
        share_of("20")


def test_help_tells_the_numbers_of_the_presets() -> None:
    told = {name: help_of(name, about, OF_CLASSIFIERS) for name, (about, _) in options_of(Recipe).items()}
    assert "finetune" in str(OfRecipe)
    assert all(text.endswith(".") for text in told.values())
    assert "scratch 30" in told["epochs"]
    assert f"irn {PRESETS['irn'].epochs}" in told["epochs"]
    assert "psa on" in told["freeze_norm"]


def test_names_of_other_programs_are_understood() -> None:
    options = {"--rate", "--optimiser"}
    assert known_name("--lr", options) == "--rate"
    assert known_name("--lr=0.1", options) == "--rate=0.1"
    assert known_name("--optimizer", options) == "--optimiser"
    assert known_name("--lr", {"--size"}) == "--lr"
    assert known_name("--lr", {"--lr", "--rate"}) == "--lr"


def test_each_warning_is_said_once() -> None:
    once = EachWarningOnce()

    def record(level: int) -> logging.LogRecord:
        return logging.LogRecord("camkit", level, "", 0, "%s is left out", ("a",), None)

    assert [once.filter(record(logging.WARNING)) for _ in range(3)] == [True, False, False]
    assert [once.filter(record(logging.INFO)) for _ in range(2)] == [True, True]

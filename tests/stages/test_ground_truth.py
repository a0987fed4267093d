"""Ground truth whose numbers mean something else, 8-bit masks of many classes, and classifiers of other classes."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from camkit import Activation, Header, Inputs, Network, Output, Writer, cam, classify, evaluate_predictions
from camkit.data.classes import VOC_CLASSES, read_numbers
from camkit.data.label_formats import mask_rows
from camkit.data.masks import write_mask
from camkit.errors import CheckpointError, LabelError
from camkit.evaluate.confusion import ConfusionAccumulator
from camkit.methods.seeds import classes_of_mask
from camkit.stages.ground_truth import find_truth
from camkit.types import no_classes
from camkit.view import overlay
from tests.models.tiny import tiny_checkpoint
from tests.support.world import World, camkit, said

CLASSES = ("cat", "dog")


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A store of one mask: cats on the left, dogs on the right."""
    values = np.ones((4, 6), np.uint8)
    values[:, 3:] = 2
    with Writer(tmp_path / "masks.h5", Header("masks", CLASSES, ""), ["a"]) as writer:
        writer.write(Activation("a", values, no_classes(), (4, 6)))
        writer.finish()
    return tmp_path / "masks.h5"


def truth_of(folder: Path, left: int, right: int, dtype: type = np.uint8) -> Path:
    values = np.full((4, 6), left, dtype)
    values[:, 3:] = right
    values[0] = np.iinfo(dtype).max
    (folder / "gt").mkdir()
    write_mask(folder / "gt" / "a.png", values)
    return folder / "gt"


@pytest.mark.parametrize(
    "text", ["18 dog\n17 cat\n0 background\n", '{"17": "cat", "18": "dog"}', "17: cat\n18: dog\n99: airship"]
)
def test_numbers_get_the_names_of_a_file(masks: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "numbers.txt").write_text(text)
    truth = truth_of(tmp_path, 17, 18)
    report, failures = evaluate_predictions(masks, truth, truth_classes=str(tmp_path / "numbers.txt"))
    assert not failures
    assert report.miou == 1
    assert report.ignored == pytest.approx(1 / 4)


def test_numbers_without_a_name_are_told(masks: Path, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("17 cat\n")
    _, failures = evaluate_predictions(
        masks, truth_of(tmp_path, 17, 18), truth_classes=str(tmp_path / "numbers.txt")
    )  # fmt: skip
    assert "holds the number 18, which --gt-classes" in failures["a"]


def test_a_file_that_names_other_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("1 house\n2 tree\n")
    with pytest.raises(LabelError, match="names none of the classes cat, dog: house, tree"):
        find_truth(truth_of(tmp_path, 1, 2), str(tmp_path / "numbers.txt"), CLASSES)


def test_names_alone_count_from_one_and_sets_are_known(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("background\ncat\ndog\n")
    assert read_numbers(str(tmp_path / "names.txt")) == {1: "cat", 2: "dog"}
    assert read_numbers("voc")[20] == VOC_CLASSES[-1]
    for text in ("1 cat\n1 dog\n", "99999 cat\n"):
        (tmp_path / "names.txt").write_text(text)
        with pytest.raises(LabelError, match="each number once"):
            read_numbers(str(tmp_path / "names.txt"))


def test_numbers_that_fit_no_class_are_said(masks: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Writer(tmp_path / "cats.h5", Header("masks", CLASSES, ""), ["a"]) as writer:
        writer.write(Activation("a", np.ones((4, 6), np.uint8), no_classes(), (4, 6)))
        writer.finish()
    caplog.set_level(logging.WARNING, logger="camkit")
    evaluate_predictions(tmp_path / "cats.h5", truth_of(tmp_path, 2, 2))
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("by its numbers the ground truth holds dog, the predictions cat: no class in common")
    assert "--gt-classes" in told
    caplog.clear()
    evaluate_predictions(masks, tmp_path / "gt")
    assert not caplog.records


def test_the_command_takes_names_of_numbers(masks: Path, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("17 cat\n18 dog\n")
    truth = truth_of(tmp_path, 17, 18)
    told = camkit("evaluate", masks, "--gt", truth, "--gt-classes", "numbers.txt", "--json", cwd=tmp_path)
    assert told.returncode == 0, said(told)
    assert b'"miou": 1.0' in told.stdout


def test_255_is_void_in_8_bits_whatever_the_number_of_classes(tmp_path: Path) -> None:
    many = 300
    mask = np.array([[0, 7, 255]], np.uint8)
    assert classes_of_mask(mask, many).tolist() == [6]
    assert classes_of_mask(mask.astype(np.uint16), many).tolist() == [6, 254]
    (tmp_path / "m").mkdir()
    write_mask(tmp_path / "m" / "a.png", mask)
    assert [*mask_rows(tmp_path / "m", str, many)] == [("a", (6,))]
    counts = ConfusionAccumulator(many)
    counts.update(mask.astype(np.uint16), mask)
    assert counts.compute().ignored == 1
    tile = overlay.mask_tile(np.full((240, 480, 3), 90, np.uint8), np.full((240, 480), 255, np.uint8), ["x"] * many)
    stripes = np.array(tile.convert("RGB"))
    assert len(np.unique(stripes.reshape(-1, 3), axis=0)) > 1  # hatched, not in the colour of a class


def test_a_classifier_of_imagenet_is_refused_with_the_way_out(world: World, tmp_path: Path) -> None:
    ckpt = tiny_checkpoint(tmp_path / "imagenet.pth", classes=1000)
    for run in (
        lambda: cam(Inputs(world.root), Network(ckpt), Output(tmp_path / "c.h5")),
        lambda: classify(Inputs(world.root), Network(ckpt), Output(tmp_path / "s.h5")),
    ):
        with pytest.raises(CheckpointError, match="camkit classify-train --init") as told:
            run()
        assert "ImageNet's 1,000 classes" in str(told.value)
    names = tmp_path / "names.txt"
    names.write_text("\n".join([*VOC_CLASSES, *(f"other {n}" for n in range(980))]))
    cam(Inputs(world.root, classes=str(names), limit=1), Network(ckpt), Output(tmp_path / "c.h5"), scales=(1.0,))
    assert torch.load(ckpt, weights_only=True)["fc.weight"].shape[0] == 1000

"""`camkit segment-train` as a user runs it: on masks, probabilities and maps, with saliency, misused."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.agreement import SHARES
from camkit.data.masks import read_mask, write_mask
from camkit.models.segmentation.checkpoint import load_segmentation
from tests.support.segment import SMALL, draw_saliency, stores_of
from tests.support.world import World, camkit, draw_world, said


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> World:
    """With saliency and stores of probabilities and maps beside the photos."""
    world = draw_world(tmp_path_factory.mktemp("scenes"), count=8)
    draw_saliency(world, world.root.parent / "saliency")
    stores_of(world, world.root.parent)
    return world


def told_by(*arguments: object, cwd: Path, code: int = 0) -> str:
    """What the command says, on one line."""
    result = camkit("segment-train", *arguments, cwd=cwd)
    assert result.returncode == code, said(result)
    assert "Traceback" not in said(result)
    return " ".join(said(result).split())


def test_masks_and_saliency_teach_a_network_that_describes_itself(scenes: World, tmp_path: Path) -> None:
    folder = scenes.root.parent
    command = (
        scenes.root / "SegmentationClass", "--images", scenes.root, "--list", "train", "--val", "val", "--saliency",
        folder / "saliency", *SMALL, "--epochs", "2", "--out", "s.safetensors",
    )  # fmt: skip
    told = told_by(*command, cwd=tmp_path)
    for words in (
        "saliency: bright is foreground, as it fits the labels of 4 of 4 photos",
        "training on 4 photos, judged by 4", "loss saliency", "agreement tenth 0.", "mIoU", "2 epochs in",
    ):  # fmt: skip
        assert words in told
    rows = [*csv.DictReader((tmp_path / "s.curve.csv").open())]
    assert "agreement 0.9 to 1" not in told
    assert float(rows[0]["agreement_tenth"]) <= float(rows[0]["agreement_median"])
    assert float(rows[0]["agreement"]) > 0.75
    shares = [float(rows[0][name]) for name in SHARES]
    assert sum(shares) == pytest.approx(1)
    assert sum(shares[7:]) > 0.5
    assert float(rows[0]["loss"]) == pytest.approx(
        float(rows[0]["loss_labels"]) + float(rows[0]["loss_saliency"]), rel=1e-5
    )
    loaded = load_segmentation(tmp_path / "s.safetensors")
    assert (loaded.arch, loaded.network.trunk, loaded.input_size) == ("light", "toy", 48)
    assert "already trained" in told_by(*command, cwd=tmp_path)


KINDS: dict[str, tuple[Sequence[object], str]] = {
    "probs": (("--soft",), "training on 8 photos"),
    "maps": (("--threshold", "0.4", "--balanced"), "training on 8 photos"),
    "masks": (("--accumulate", "2"), "training on 8 photos"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_store_teaches(scenes: World, tmp_path: Path, kind: str) -> None:
    options, words = KINDS[kind]
    store = scenes.root.parent / f"{kind}.h5"
    assert words in told_by(store, *SMALL, *options, "--epochs", "1", "--out", "s.safetensors", cwd=tmp_path)


@pytest.mark.parametrize("option", [("--saliency-weight", "0.1"), ("--saliency-hard",)])
def test_what_the_adaptive_weight_is_compared_to(scenes: World, tmp_path: Path, option: Sequence[object]) -> None:
    folder = scenes.root.parent
    told = told_by(
        folder / "masks.h5", "--saliency", folder / "saliency", *option, *SMALL, "--epochs", "1",
        "--out", "s.safetensors", cwd=tmp_path,
    )  # fmt: skip
    assert "agreement" in told
    assert ("loss saliency" in told) == (option[0] == "--saliency-weight")


BAD: list[tuple[str, Sequence[object], int, str]] = [
    ("masks", ("--threshold", "0.3"), 2, "--threshold is for maps"),
    ("masks", ("--soft",), 2, "--soft is for probs"),
    ("probs", ("--soft", "--balanced"), 2, "--balanced goes by the labels"),
    ("masks", ("--alpha", "0.1"), 2, "--alpha has no effect without --saliency FOLDER"),
    ("masks", ("--accumulate", "5"), 2, "--accumulate 5: a rank has but 4 photos a step"),
    ("masks", ("--classes", "coco"), 2, "differs from the classes of the store"),
    ("masks", ("--arch", "nothing"), 2, "--arch nothing is not known"),
    ("masks", ("--val-masks", "here"), 2, "--val-masks has no effect without --val"),
    ("masks", ("--freeze", "backbone,aspp,score"), 2, "--freeze leaves nothing to train"),
]


@pytest.mark.parametrize(("kind", "options", "code", "words"), BAD)
def test_what_cannot_be_learned_is_told_in_a_line_or_two(
    scenes: World, tmp_path: Path, kind: str, options: Sequence[object], code: int, words: str
) -> None:
    store = scenes.root.parent / f"{kind}.h5"
    told = told_by(store, *SMALL, *options, "--epochs", "1", "--out", "s.safetensors", cwd=tmp_path, code=code)
    assert words in told
    assert not list(tmp_path.iterdir())


def test_saliency_the_wrong_way_round_is_refused_and_missing_ones_are_told(scenes: World, tmp_path: Path) -> None:
    folder = tmp_path / "dark"
    draw_saliency(scenes, folder, bright=False)
    store = scenes.root.parent / "masks.h5"
    command = (store, "--saliency", folder, *SMALL, "--epochs", "1", "--out", "s.safetensors")
    told = told_by(*command, cwd=tmp_path, code=2)
    assert "fits the background of the labels better than their objects on 8 of 8 photos" in told
    assert "give --saliency-is background" in told
    for id in scenes.ids[:3]:
        (folder / f"{id}.png").unlink()
    told = told_by(*command, "--saliency-is", "background", cwd=tmp_path)
    assert "saliency: bright is background" in told
    assert "3 of 8 photos have no saliency map: they learn from their labels alone" in told


def test_masks_of_another_size_fail_and_masks_without_any_label_are_refused(scenes: World, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    shutil.copytree(scenes.root / "SegmentationClass", masks)
    write_mask(masks / f"{scenes.ids[0]}.png", np.zeros((9, 7), np.uint8))
    command = (masks, "--images", scenes.root, *SMALL, "--epochs", "1", "--out", "s.safetensors")
    told = told_by(*command, cwd=tmp_path, code=3)
    assert f"{scenes.ids[0]} is left out: its mask is 7x9, but the photo 64x48" in told
    for path in masks.glob("*.png"):
        Image.fromarray(np.full_like(read_mask(path), 255)).save(path)
    told = told_by(*command, "--overwrite", cwd=tmp_path, code=4)
    assert "has no label in any of 8 masks: all is 255, undecided" in told

"""`camkit segment` as a user runs it, and what other commands make of its stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from camkit import Inputs, Network, Output, cam, open_store
from camkit.data.classes import VOC_CLASSES
from camkit.data.masks import read_mask
from camkit.errors import CheckpointError
from tests.support.segment import SMALL, draw_saliency, stores_of
from tests.support.world import World, camkit, draw_world, said


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> World:
    """With a network that has learned a little, s.safetensors."""
    world = draw_world(tmp_path_factory.mktemp("scenes"), count=6)
    folder = world.root.parent
    stores_of(world, folder)
    told_by("segment-train", "masks.h5", *SMALL, "--epochs", "1", "--out", "s.safetensors", cwd=folder)
    return world


def told_by(*arguments: object, cwd: Path, code: int = 0) -> str:
    """What the command says, on one line."""
    result = camkit(*arguments, cwd=cwd)
    assert result.returncode == code, said(result)
    assert "Traceback" not in said(result)
    return " ".join((result.stdout.decode(errors="replace") + said(result)).split())


def segment(world: World, *options: object, cwd: Path, code: int = 0) -> str:
    ckpt = world.root.parent / "s.safetensors"
    return told_by("segment", "--ckpt", ckpt, "--images", world.root, *options, cwd=cwd, code=code)


def test_a_probs_store_that_others_take(scenes: World, tmp_path: Path) -> None:
    assert "6 images in" in segment(scenes, "--out", "p.h5", cwd=tmp_path)
    assert "already done, 6 images" in segment(scenes, "--out", "p.h5", cwd=tmp_path)
    with open_store(tmp_path / "p.h5") as store:
        assert (store.header.kind, store.header.classes, store.ids) == ("probs", VOC_CLASSES, scenes.ids)
        assert store.header.provenance["command"] == "segment"
        for found in store:
            np.testing.assert_allclose(found.values.astype(np.float32).sum(0), 1, atol=2e-2)
    assert "left out of the means" in told_by("evaluate", "p.h5", "--gt", scenes.root, cwd=tmp_path)
    for words in (
        ("crf", "p.h5", "--out", "c.h5"), ("mask", "p.h5", "--png", "masks"),
        ("refine", "walk", "p.h5", "--affinity", "colour", "--steps", "2", "--out", "w.h5"),
        ("show", "p.h5", "--out", "sheet.png"), ("export", "p.h5", "e", "--format", "png"),
        ("segment-train", "p.h5", "--soft", *SMALL, "--epochs", "1", "--out", "again.safetensors"),
    ):  # fmt: skip
        told_by(*words, cwd=tmp_path)


def test_masks_and_pngs_are_the_same(scenes: World, tmp_path: Path) -> None:
    options = ("--preset", "resnet38", "--tile", "64")
    segment(scenes, *options, "--masks", "--out", "m.h5", cwd=tmp_path)
    segment(scenes, *options, "--png", "masks", cwd=tmp_path)
    with open_store(tmp_path / "m.h5") as store:
        assert store.header.kind == "masks"
        for found in store:
            assert found.values.shape == read_mask(scenes.root / "SegmentationClass" / f"{found.id}.png").shape
            np.testing.assert_array_equal(read_mask(tmp_path / "masks" / f"{found.id}.png"), found.values)


def test_a_crf_and_shards(scenes: World, tmp_path: Path) -> None:
    for number in (1, 2):
        options = ("--crf", "--preset", "deeplabv2", "--shard", f"{number}/2", "--out", f"{number}.h5")
        assert "3 images in" in segment(scenes, *options, cwd=tmp_path)
    told_by("merge", "1.h5", "2.h5", "--out", "p.h5", cwd=tmp_path)
    with open_store(tmp_path / "p.h5") as store:
        assert store.ids == scenes.ids
        assert store.read(scenes.ids[0]).values.shape[1:] == (48, 64)
        assert store.header.provenance["parameters"]["crf_bilateral_sxy"] == 67


BAD: list[tuple[Sequence[object], int, str]] = [
    (("--classes", "coco", "--out", "p.h5"), 4, "names 80 classes, but the classifier has 20"),
    (("--masks", "--size", "4", "--out", "p.h5"), 2, "--size is for probs"),
    (("--png", "masks", "--out", "p.h5"), 2, "give --out for a store or --png for a folder"),
    (("--scales", "0", "--out", "p.h5"), 2, "--scales 0"),
    (("--tile", "10", "--out", "p.h5"), 2, "--tile"),
]


@pytest.mark.parametrize(("options", "code", "words"), BAD)
def test_what_cannot_be_done_is_told_in_a_line_or_two(
    scenes: World, tmp_path: Path, options: Sequence[object], code: int, words: str
) -> None:
    assert words in segment(scenes, *options, cwd=tmp_path, code=code)
    assert not list(tmp_path.iterdir())


def test_checkpoints_of_either_kind_know_their_command(scenes: World, tmp_path: Path) -> None:
    told = told_by("segment", "--ckpt", scenes.ckpt, "--images", scenes.root, "--out", "p.h5", cwd=tmp_path, code=4)
    assert "nothing that segments; camkit segment-train begins from it" in told
    ckpt = scenes.root.parent / "s.safetensors"
    with pytest.raises(CheckpointError, match="not a classifier; it is for camkit segment"):
        cam(Inputs(scenes.root), Network(ckpt), Output(tmp_path / "c.h5"))
    told = told_by("info", ckpt, cwd=tmp_path)
    assert "light on toy, output stride 8" in told
    assert "segments photos, in camkit segment" in told
    assert "camkit segment-train" in told


def test_refine_amr_learns_and_sees_the_same_photos(scenes: World, tmp_path: Path) -> None:
    folder = scenes.root.parent
    draw_saliency(scenes, tmp_path / "saliency")
    command = (
        "refine", "amr", folder / "masks.h5", "--list", scenes.root / "ImageSets/Segmentation/train.txt", "--saliency",
        "saliency", *SMALL, "--batch-size", "3", "--epochs", "1", "--masks", "--out", "r.h5",
    )  # fmt: skip
    told = told_by(*command, cwd=tmp_path)
    for words in ("loss saliency", "the network: r.segmenter.safetensors", "r.h5: 3 images in"):
        assert words in told
    with open_store(tmp_path / "r.h5") as store:
        assert (store.header.kind, store.ids) == ("masks", scenes.ids[:3])
    for made in ("r.segmenter.safetensors", "r.h5"):
        told = told_by("info", made, cwd=tmp_path)
        assert "saliency its agreement with the labels: 1.00 on average" in told
        assert "photos by agreement, 0 to 1: | █|" in told
    told_by("show", "r.h5", "--html", "page.html", cwd=tmp_path)
    assert "Saliency against labels" in (tmp_path / "page.html").read_text()
    assert "already done, 3 images" in told_by(*command, cwd=tmp_path)
    told = told_by(*command[:-2], cwd=tmp_path, code=2)
    assert "where to? give --out FILE: the network is kept beside it" in told

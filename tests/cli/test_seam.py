"""Checkpoints in SEAM's and SC-CAM's layouts, through the commands that take a classifier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from camkit.store.reader import open_store
from tests.models.tiny import fill, tiny_checkpoint
from tests.reference import layouts
from tests.support.world import World, camkit, said

FEW = ("--limit", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """seam.pth and sccam.pth, narrow; all that the tests write."""
    folder = tmp_path_factory.mktemp("seam")
    tiny_checkpoint(folder / "seam.pth", "resnet38-seam", width=2)
    torch.save(fill(layouts.sccam(20, 2)), folder / "sccam.pth")
    return folder


def run(folder: Path, world: World, command: str, ckpt: str, *options: object) -> str:
    result = camkit(command, "--ckpt", ckpt, "--images", world.root, *FEW, *options, cwd=folder)
    assert result.returncode == 0, said(result)
    return said(result)


def values(store: Path) -> list[np.ndarray]:
    with open_store(store) as opened:
        return [activation.values for activation in opened]


def recorded(store: Path) -> object:
    with open_store(store) as opened:
        return opened.header.provenance["parameters"].get("refined")


@pytest.mark.parametrize("command", ["cam", "infercam"])
def test_maps_of_seam_are_refined_unless_plain_is_asked_for(folder: Path, world: World, command: str) -> None:
    scales = ("--scales", "1,0.5")
    told = run(folder, world, command, "seam.pth", *scales, "--out", f"{command}.h5")
    assert "maps: refined, as SEAM's are" in told
    run(folder, world, command, "seam.pth", *scales, "--refined", "--out", f"{command}-refined.h5")
    told = run(folder, world, command, "seam.pth", *scales, "--plain", "--out", f"{command}-plain.h5")
    assert "maps: plain, not refined as SEAM's are" in told
    run(folder, world, command, "seam.pth", *scales, "--arch", "resnet38", "--out", f"{command}-resnet38.h5")
    found = {name: values(folder / f"{command}{name}.h5") for name in ("", "-refined", "-plain", "-resnet38")}
    for default, refined, plain, trunk in zip(*found.values(), strict=True):
        np.testing.assert_array_equal(default, refined)
        np.testing.assert_array_equal(plain, trunk)
        assert np.abs(default - plain).max() > 0.1
    assert [recorded(folder / f"{command}{name}.h5") for name in found] == [True, True, False, None]


def test_another_choice_is_another_run(folder: Path, world: World) -> None:
    run(folder, world, "cam", "seam.pth", "--out", "again.h5")
    assert "already done" in run(folder, world, "cam", "seam.pth", "--refined", "--out", "again.h5")
    other = camkit(
        "cam", "--ckpt", "seam.pth", "--images", world.root, *FEW, "--plain", "--out", "again.h5", cwd=folder
    )
    assert other.returncode == 2
    assert "refined" in said(other)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cam", "sccam.pth", "--refined"), "--refined is for checkpoints of SEAM: resnet38 has plain maps only"),
        (("infercam", "sccam.pth", "--plain"), "--plain is for checkpoints of SEAM"),
        (("infercam", "seam.pth", "--response", "dcsm", "--plain"), "are for --response cam, not for dcsm"),
    ],
)
def test_a_choice_that_changes_nothing_is_refused(
    folder: Path, world: World, arguments: Sequence[str], told: str
) -> None:
    command, ckpt, *options = arguments
    result = camkit(command, "--ckpt", ckpt, "--images", world.root, *options, "--out", "none.h5", cwd=folder)
    assert result.returncode == 2, said(result)
    assert told in said(result)
    assert not (folder / "none.h5").exists()


@pytest.mark.parametrize(("ckpt", "arch"), [("seam.pth", "resnet38-seam"), ("sccam.pth", "resnet38")])
def test_info_knows_them_as_classifiers(folder: Path, ckpt: str, arch: str) -> None:
    result = camkit("info", ckpt, "--json", cwd=folder)
    assert result.returncode == 0, said(result)
    facts = json.loads(result.stdout)
    assert (facts["arch"], facts["num_classes"], "affinity" in facts) == (arch, 20, False)
    shown = camkit("info", ckpt, cwd=folder).stdout.decode()
    assert ("refined by layers of its own" in shown) == (ckpt == "seam.pth")
    layers = camkit("info", ckpt, "--layers", cwd=folder)
    assert layers.returncode == 0, said(layers)
    assert "b4" in layers.stdout.decode()


def test_scores_leave_the_background_out(folder: Path, world: World) -> None:
    state = torch.load(folder / "seam.pth")
    state["fc8.weight"][0] = 1e4  # a background that would win everywhere
    torch.save(state, folder / "loud.pth")
    for name in ("seam", "loud"):
        run(folder, world, "classify", f"{name}.pth", "--out", f"{name}-scores.h5")
    with open_store(folder / "seam-scores.h5") as store:
        assert len(store.header.classes) == 20
    for quiet, loud in zip(values(folder / "seam-scores.h5"), values(folder / "loud-scores.h5"), strict=True):
        assert quiet.shape == (20,)
        np.testing.assert_array_equal(quiet, loud)


@pytest.mark.parametrize("ckpt", ["seam.pth", "sccam.pth"])
def test_other_methods_take_them(folder: Path, world: World, ckpt: str) -> None:
    name = ckpt.removesuffix(".pth")
    run(folder, world, "dcsm", ckpt, "--out", f"{name}-dcsm.h5")
    run(folder, world, "lpcam-cluster", ckpt, "--out", f"{name}-prototypes.h5")
    run(folder, world, "lpcam-apply", ckpt, "--prototypes", f"{name}-prototypes.h5", "--out", f"{name}-lpcam.h5")
    found = values(folder / f"{name}-lpcam.h5")
    assert len(found) == 2


def test_training_does_not_start_a_network_that_camkit_cannot_train(folder: Path, world: World) -> None:
    result = camkit(
        "classify-train", "--images", world.root, "--arch", "resnet38-seam", "--width", "2", "--out", "t.safetensors",
        cwd=folder,
    )  # fmt: skip
    assert result.returncode == 2, said(result)
    assert "camkit trains no such network; give --arch resnet38" in said(result)

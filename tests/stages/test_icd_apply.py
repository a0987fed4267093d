"""`icd_apply` as a function, and what signed scores become in later stages."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from camkit import Inputs, Network, Output, Runtime, open_store
from camkit.data.images import read_image
from camkit.errors import CheckpointError, UsageError
from camkit.methods.cam import multi_scale_cam
from camkit.methods.icd import bottom_up_scores, top_down_scores
from camkit.methods.resize import resize_maps, resize_photos
from camkit.methods.response import network_input
from camkit.methods.signed import balance
from camkit.models.icd import load_icd
from camkit.stages.cam import cam
from camkit.stages.evaluate import evaluate_predictions
from camkit.stages.icd_apply import icd_apply
from camkit.stages.infercam import infercam
from camkit.types import Activation
from tests.support.icd import tiny_icd
from tests.support.world import World


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_icd(tmp_path_factory.mktemp("icd") / "icd.safetensors")


def read(path: Path) -> dict[str, Activation]:
    with open_store(path) as store:
        return {found.id: found for found in store}


def images_of(world: World, id: str) -> torch.Tensor:
    image, _ = read_image(world.root / "JPEGImages" / f"{id}.jpg")
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("branch", ["top-down", "bottom-up"])
def test_scores_are_those_of_the_network(world: World, ckpt: Path, tmp_path: Path, branch: str) -> None:
    output = Output(tmp_path / "scores.h5", dtype="float32")
    icd_apply(Inputs(world.root), Network(ckpt), output, branch=branch, raw=True)  # type: ignore[arg-type]
    with open_store(tmp_path / "scores.h5") as store:
        assert store.header.kind == "signed"
        assert store.header.provenance["parameters"]["branch"] == branch
    network = load_icd(ckpt).network
    scorer = partial(top_down_scores if branch == "top-down" else bottom_up_scores, network=network)
    with torch.inference_mode():
        for id, found in read(tmp_path / "scores.h5").items():
            scores = scorer(images_of(world, id), torch.from_numpy(found.classes)[None])
            expected = resize_maps(scores, found.values.shape[1:])[0]
            np.testing.assert_allclose(found.values, expected.numpy(), rtol=1e-4, atol=1e-4)
            assert len(found.classes)


def test_scores_lie_within_1_unless_raw_and_both_signs_occur(world: World, ckpt: Path, tmp_path: Path) -> None:
    for raw in (True, False):
        icd_apply(Inputs(world.root), Network(ckpt), Output(tmp_path / f"{raw}.h5", dtype="float32"), raw=raw)
    raw_scores, scores = read(tmp_path / "True.h5"), read(tmp_path / "False.h5")
    values = np.concatenate([found.values.ravel() for found in scores.values()])
    assert values.min() < 0 < values.max()
    for id, found in scores.items():
        expected = balance(torch.from_numpy(raw_scores[id].values)[None])[0].numpy()
        np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_the_classifiers_maps(world: World, ckpt: Path, tmp_path: Path) -> None:
    options = {"scales": (1.0, 0.5), "flip": True, "size": "full"}
    output = Output(tmp_path / "cams.h5", dtype="float32")
    icd_apply(Inputs(world.root, limit=3), Network(ckpt), output, branch="cam", **options)  # type: ignore[arg-type]
    network = load_icd(ckpt).network
    with torch.inference_mode():
        for id, found in read(tmp_path / "cams.h5").items():
            expected = multi_scale_cam(
                images_of(world, id), torch.from_numpy(found.classes)[None], found.size, classifier=network,
                scales=(1.0, 0.5), flip=True,
            )  # fmt: skip
            np.testing.assert_allclose(found.values, expected[0].numpy(), atol=1e-4)


def test_the_classifiers_signed_maps(world: World, ckpt: Path, tmp_path: Path) -> None:
    """By either command; what is above 0 is the CAM."""
    options = {"scales": (1.0, 0.5), "flip": True, "size": 8, "raw": True}
    icd_apply(
        Inputs(world.root, limit=4),
        Network(ckpt),
        Output(tmp_path / "a.h5", dtype="float32"),
        branch="cam",
        **options,
    )  # type: ignore[arg-type]
    cam(Inputs(world.root, limit=4), Network(ckpt), Output(tmp_path / "b.h5", dtype="float32"), signed=True, **options)  # type: ignore[arg-type]
    network, both = load_icd(ckpt).network, read(tmp_path / "b.h5")
    with torch.inference_mode():
        for id, found in read(tmp_path / "a.h5").items():
            total = np.zeros(found.values.shape)
            for height, width in ((h := found.size[0], w := found.size[1]), (round(h / 2), round(w / 2))):
                seen = network_input(resize_photos(images_of(world, id), (height, width)), network)
                for turn in ((lambda x: x), (lambda x: x.flip(-1))):
                    scores = torch.einsum("cd,bdhw->bchw", network.weight[found.classes], network.features(turn(seen)))
                    total += resize_maps(turn(scores), found.values.shape[1:])[0].numpy()
            np.testing.assert_allclose(found.values, total / 4, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(both[id].values, found.values, rtol=1e-3, atol=1e-3)
    values = np.concatenate([found.values.ravel() for found in both.values()])
    assert values.min() < 0 < values.max()
    for name in "ab":
        with open_store(tmp_path / f"{name}.h5") as store:
            assert store.header.kind == "signed"
            assert store.header.provenance["parameters"]["raw"] is True
    report, _ = evaluate_predictions(tmp_path / "a.h5", world.root)
    assert [row.margin for row in report.seeds] == [0, 0.1, 0.3, 0.5]


def test_signed_maps_are_balanced_unless_raw_and_maps_are_never_raw(world: World, ckpt: Path, tmp_path: Path) -> None:
    options = {"scales": (1.0,), "flip": False}
    for name, raw in (("raw", True), ("balanced", False)):
        output = Output(tmp_path / f"{name}.h5", dtype="float32")
        cam(Inputs(world.root, limit=3), Network(ckpt), output, signed=True, raw=raw, **options)  # type: ignore[arg-type]
    raws = read(tmp_path / "raw.h5")
    for id, found in read(tmp_path / "balanced.h5").items():
        expected = balance(torch.from_numpy(raws[id].values)[None])[0].numpy()
        np.testing.assert_allclose(found.values, expected, atol=1e-6)
    with pytest.raises(UsageError, match="--raw is for --signed"):
        cam(Inputs(world.root), Network(ckpt), Output(tmp_path / "no.h5"), raw=True)
    with pytest.raises(UsageError, match="--plain is for maps"):
        cam(Inputs(world.root), Network(ckpt), Output(tmp_path / "no.h5"), signed=True, refined=False)


def test_batches_and_continued_runs_give_the_same(world: World, ckpt: Path, tmp_path: Path) -> None:
    for batch in (1, 4):
        runtime = Runtime(batch_size=batch)
        icd_apply(Inputs(world.root), Network(ckpt), Output(tmp_path / f"{batch}.h5"), runtime, scales=(1.0, 0.5))
    one, four = read(tmp_path / "1.h5"), read(tmp_path / "4.h5")
    for id, found in one.items():
        np.testing.assert_allclose(found.values, four[id].values, atol=2e-3)
    again = icd_apply(Inputs(world.root), Network(ckpt), Output(tmp_path / "1.h5"), scales=(1.0, 0.5))
    assert again.already == again.images == 12
    with pytest.raises(UsageError, match="--branch was top-down and is now bottom-up"):
        icd_apply(Inputs(world.root), Network(ckpt), Output(tmp_path / "1.h5"), scales=(1.0, 0.5), branch="bottom-up")


def test_without_labels_the_classes_are_predicted(world: World, ckpt: Path, tmp_path: Path) -> None:
    icd_apply(Inputs(world.root / "JPEGImages", limit=2), Network(ckpt), Output(tmp_path / "scores.h5"))
    assert all(len(found.classes) for found in read(tmp_path / "scores.h5").values())


def test_what_cannot_be_is_told(world: World, ckpt: Path, tmp_path: Path) -> None:
    out = Output(tmp_path / "out.h5")
    with pytest.raises(CheckpointError, match="is no ICD checkpoint; train one with camkit icd-train"):
        icd_apply(Inputs(world.root), Network(world.ckpt), out)
    with pytest.raises(UsageError, match="--branch up is not known; known are top-down, bottom-up, cam"):
        icd_apply(Inputs(world.root), Network(ckpt), out, branch="up")  # type: ignore[arg-type]
    for told, named in (
        ("--arch does not go with an ICD checkpoint, which says what it is", Network(ckpt, arch="toy")),
        (
            "--model mine:network does not go with .*, which holds toy: leave it out",
            Network(ckpt, model="mine:network"),
        ),
    ):
        with pytest.raises(UsageError, match=told):
            icd_apply(Inputs(world.root), named, out)
        with pytest.raises(UsageError, match=told):
            infercam(Inputs(world.root), named, out, response="icd")
    with pytest.raises(UsageError, match="signed cannot be stored as uint8"):
        icd_apply(Inputs(world.root), Network(ckpt), Output(tmp_path / "out.h5", dtype="uint8"))
    assert not list(tmp_path.iterdir())


def test_provenance_holds_what_was_done(world: World, ckpt: Path, tmp_path: Path) -> None:
    icd_apply(Inputs(world.root, limit=1), Network(ckpt), Output(tmp_path / "scores.h5"), flip=True)
    with open_store(tmp_path / "scores.h5") as store:
        provenance = store.header.provenance
    assert provenance["command"] == "icd-apply"
    assert provenance["checkpoint"]["name"] == "icd.safetensors"
    assert json.loads(json.dumps(provenance["parameters"])).items() >= {
        "branch": "top-down", "flip": True, "raw": False, "scales": [1.0],
    }.items()  # fmt: skip

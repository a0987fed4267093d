"""Checkpoints of SEAM and SC-CAM: told apart from their relatives, read, trained further, and written again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from camkit.errors import CheckpointError
from camkit.models.affinity import load_affinity, start_affinity
from camkit.models.checkpoint import load_classifier, load_start, save_classifier
from camkit.models.seam import Seam
from tests.models.tiny import fill, tiny_checkpoint, tiny_state_dict
from tests.reference import layouts

X = torch.linspace(-2, 2, 3 * 40 * 48).reshape(1, 3, 40, 48).sin()


def written(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, folder / "c.pth")
    return folder / "c.pth"


def logits_of(path: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load_classifier(path).network.logits(X)


@pytest.mark.parametrize(("name", "layout"), [("seam", layouts.seam(20)), ("sccam", layouts.sccam(20))])
def test_layouts_are_the_published_ones(oracles: Path, name: str, layout: layouts.Shapes) -> None:
    told = json.loads((oracles / f"{name}_state_dict.json").read_text())["shapes"]
    assert layout == {key: tuple(shape) for key, shape in told.items()}


@pytest.mark.parametrize("wrapped", ["", "module."])
def test_seam_scores_classes_as_its_rows_after_the_background_do(tmp_path: Path, wrapped: str) -> None:
    state = fill(layouts.seam(4, 2))
    loaded = load_classifier(written(tmp_path, {wrapped + key: value for key, value in state.items()}))
    assert (loaded.arch, loaded.num_classes, loaded.output_stride, loaded.ignored) == ("resnet38-seam", 4, 8, ())
    torch.testing.assert_close(loaded.network.weight, state["fc8.weight"][1:, :, 0, 0])
    plain = {key: value for key, value in state.items() if not key.startswith("f")}
    plain["fc8.weight"] = state["fc8.weight"][1:]
    found = logits_of(tmp_path / "c.pth")
    torch.testing.assert_close(found, logits_of(written(tmp_path, plain)))


def test_its_embedding_is_made_of_colours_and_two_levels(tmp_path: Path) -> None:
    loaded = load_classifier(tiny_checkpoint(tmp_path / "c.pth", "resnet38-seam", width=2))
    network = loaded.network
    assert isinstance(network, Seam)
    with torch.inference_mode():
        features, embedding = network.features_and_embedding(X)
        torch.testing.assert_close(features, network.features(X))
    assert (features.shape, embedding.shape) == ((1, 128, 5, 6), (1, 6, 5, 6))
    assert (embedding < 0).any()


def test_seam_read_as_a_plain_resnet38(tmp_path: Path) -> None:
    path = tiny_checkpoint(tmp_path / "c.pth", "resnet38-seam", classes=4, width=2)
    loaded = load_classifier(path, arch="resnet38")
    assert (loaded.arch, loaded.num_classes) == ("resnet38", 4)
    assert loaded.ignored == ("f8_3.weight", "f8_4.weight", "f9.weight")
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network.logits(X), logits_of(path))


def test_a_plain_resnet38_is_no_seam(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not resnet38-seam: it holds resnet38"):
        load_classifier(tiny_checkpoint(tmp_path / "c.pth", "resnet38", width=1), arch="resnet38-seam")


def test_an_affinitynet_is_no_seam_and_seam_no_affinitynet(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is an AffinityNet checkpoint"):
        load_classifier(written(tmp_path, fill(layouts.affinitynet(width=2))))
    with pytest.raises(CheckpointError, match="is a resnet38-seam classifier"):
        load_affinity(tiny_checkpoint(tmp_path / "c.pth", "resnet38-seam", width=2), "affinitynet")


@pytest.mark.parametrize(
    ("key", "shape", "told"),
    [
        ("f9.weight", (6, 8, 1, 1), "f9.weight is"),
        ("f8_4.weight", (0, 32, 1, 1), "f8_4.weight hold no numbers"),
        ("f8_3.weight", (), "its shapes make no resnet38-seam"),
        ("fc8.weight", None, "no fc8.weight or fc8_20.weight"),
        ("fc8.weight", (1, 128, 1, 1), "no fc8.weight or fc8_20.weight"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, key: str, shape: tuple[int, ...] | None, told: str) -> None:
    state = tiny_state_dict("resnet38-seam", width=2)
    del state[key]
    if shape is not None:
        state[key] = torch.zeros(shape)
    with pytest.raises(CheckpointError, match=told) as caught:
        load_classifier(written(tmp_path, state))
    assert str(caught.value).count("\n") <= 1


def test_seam_written_by_camkit_keeps_its_classes_and_its_embedding(tmp_path: Path) -> None:
    path = tiny_checkpoint(tmp_path / "c.pth", "resnet38-seam", classes=3, width=2)
    loaded = load_classifier(path, for_inference=False)
    save_classifier(
        tmp_path / "own.safetensors", loaded.network, arch=loaded.arch, classes=("cat", "dog", "cow"),
        mean=loaded.mean, std=loaded.std, input_size=None, output_stride=loaded.output_stride,
    )  # fmt: skip
    own = load_classifier(tmp_path / "own.safetensors")
    assert (own.arch, own.classes) == ("resnet38-seam", ("cat", "dog", "cow"))
    assert isinstance(own.network, Seam)
    assert isinstance(loaded.network, Seam)
    with torch.inference_mode():
        for mine, theirs in zip(
            own.network.features_and_embedding(X), loaded.network.features_and_embedding(X), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("names", "kept"), [(["a", "b", "c"], True), (["a", "b"], False)])
def test_training_goes_on_with_seams_trunk_alone(tmp_path: Path, names: list[str], kept: bool) -> None:
    path = tiny_checkpoint(tmp_path / "c.pth", "resnet38-seam", classes=3, width=2)
    network, arch, keep = load_start(path, names)
    assert (arch, keep, network.num_classes, type(network).__name__) == ("resnet38", kept, len(names), "ResNet38")
    affinity = start_affinity(network, arch, "affinitynet")
    assert affinity.own_modules == ["f8_3", "f8_4", "f8_5", "f9"]


@pytest.mark.parametrize("wrapped", ["", "module."])
def test_sc_cams_last_round_scores_classes_as_its_first_does(tmp_path: Path, wrapped: str) -> None:
    state = fill(layouts.sccam(4, 2))
    loaded = load_classifier(written(tmp_path, {wrapped + key: value for key, value in state.items()}))
    assert (loaded.arch, loaded.num_classes, loaded.ignored) == ("resnet38", 4, ("fc8_200.weight",))
    found = logits_of(tmp_path / "c.pth")
    first = {key: value for key, value in state.items() if not key.startswith("fc8")}
    torch.testing.assert_close(found, logits_of(written(tmp_path, first | {"fc8.weight": state["fc8_20.weight"]})))

"""ICD's network on every backbone: what it reads, where its gradients go, and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from camkit.errors import CheckpointError
from camkit.methods import icd
from camkit.methods.cam import cam
from camkit.methods.response import network_input
from camkit.models import zoo
from camkit.models.checkpoint import load_classifier, load_start
from camkit.models.icd import (
    FeatureNorm,
    IcdNetwork,
    IcdPlan,
    Structure,
    load_icd,
    save_icd,
)
from camkit.models.levels import Features, levels_of, sample_at
from tests.models.tiny import tiny_checkpoint

BACKBONES = ("toy", "resnet18", "resnet50", "resnet50-irn", "resnet38", "vgg16")
CLASSES = ("cat", "dog", "cow")
IMAGES = 127 * (1 + torch.linspace(-200, 200, 2 * 3 * 64 * 72).reshape(2, 3, 64, 72).sin())
CHOSEN = torch.tensor([[2], [0]])
SMALL = IcdPlan(hidden=8)


def network_of(arch: str = "toy", plan: IcdPlan = SMALL) -> IcdNetwork:
    torch.manual_seed(0)
    return IcdNetwork(zoo.build(arch, len(CLASSES), width=4), plan).eval()


X = network_input(IMAGES, network_of())


def saved(path: Path, network: IcdNetwork, arch: str = "toy") -> Path:
    save_icd(
        path, network, arch=arch, classes=CLASSES, mean=network.mean, std=network.std, input_size=96,
        output_stride=network.output_stride,
    )  # fmt: skip
    return path


def raw_scores(network: IcdNetwork) -> Tensor:
    return icd.project(network.normal(X).detach(), icd.unit_directions(network.directions))


def trained_a_little(network: IcdNetwork) -> IcdNetwork:
    """Its buffers are not as they were in the beginning."""
    network.train()
    with torch.no_grad():
        raw = raw_scores(network)
        here = torch.ones(2, *raw.shape[-2:], dtype=torch.bool)
        present = torch.tensor([[True, False, False], [False, True, False]])
        network.heads.note_cams(icd.cam_sums(raw, -raw, present, here))
    return network.eval()


@pytest.mark.parametrize("arch", BACKBONES)
def test_every_backbone_has_scores_beside_its_classifier(arch: str) -> None:
    network = network_of(arch)
    with torch.no_grad():
        branches = network.branches(X)
        torch.testing.assert_close(branches.logits, network.classifier.logits(X))
        torch.testing.assert_close(branches.top, network.features(X))
        raw = raw_scores(network)
        scores, below = (score(IMAGES, CHOSEN, network) for score in (icd.top_down_scores, icd.bottom_up_scores))
        cams = cam(IMAGES, CHOSEN, network)
    assert raw.shape == branches.adapted.shape
    assert scores.shape == below.shape == cams.shape[:2] + raw.shape[-2:]
    torch.testing.assert_close(scores[0, 0], branches.adapted[0, 2])
    torch.testing.assert_close(below[1, 0], raw[1, 0])


@pytest.mark.parametrize("arch", ["toy", "vgg16"])
@pytest.mark.parametrize("features", get_args(Features))
@pytest.mark.parametrize("structure", get_args(Structure))
def test_all_features_and_structures_of_the_tables(arch: str, features: Features, structure: Structure) -> None:
    network = network_of(arch, IcdPlan(features, structure, 8))
    levels = levels_of(network.classifier, X)
    channels = {"conv4": levels.conv4.shape[1], "conv5": levels.conv5.shape[1], "fc6": levels.fc6.shape[1]}
    inputs = sum(channels.values()) if features == "concat" else channels[features]
    shared = levels.fc6.shape[1] + (0 if levels.fc7 is None else levels.fc7.shape[1])
    assert network.heads.directions.shape == (3, inputs)
    assert network.heads.adapted.in_channels == {"a": inputs, "b": 8, "c": inputs + 16, "d": inputs + shared}[structure]
    with torch.no_grad():
        branches = network.branches(X)
    assert raw_scores(network).shape == branches.adapted.shape


def test_the_levels_of_vgg16_lie_behind_their_relu() -> None:
    network = zoo.build("vgg16", 3, width=4).eval()
    with torch.no_grad():
        levels = levels_of(network, X)
        trunk = network.get_submodule("trunk")
        assert isinstance(trunk, nn.Sequential)
        torch.testing.assert_close(levels.conv4, trunk[:23](X))
        torch.testing.assert_close(levels.conv5, trunk(X))
        torch.testing.assert_close(levels.fc6, network.get_submodule("fc6")(trunk(X)).relu())
        torch.testing.assert_close(levels.top, network.features(X))
    assert levels.conv4.shape[-2:] == levels.conv5.shape[-2:] == (8, 9)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("arch", [arch for arch in BACKBONES if arch != "vgg16"])
def test_the_levels_of_others_are_not_below_0(arch: str) -> None:
    network = zoo.build(arch, 3, width=4).eval()
    found: list[Tensor] = []
    for layer in list(network.layers.values())[-3:-1]:
        layer.register_forward_hook(lambda module, inputs, output: found.append(output))
    with torch.no_grad():
        levels = levels_of(network, X)
    for level, layer_output in zip((levels.conv4, levels.conv5), found, strict=True):
        assert level.min() >= 0
        torch.testing.assert_close(level, layer_output.relu(), rtol=0, atol=0)
        assert (layer_output.min() < 0) == (arch == "resnet38")


def gradients(network: IcdNetwork, loss: Tensor) -> dict[str, bool]:
    """Whether a loss reaches the parameters, by the front of their names."""
    network.zero_grad()
    loss.backward(retain_graph=True)
    reached: dict[str, bool] = {}
    for name, parameter in network.named_parameters():
        front = ".".join(name.split(".")[:2])
        reached[front] = reached.get(front, False) or (parameter.grad is not None and bool(parameter.grad.any()))
    return reached


def test_bottom_up_gradients_reach_directions_only_and_top_down_ones_the_features() -> None:
    network = network_of("vgg16").train()
    branches, raw = network.branches(X), raw_scores(network)
    present, inside = torch.ones(2, 3, dtype=torch.bool), torch.ones(2, *raw.shape[-2:], dtype=torch.bool)
    reached = gradients(network, icd.bottom_up_losses(raw, present, inside).sum())
    assert [name for name, is_reached in reached.items() if is_reached] == ["heads.directions"]
    reached = gradients(network, icd.top_down_losses(branches.adapted, raw.detach(), present, inside).sum())
    untouched = {name for name, is_reached in reached.items() if not is_reached}
    assert untouched == {"heads.directions", "classifier.fc6", "classifier.fc7", "classifier.head"}
    reached = gradients(network, branches.logits.sum())
    assert {name for name, is_reached in reached.items() if is_reached} == {
        "classifier.trunk", "classifier.fc6", "classifier.fc7", "classifier.head",
    }  # fmt: skip


def test_structure_d_shares_its_layers_with_the_classifier() -> None:
    network = network_of("vgg16", IcdPlan(structure="d", hidden=8)).train()
    reached = gradients(network, network.adapted(X).sum())
    assert {name for name, is_reached in reached.items() if is_reached} == {
        "heads.adapted", "classifier.trunk", "classifier.fc6", "classifier.fc7",
    }  # fmt: skip


def test_the_norm_is_a_batch_norm_without_scale_and_offset() -> None:
    own, usual = FeatureNorm(5), nn.BatchNorm2d(5, affine=False)
    torch.manual_seed(0)
    for step in range(3):
        x = 3 * torch.randn(2, 5, 4, 6) + step
        here = torch.ones(2, 4, 6, dtype=torch.bool)
        torch.testing.assert_close(own(x, here), usual(x))
    torch.testing.assert_close(own.mean, usual.running_mean)
    torch.testing.assert_close(own.variance, usual.running_var)
    torch.testing.assert_close(own.eval()(x, here), usual.eval()(x))


def test_the_norm_does_not_see_what_lies_outside() -> None:
    x = torch.randn(1, 5, 4, 6)
    inside = torch.zeros(1, 4, 6, dtype=torch.bool)
    inside[:, :3] = True
    other = torch.where(inside[:, None], x, torch.tensor(1e3))
    one, two = FeatureNorm(5), FeatureNorm(5)
    torch.testing.assert_close(one(x, inside)[:, :, :3], two(other, inside)[:, :, :3])
    torch.testing.assert_close(one.mean, two.mean)


def test_a_batch_that_is_all_outside_is_normalised_by_the_running_figures() -> None:
    norm, x = FeatureNorm(5), 7 * torch.randn(2, 5, 4, 6)
    norm(x, torch.ones(2, 4, 6, dtype=torch.bool))
    before = norm.mean.clone(), norm.variance.clone()
    found = norm(x, torch.zeros(2, 4, 6, dtype=torch.bool))
    assert torch.equal(torch.stack([norm.mean, norm.variance]), torch.stack(before))
    torch.testing.assert_close(found, norm.eval()(x, torch.ones(2, 4, 6, dtype=torch.bool)))


def test_running_means_move_by_a_tenth_and_stay_without_photos() -> None:
    heads = network_of().heads
    heads.note_cams(torch.tensor([[4.0, 0.0, 1.0], [2.0, 6.0, 9.0], [2.0, 1.0, 0.0]]))
    torch.testing.assert_close(heads.positive, torch.tensor([0.2, 0.0, 0.0]))
    torch.testing.assert_close(heads.negative, torch.tensor([0.1, 0.6, 0.0]))
    heads.note_cams(torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]))
    torch.testing.assert_close(heads.positive, torch.tensor([0.28, 0.0, 0.1]))
    torch.testing.assert_close(heads.negative, torch.tensor([0.09, 0.6, 0.0]))


def test_the_sign_is_that_of_the_running_means() -> None:
    network, classes = network_of(), torch.tensor([[0, 1, 2], [2, 1, 0]])
    with torch.no_grad():
        network.heads.positive.copy_(torch.tensor([1.0, 1.0, 1.0]))
        straight = icd.bottom_up_scores(IMAGES, classes, network)
        network.heads.negative.copy_(torch.tensor([0.5, 2.0, 1.0]))
        flipped = icd.bottom_up_scores(IMAGES, classes, network)
    torch.testing.assert_close(flipped[:, 1], -straight[:, 1])
    torch.testing.assert_close(flipped[:, ::2], straight[:, ::2])


@pytest.mark.parametrize("scores", [icd.top_down_scores, icd.bottom_up_scores])
def test_scores_of_no_class_are_0(scores: Callable[..., Tensor]) -> None:
    with torch.no_grad():
        found = scores(IMAGES, torch.tensor([[2, -1], [0, 1]]), network_of())
    assert not found[0, 1].any()
    assert all(maps.any() for maps in (found[0, 0], found[1, 0], found[1, 1]))


def test_positions_are_those_of_the_pixel_in_the_middle() -> None:
    labels = torch.arange(8 * 5).reshape(1, 8, 5)
    assert sample_at(labels, (2, 5)).tolist() == [labels[0, [2, 6]].tolist()]
    assert torch.equal(sample_at(labels, (8, 5)), labels)
    assert sample_at(labels, (1, 1)).tolist() == [[[22]]]


@pytest.mark.parametrize("arch", ["toy", "resnet18", "vgg16"])
def test_a_checkpoint_holds_everything(tmp_path: Path, arch: str) -> None:
    network = trained_a_little(network_of(arch, IcdPlan("concat", "b", 6)))
    path = saved(tmp_path / "i.safetensors", network, arch)
    loaded = load_icd(path, for_inference=False)
    assert (loaded.arch, loaded.classes, loaded.num_classes, loaded.input_size) == (arch, CLASSES, 3, 96)
    assert loaded.network.heads.plan == network.heads.plan
    expected = network.state_dict()
    for key, value in loaded.network.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0)
    assert network.heads.negative.any()
    fast = load_icd(path)
    classes = torch.tensor([[0, 1], [2, -1]])
    with torch.no_grad():
        torch.testing.assert_close(
            icd.bottom_up_scores(IMAGES, classes, fast.network),
            icd.bottom_up_scores(IMAGES, classes, network),
            rtol=1e-3,
            atol=1e-4,
        )


def test_its_classifier_is_one_for_all_other_commands(tmp_path: Path) -> None:
    network = network_of("resnet18")
    path = saved(tmp_path / "i.safetensors", network, "resnet18")
    loaded = load_classifier(path, for_inference=False)
    assert loaded.classes == CLASSES
    with torch.no_grad():
        torch.testing.assert_close(loaded.network.logits(X), network.logits(X))
    start, arch, kept = load_start(path, CLASSES)
    assert (arch, kept) == ("resnet18", True)
    torch.testing.assert_close(start.weight, network.weight)


def damaged(path: Path, description: dict[str, Any], drop: str = "", **tensors: Tensor) -> Path:
    with safe_open(path, framework="pt") as file:
        own = json.loads(file.metadata()["camkit"])
    state = {key: value for key, value in load_file(path).items() if key != drop} | tensors
    save_file(state, path, metadata={"camkit": json.dumps(own | description)})
    return path


PLAN = {"features": "conv5", "structure": "c", "hidden": 8}
DAMAGES: list[tuple[dict[str, Any], str]] = [
    ({"description": {"icd": None}}, "does not say soundly"),
    ({"description": {"icd": {**PLAN, "hidden": True}}}, "does not say soundly"),
    ({"description": {"icd": {**PLAN, "hidden": 10**12}}}, "does not say soundly"),
    ({"description": {"icd": {**PLAN, "features": ["conv5"]}}}, "does not say soundly"),
    ({"description": {"icd": {**PLAN, "reads": "both"}}}, "does not say soundly"),
    ({"description": {"icd": {**PLAN, "top_down": 0}}}, "does not say soundly"),
    ({"description": {"icd": {**PLAN, "top_down": False}}}, "does not fit ICD"),
    ({"description": {"icd": {**PLAN, "structure": "b"}}}, "fits the other shapes"),
    ({"description": {"icd": {**PLAN, "structure": "a"}}}, "does not fit ICD"),
    ({"description": {"kind": "classifier"}}, "no ICD checkpoint"),
    ({"description": {}, "drop": "icd.positive"}, "1 missing (positive)"),
    ({"description": {}, "icd.directions": torch.ones(3, 4)}, "directions is [3, 4]"),
    ({"description": {}, "icd.norm.variance": torch.full((16,), torch.nan)}, "NaN"),
    ({"description": {}, "icd.norm.variance": torch.linspace(1, -0.1, 16)}, "norm.variance holds negative values"),
    ({"description": {"icd": {**PLAN, "hidden": 1 << 14}}}, "fits the other shapes"),
]


class LargestTensor(TorchDispatchMode):
    """How many numbers the largest tensor had that was made meanwhile."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and not made.is_meta:
            self.numbers = max(self.numbers, made.numel())
        return made


@pytest.mark.parametrize(("damage", "told"), DAMAGES, ids=[told for _, told in DAMAGES])
def test_damaged_checkpoints_are_refused_in_a_line(tmp_path: Path, damage: dict[str, Any], told: str) -> None:
    path = damaged(saved(tmp_path / "i.safetensors", network_of()), **damage)
    with pytest.raises(CheckpointError) as caught, LargestTensor() as largest:
        load_icd(path)
    assert largest.numbers < 1 << 20
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert str(caught.value).count("\n") <= 1


def test_other_files_are_no_icd_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no ICD checkpoint; train one"):
        load_icd(tiny_checkpoint(tmp_path / "c.pth", width=4))

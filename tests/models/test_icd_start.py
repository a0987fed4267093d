"""How a network of ICD begins: from ImageNet's VGG16, or with copies of a classifier's layers; and old checkpoints."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from camkit.errors import UsageError
from camkit.methods import icd
from camkit.models import zoo
from camkit.models.checkpoint import load_start
from camkit.models.icd import (
    IcdNetwork,
    IcdPlan,
    fresh_hidden,
    load_icd,
    ready_for_icd,
)
from camkit.models.levels import levels_of
from camkit.settings.icd import Reads
from tests.models.test_icd import CHOSEN, CLASSES, IMAGES, PLAN, SMALL, X, damaged, network_of, saved, trained_a_little
from tests.models.tiny import fill, tiny_state_dict
from tests.reference import layouts


def test_a_vgg16_from_imagenet_gets_narrow_layers(tmp_path: Path) -> None:
    torch.save(tiny_state_dict("vgg16", classes=9, width=4), tmp_path / "imagenet.pth")
    start, _, kept = load_start(tmp_path / "imagenet.pth", CLASSES)
    assert not kept
    assert start.get_submodule("fc6").weight.shape[-2:] == (7, 7)
    network, fresh = ready_for_icd(start, kept=kept)
    assert fresh == ("head",)
    assert network.get_submodule("fc6").weight.shape == (fresh_hidden(start), 32, 3, 3)
    assert network.get_submodule("fc7").weight.shape == (64, 64, 1, 1)
    assert 0.005 < float(network.weight.detach().std()) < 0.02
    assert network.output_stride == 8
    with torch.no_grad():
        torch.testing.assert_close(network.get_submodule("trunk")(X).shape[-2:], torch.Size([8, 9]))
    for key, value in start.get_submodule("trunk").state_dict().items():
        assert torch.equal(network.get_submodule("trunk").state_dict()[key], value)
    assert IcdNetwork(network, SMALL).heads.directions.shape == (3, 32)
    again, fresh = ready_for_icd(network, kept=False)
    assert again is network
    assert fresh == ("head",)


def test_fc6_and_fc7_are_every_fourth_channel_and_position_of_the_published_ones(tmp_path: Path) -> None:
    published = tiny_state_dict("vgg16", classes=9, width=4)
    torch.save(published, tmp_path / "imagenet.pth")
    network, _ = ready_for_icd(load_start(tmp_path / "imagenet.pth", CLASSES)[0], kept=False)
    fc6, fc7 = network.get_submodule("fc6"), network.get_submodule("fc7")
    large = published["classifier.0.weight"].reshape(256, 32, 7, 7)
    for own, d, row, column in itertools.product(range(64), (0, 9, 31), range(3), range(3)):
        assert fc6.weight[own, d, row, column] == large[4 * own, d, 3 * row, 3 * column]
    for own, other in itertools.product(range(64), range(64)):
        assert fc7.weight[own, other, 0, 0] == published["classifier.3.weight"][4 * own, 4 * other]
    assert torch.equal(fc6.bias, published["classifier.0.bias"][::4])
    assert torch.equal(fc7.bias, published["classifier.3.bias"][::4])


def test_layers_too_narrow_to_be_thinned_out_are_drawn(tmp_path: Path) -> None:
    torch.save(fill(layouts.vgg16(9, 4, hidden=96)), tmp_path / "narrow.pth")
    network, fresh = ready_for_icd(load_start(tmp_path / "narrow.pth", CLASSES)[0], kept=False)
    assert fresh == ("fc6", "fc7", "head")
    assert 0.005 < float(network.state_dict()["fc6.weight"].std()) < 0.02


@pytest.mark.parametrize("kept", [True, False])
def test_the_branch_starts_with_copies_of_the_classifiers_layers(tmp_path: Path, kept: bool) -> None:
    """Of a trained classifier that keeps its large ones, with what would be made of them."""
    torch.save(tiny_state_dict("vgg16", classes=3, width=4), tmp_path / "imagenet.pth")
    whole = load_start(tmp_path / "imagenet.pth", CLASSES)[0]
    thinned, _ = ready_for_icd(whole, kept=False)
    network = IcdNetwork(whole if kept else thinned, IcdPlan(hidden=64))
    assert network.copy_fully_connected()
    for name in ("fc6", "fc7"):
        own, other = network.heads.get_submodule(name), thinned.get_submodule(name)
        assert torch.equal(own.weight, other.weight)
        assert torch.equal(own.bias, other.bias)
        assert own.weight is not other.weight


@pytest.mark.parametrize(
    "plan", [IcdPlan("conv4", hidden=64), IcdPlan("concat", hidden=64), IcdPlan(structure="a"), IcdPlan(hidden=48)]
)
def test_where_copies_would_not_fit_the_branch_is_drawn(plan: IcdPlan) -> None:
    network = network_of("vgg16", plan)
    before = {key: value.clone() for key, value in network.heads.state_dict().items()}
    assert not network.copy_fully_connected()
    assert all(torch.equal(value, before[key]) for key, value in network.heads.state_dict().items())
    assert not network_of("resnet18", IcdPlan(hidden=64)).copy_fully_connected()


def adapted_slowly(network: IcdNetwork, *, normalised: bool) -> Tensor:
    """Structure c, layer by layer; in evaluation mode."""
    heads, features = network.heads, levels_of(network.classifier, X).conv5
    assert heads.fc6 is not None
    assert heads.adapted is not None
    normal = (features - heads.norm.mean[:, None, None]) / (heads.norm.variance[:, None, None] + 1e-5).sqrt()
    fc6 = heads.fc6(normal if normalised else features).relu()
    fc7 = heads.fc7(fc6).relu()
    return heads.adapted(torch.cat([normal, fc6, fc7], dim=1))


@pytest.mark.parametrize("reads", get_args(Reads))
def test_a_checkpoint_says_what_its_branch_reads(tmp_path: Path, reads: Reads) -> None:
    network = trained_a_little(network_of("toy", replace(SMALL, reads=reads)))
    path = saved(tmp_path / "i.safetensors", network)
    loaded = load_icd(path, for_inference=False).network
    assert loaded.heads.plan.reads == reads
    with torch.no_grad():
        expected = [adapted_slowly(network, normalised=normalised) for normalised in (False, True)]
        torch.testing.assert_close(loaded.adapted(X), expected[reads == "normalised"])
    assert not torch.allclose(*expected)


def test_checkpoints_that_do_not_say_read_the_features(tmp_path: Path) -> None:
    toy = load_icd("toy-icd", for_inference=False).network
    assert toy.heads.plan.reads == "features"
    with torch.no_grad():
        torch.testing.assert_close(toy.adapted(X), adapted_slowly(toy, normalised=False))
    path = damaged(saved(tmp_path / "i.safetensors", network_of()), {"icd": PLAN})
    assert load_icd(path).network.heads.plan == replace(SMALL, reads="features")


def test_a_network_without_a_top_down_branch(tmp_path: Path) -> None:
    network = network_of("vgg16", replace(SMALL, top_down=False))
    assert {name.split(".")[0] for name, _ in network.heads.named_parameters()} == {"directions"}
    assert network.branches(X).adapted is None
    with torch.no_grad():
        assert icd.bottom_up_scores(IMAGES, CHOSEN, network).any()
    with pytest.raises(UsageError, match="no top-down branch"):
        network.adapted(X)
    loaded = load_icd(saved(tmp_path / "i.safetensors", network, "vgg16"))
    assert loaded.network.heads.plan == replace(SMALL, top_down=False)


def test_a_trained_classifier_stays_as_it_is() -> None:
    wide = zoo.build("vgg16", 3, width=4)
    assert ready_for_icd(wide, kept=True) == (wide, ())
    resnet = zoo.build("resnet18", 3, width=4)
    assert ready_for_icd(resnet, kept=False) == (resnet, ("head",))


def test_a_vgg16_without_fc6_cannot_be_icds() -> None:
    from camkit.models.vgg import VGG16, VGGPlan

    bare = VGG16(VGGPlan(3, width=4))
    with pytest.raises(UsageError, match="no fc6 and fc7"):
        IcdNetwork(bare, SMALL)
    network, _ = ready_for_icd(bare, kept=True)
    assert IcdNetwork(network, SMALL).heads.directions.shape == (3, 32)

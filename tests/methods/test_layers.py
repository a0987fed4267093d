from __future__ import annotations

from pathlib import Path

import pytest
import torch

from camkit.errors import UsageError
from camkit.methods.layers import check_layer, layer_features
from camkit.methods.response import network_input
from camkit.models.checkpoint import load_classifier
from tests.models.tiny import tiny_checkpoint

IMAGES = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0)) * 255


def test_layers_are_seen_behind_their_relu(tmp_path: Path) -> None:
    network = load_classifier(tiny_checkpoint(tmp_path / "vgg.pth", "vgg16", width=4)).network
    assert isinstance(network.trunk, torch.nn.Sequential)
    with torch.inference_mode():
        x = network_input(IMAGES, network)
        torch.testing.assert_close(layer_features(IMAGES, network), network.features(x))
        for layer, end in (("conv1_1", 2), ("conv2_1", 7)):
            torch.testing.assert_close(layer_features(IMAGES, network, layer), network.trunk[:end](x))
            assert not network.layers[layer]._forward_hooks


def test_the_hook_is_gone_after_an_error(tmp_path: Path) -> None:
    network = load_classifier(tiny_checkpoint(tmp_path / "tiny.pth")).network
    with pytest.raises(RuntimeError):
        layer_features(IMAGES[:, :2].expand(-1, 2, -1, -1), network, "layer1")
    assert not network.layers["layer1"]._forward_hooks


def test_layers_it_does_not_have_are_told(tmp_path: Path) -> None:
    network = load_classifier(tiny_checkpoint(tmp_path / "tiny.pth")).network
    check_layer(network, None)
    check_layer(network, "layer4")
    with pytest.raises(
        UsageError, match="--layer conv5_3 is not in this network; it has layer1, layer2, layer3, layer4"
    ):
        check_layer(network, "conv5_3")

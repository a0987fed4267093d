import numpy as np
import pytest
import torch
from torch import nn

from camkit.errors import UsageError
from camkit.models import zoo
from camkit.models.checkpoint import load_classifier
from camkit.models.classifier import fold_batch_norms
from camkit.models.state import rename
from tests.models.tiny import fill, layout_of, tiny_checkpoint, tiny_state_dict
from tests.reference import layouts, networks

PHOTO = np.random.default_rng(5).standard_normal((3, 41, 58)).astype(np.float32)


def arrays(state):
    return {key: value.numpy().astype(np.float64) for key, value in state.items()}


def features(network, photo=PHOTO):
    with torch.inference_mode():
        return network.features(torch.from_numpy(photo)[None])[0].numpy()


def load(tmp_path, state, **options):
    torch.save(state, tmp_path / "checkpoint.pth")
    return load_classifier(tmp_path / "checkpoint.pth", **options)


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_keys_and_shapes_are_torchvisions(arch):
    with torch.device("meta"):
        network = zoo.build(arch, 20)
    published = rename(network.state_dict(), dict(network.published))
    assert {key: tuple(value.shape) for key, value in published.items()} == layouts.resnet(arch, 20)


def test_keys_and_shapes_of_resnet38_are_psas():
    with torch.device("meta"):
        network = zoo.build("resnet38", 20)
    published = {
        key: tuple(value.shape) for key, value in rename(network.state_dict(), dict(network.published)).items()
    }
    assert published == layouts.resnet38(20) | {"fc8.weight": (20, 4096)}


def test_vgg16_takes_torchvisions_keys_and_shapes():
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in layouts.vgg16(20).items()}
        own = zoo.architecture("vgg16").adapt(state)
        network = zoo.architecture("vgg16").from_shapes({key: tuple(value.shape) for key, value in own.items()}, None)
        missing = network.load_state_dict(own, assign=True)
    assert not missing.missing_keys
    assert not missing.unexpected_keys


def test_the_toy_network_is_what_its_layout_and_the_reference_say(tmp_path):
    with torch.device("meta"):
        network = zoo.build("toy", 10)
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == layouts.toy(10)
    assert sum(p.numel() for p in network.parameters()) == 350_778
    state = tiny_state_dict("toy", 10, 4)
    loaded = load(tmp_path, state)
    assert (loaded.arch, loaded.output_stride) == ("toy", 8)
    expected = networks.toy_features(PHOTO.astype(np.float64), arrays(state))
    np.testing.assert_allclose(features(loaded.network), expected, rtol=1e-4, atol=1e-4)


def test_toy_names_the_packaged_checkpoint_beside_a_folder_of_that_name_but_not_beside_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    assert load_classifier("toy").num_classes == 10
    (tmp_path / "toy").rmdir()
    torch.save(tiny_state_dict("toy", 3, 4), tmp_path / "toy")
    assert load_classifier("toy").num_classes == 3


@pytest.mark.parametrize("output_stride", [32, 16, 8])
@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_resnet_features_match_the_reference(tmp_path, arch, output_stride):
    state = tiny_state_dict(arch, width=2)
    loaded = load(tmp_path, state, output_stride=output_stride)
    expected = networks.resnet_features(PHOTO, arrays(state), networks.RESNET_STRIDES[output_stride])
    assert loaded.arch == arch
    assert loaded.output_stride == output_stride
    np.testing.assert_allclose(features(loaded.network), expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("output_stride", [16, 8])
def test_irn_features_match_the_reference(tmp_path, output_stride):
    state = tiny_state_dict("resnet50-irn", width=2)
    loaded = load(tmp_path, state, output_stride=output_stride)
    expected = networks.resnet_features(PHOTO, arrays(state), networks.IRN_STRIDES[output_stride], "resnet50.")
    assert loaded.arch == "resnet50-irn"
    np.testing.assert_allclose(features(loaded.network), expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_resnet38_features_match_the_reference(tmp_path):
    state = tiny_state_dict("resnet38", width=2)
    loaded = load(tmp_path, state)
    expected = networks.resnet38_features(PHOTO, arrays(state))
    assert (loaded.arch, loaded.output_stride) == ("resnet38", 8)
    np.testing.assert_allclose(features(loaded.network), expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_vgg16_dense_scores_hold_torchvisions_logits_in_their_middle(tmp_path):
    photo = np.random.default_rng(1).standard_normal((3, 224, 224)).astype(np.float32)
    state = tiny_state_dict("vgg16", classes=4, width=1)
    network = load(tmp_path, state, output_stride=32).network
    scores = np.einsum("cd,dhw->chw", network.weight.detach().numpy(), features(network, photo))
    middle = scores[:, 3, 3] + state["classifier.6.bias"].numpy()
    assert scores.shape == (4, 7, 7)
    np.testing.assert_allclose(middle, networks.vgg16_logits(photo, arrays(state)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50", "vgg16"])
@pytest.mark.parametrize("height", [64, 96])
def test_a_denser_grid_holds_the_coarse_one(tmp_path, arch, height):
    """Removing strides by dilation only adds positions: every second one is what the coarser network gives."""
    photo = np.random.default_rng(2).standard_normal((3, height, 128)).astype(np.float32)
    state = tiny_state_dict(arch, width=2)
    grids = {stride: features(load(tmp_path, state, output_stride=stride).network, photo) for stride in (8, 16, 32)}
    for coarse in (16, 32):
        fine = grids[coarse // 2][:, ::2, ::2]
        np.testing.assert_allclose(fine, grids[coarse], rtol=1e-3, atol=1e-4 * fine.max())


@pytest.mark.parametrize(
    ("arch", "stride", "grid"),
    [("resnet18", 8, (6, 8)), ("resnet18", 16, (3, 4)), ("resnet18", 32, (2, 2)), ("resnet50-irn", 16, (3, 4)),
     ("resnet38", 8, (6, 8)), ("vgg16", 8, (5, 7)), ("vgg16", 16, (2, 3)), ("vgg16", 32, (1, 1))],
)  # fmt: skip
def test_grid_sizes(tmp_path, arch, stride, grid):
    loaded = load_classifier(tiny_checkpoint(tmp_path / "c.pth", arch, width=2), output_stride=stride)
    assert features(loaded.network).shape[1:] == grid


@pytest.mark.parametrize(("arch", "stride"), [("resnet38", 16), ("resnet50-irn", 32), ("resnet18", 4), ("vgg16", 64)])
def test_an_impossible_output_stride_is_refused(tmp_path, arch, stride):
    with pytest.raises(UsageError, match="--output-stride"):
        load_classifier(tiny_checkpoint(tmp_path / "c.pth", arch, width=2), output_stride=stride)


@pytest.mark.parametrize("arch", list(zoo.ARCHITECTURES))
def test_what_methods_ask_of_a_classifier(tmp_path, arch):
    loaded = load_classifier(tiny_checkpoint(tmp_path / "c.pth", arch, classes=7, width=2))
    network, x = loaded.network, torch.from_numpy(PHOTO)[None].repeat(2, 1, 1, 1)
    with torch.inference_mode():
        grid = network.features(x)
        assert network.weight.shape == (7, grid.shape[1])
        torch.testing.assert_close(network.pool(grid), network.logits(x))
    assert network.logits(x).shape == (2, loaded.num_classes)
    assert not loaded.network.training
    seen = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: seen.append(name)) for name, layer in network.layers.items()
    ]
    network.features(x)
    for hook in hooks:
        hook.remove()
    assert seen == list(network.layers)


def test_named_layers():
    with torch.device("meta"):
        assert list(zoo.build("resnet18", 2).layers) == ["layer1", "layer2", "layer3", "layer4"]
        assert list(zoo.build("resnet38", 2).layers) == ["b2", "b3", "b4", "b5", "b6", "b7"]
        names = list(zoo.build("vgg16", 2).layers)
    assert (len(names), names[0], names[-1]) == (13, "conv1_1", "conv5_3")


@pytest.mark.parametrize("arch", ["resnet18", "resnet50", "resnet38"])
def test_folding_changes_nothing_but_the_speed(tmp_path, arch):
    path = tiny_checkpoint(tmp_path / "c.pth", arch, width=4)
    plain, folded = (load_classifier(path, for_inference=inference).network for inference in (False, True))
    expected = features(plain)
    norms = [sum(isinstance(module, nn.BatchNorm2d) for module in net.modules()) for net in (plain, folded)]
    assert norms[1] < norms[0]
    np.testing.assert_allclose(features(folded), expected, rtol=1e-4, atol=1e-4 * expected.max())


def test_folding_reaches_vgg16_with_batch_norm(tmp_path):
    torch.save(fill(layouts.vgg16(3, 2, norm=True)), tmp_path / "bn.pth")
    plain, folded = (
        load_classifier(tmp_path / "bn.pth", for_inference=inference).network for inference in (False, True)
    )
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    np.testing.assert_allclose(features(folded), features(plain), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arch", ["resnet18", "resnet38", "vgg16"])
def test_gradients_reach_every_named_layer_through_relus_that_can_be_guided(tmp_path, arch):
    network = load_classifier(tiny_checkpoint(tmp_path / "c.pth", arch, width=2)).network
    guided, outputs = [], {}
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            assert not module.inplace
            module.register_full_backward_hook(lambda m, grads, _: (guided.append(m), (grads[0].clamp(min=0),))[1])
    for name, layer in network.layers.items():
        layer.register_forward_hook(lambda _, __, out, name=name: outputs.__setitem__(name, out))
    scores = network.logits(torch.from_numpy(PHOTO)[None])
    gradients = torch.autograd.grad(scores[0, 0], list(outputs.values()))
    assert guided
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_fresh_networks_are_seeded_and_train():
    torch.manual_seed(3)
    first = zoo.build("resnet18", 4, width=4)
    torch.manual_seed(3)
    second = zoo.build("resnet18", 4, width=4)
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    loss = first.train().logits(torch.from_numpy(PHOTO)[None].repeat(2, 1, 1, 1)).square().mean()
    loss.backward()
    assert all(parameter.grad is not None for parameter in first.parameters())


@pytest.mark.parametrize("arch", list(zoo.ARCHITECTURES))
def test_signals_of_fresh_networks_neither_vanish_nor_explode(arch):
    torch.manual_seed(0)
    network = zoo.build(arch, 4, width=4).train()
    with torch.no_grad():
        spread = network.features(torch.randn(2, 3, 64, 64)).std()
    assert 0.05 < spread < 50


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UsageError, match="resnet38"):
        zoo.build("alexnet", 2)


def test_folding_leaves_norms_after_sums_alone():
    network = zoo.build("resnet38", 2, width=1).eval()
    fold_batch_norms(network)
    assert isinstance(network.get_submodule("b4_1.bn_branch2a"), nn.BatchNorm2d)
    assert isinstance(network.get_submodule("bn7"), nn.BatchNorm2d)


@pytest.mark.parametrize("arch", list(zoo.ARCHITECTURES))
def test_a_width_is_read_from_the_shapes(tmp_path, arch):
    width = 3
    loaded = load_classifier(tiny_checkpoint(tmp_path / "c.pth", arch, classes=5, width=width))
    first = next(module for module in loaded.network.modules() if isinstance(module, nn.Conv2d))
    assert first.out_channels == width
    assert loaded.num_classes == 5
    assert layout_of(arch, 5, width)

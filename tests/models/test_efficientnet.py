import numpy as np
import pytest
import torch
from torch import nn

from camkit.errors import CheckpointError
from camkit.models import efficientnet, zoo
from camkit.models.checkpoint import load_classifier
from camkit.models.state import rename
from tests.models.tiny import tiny_checkpoint, tiny_state_dict
from tests.reference import layouts, networks

LITE = tuple(layouts.EFFICIENTNET_BLOCKS)


def noise(height, width, seed=5):
    return np.random.default_rng(seed).standard_normal((3, height, width)).astype(np.float32)


def features(network, photo):
    with torch.inference_mode():
        return network.features(torch.from_numpy(photo)[None])[0].numpy()


@pytest.mark.parametrize("arch", LITE)
def test_keys_and_shapes_are_the_packages(arch):
    with torch.device("meta"):
        network = zoo.build(arch, 1000)
    published = rename(network.state_dict(), dict(network.published))
    assert {key: tuple(value.shape) for key, value in published.items()} == layouts.efficientnet(arch, 1000)


@pytest.mark.parametrize(
    ("arch", "count"), [*zip(LITE, (4_652_008, 5_416_680, 6_092_072, 8_197_096, 13_006_568), strict=True)]
)
def test_sizes_are_the_published_ones(arch, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in zoo.build(arch, 1000).parameters()) == count


@pytest.mark.parametrize("output_stride", [32, 16, 8])
@pytest.mark.parametrize("size", [(41, 58), (64, 96), (37, 40)])
def test_features_match_the_reference(tmp_path, output_stride, size):
    """Sizes at which the padding of strided convolutions is even, odd, and different in each direction."""
    state, photo = tiny_state_dict("efficientnet-lite0", width=4), noise(*size)
    torch.save(state, tmp_path / "c.pth")
    network = load_classifier(tmp_path / "c.pth", output_stride=output_stride).network
    arrays = {key: value.numpy().astype(np.float64) for key, value in state.items()}
    expected = networks.efficientnet_features(
        photo.astype(np.float64), arrays, layouts.EFFICIENTNET_BLOCKS["efficientnet-lite0"],
        networks.EFFICIENTNET_STRIDES[output_stride],
    )  # fmt: skip
    found = features(network, photo)
    assert found.shape[1:] == tuple(-(-side // output_stride) for side in size)
    assert expected.max() > 1
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arch", LITE)
@pytest.mark.parametrize("width", [1, 3, 8, 32])
def test_no_size_is_taken_for_another(arch, width):
    shapes = {key: tuple(v.shape) for key, v in efficientnet.adapt(meta(arch, width)).items()}
    fitting = [name for name, known in zoo.ARCHITECTURES.items() if known.fits(shapes)]
    assert arch in fitting
    if width > 1:
        assert fitting == [arch]


def meta(arch, width):
    return {key: torch.empty(shape, device="meta") for key, shape in layouts.efficientnet(arch, 3, width).items()}


def test_weights_in_half_precision_are_read_as_float32(tmp_path):
    state = {key: v.half() if v.ndim > 1 else v for key, v in tiny_state_dict("efficientnet-lite2").items()}
    torch.save(state, tmp_path / "half.pth")
    loaded = load_classifier(tmp_path / "half.pth")
    assert loaded.arch == "efficientnet-lite2"
    assert {tensor.dtype for tensor in loaded.network.parameters()} == {torch.float32}


def test_the_wrong_size_is_named(tmp_path):
    path = tiny_checkpoint(tmp_path / "c.pth", "efficientnet-lite1", width=4)
    with pytest.raises(CheckpointError, match=r"is not efficientnet-lite0: it holds efficientnet-lite1"):
        load_classifier(path, arch="efficientnet-lite0")


def test_folding_leaves_no_batch_norm(tmp_path):
    path = tiny_checkpoint(tmp_path / "c.pth", "efficientnet-lite0", width=4)
    plain, folded = (load_classifier(path, for_inference=inference).network for inference in (False, True))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    photo = noise(64, 80)
    np.testing.assert_allclose(features(folded, photo), features(plain, photo), rtol=1e-3, atol=1e-4)


def test_blocks_are_dropped_while_training_only_and_on_average_nothing_changes():
    torch.manual_seed(0)
    block = zoo.build("efficientnet-lite0", 2, width=8).blocks[14]
    block.drop = 0.5
    for norm in (block.expand_norm, block.depthwise_norm, block.project_norm):
        norm.eval()  # so that nothing but dropping tells the modes apart
    x = torch.randn(64, block.expand.in_channels, 4, 4)
    with torch.no_grad():
        trained, rested = block(x), block.eval()(x)
    dropped = (trained == x).flatten(1).all(1)
    assert 16 < dropped.sum() < 48
    torch.testing.assert_close(trained[~dropped], x[~dropped] + 2 * (rested - x)[~dropped])


def test_depthwise_weights_are_drawn_for_what_they_read():
    torch.manual_seed(0)
    network = zoo.build("efficientnet-lite0", 2)
    deviation = float(network.blocks[15].depthwise.weight.detach().std())
    assert deviation == pytest.approx((2 / 9) ** 0.5, rel=0.05)


def test_levels_are_at_the_strides_that_affinities_and_boundaries_read():
    network = zoo.build("efficientnet-lite0", 2, width=4).eval()
    with torch.inference_mode():
        levels = network.levels(torch.zeros(1, 3, 64, 96))
    assert [(64 // level.shape[2], 96 // level.shape[3]) for level in levels] == [(s, s) for s in (2, 4, 8, 16, 16)]
    torch.testing.assert_close(levels[-1], network.features(torch.zeros(1, 3, 64, 96)))

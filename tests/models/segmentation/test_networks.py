"""What every segmentation network promises, on narrow ones."""

import pytest
import torch

from camkit.models.segmentation.network import Group
from tests.models.segmentation.narrow import ARCHITECTURES, LIGHT, OUTPUTS, narrow

ALL = [(arch, None) for arch in ARCHITECTURES] + [("light", trunk) for trunk in LIGHT]
SIZE = (49, 67)


@pytest.fixture(scope="module")
def photo():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("arch", "trunk"), ALL)
def test_scores_of_every_class_at_the_output_stride(arch, trunk, photo):
    network = narrow(arch, trunk)
    with torch.inference_mode():
        logits = network.logits(photo)
        alone = network.logits(photo[:1])
    stride = network.output_stride
    expected = tuple(-(-side // stride) for side in SIZE)
    if trunk == "vgg16":
        expected = tuple(side // stride for side in SIZE)
    assert logits.shape == (2, OUTPUTS, *expected)
    assert network.num_classes == OUTPUTS - 1
    assert logits.isfinite().all()
    assert logits.std() > 0
    torch.testing.assert_close(alone[0], logits[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("arch", "trunk"), [pair for pair in ALL if pair[0] != "eomt"])
def test_every_output_learns_from_one_photo_too(arch, trunk, photo):
    network = narrow(arch, trunk).train()
    outputs = network.outputs(photo[:1])
    assert len(outputs) == len(network.weights)
    torch.stack([output.square().mean() for output in outputs]).sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not silent


@pytest.mark.parametrize(("arch", "trunk"), ALL)
def test_groups_hold_every_parameter_that_learns_once(arch, trunk):
    network = narrow(arch, trunk)
    names = [name for group in network.groups() for name in group.names]
    resting = {name for name, _ in network.named_parameters()} - set(names)
    assert len(set(names)) == len(names)
    assert bool(resting) == (network.frozen_norms and any(part.rate == 0 for part in network.parts))
    norms = {
        f"{owner}.{name}"
        for owner, module in network.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for name, _ in module.named_parameters()
    }
    assert not resting or resting == norms


def test_published_factors():
    factors = {arch: {(g.rate, g.decay) for g in narrow(arch).groups()} for arch in ARCHITECTURES}
    assert factors["deeplabv2-resnet101"] == {(1, 1), (10, 1), (20, 0)}
    assert factors["largefov-vgg16"] == {(1, 1)}
    assert factors["largefov-aspp-vgg16"] == {(1, 1), (10, 1)}
    assert factors["resnet38"] == {(1, 1), (10, 1)}
    assert factors["upernet-swin-t"] == {(1, 1), (1, 0)}
    undecayed = next(group for group in narrow("upernet-swin-t").groups() if group.decay == 0)
    assert isinstance(undecayed, Group)
    assert all("norm" in name or "relative_position" in name for name in undecayed.names)


def test_a_caffe_trunk_reads_blue_first_and_a_converted_one_red(photo):
    caffe, plain = narrow("deeplabv2-resnet50"), narrow("deeplabv2-resnet50", "resnet50")
    assert (caffe.bgr, plain.bgr) == (True, False)
    assert [round(255 * value, 3) for value in caffe.mean] == [122.675, 116.669, 104.008]
    assert all(value * 255 == pytest.approx(1) for value in caffe.std)
    swapped = narrow("deeplabv2-resnet50")
    first = swapped.backbone.conv1
    first.weight.data = first.weight.data.flip(1)
    with torch.inference_mode():
        torch.testing.assert_close(swapped.logits(photo.flip(1)), caffe.logits(photo))
        assert not torch.allclose(plain.logits(photo), caffe.logits(photo))


def test_a_caffe_trunk_strides_in_the_first_convolution_and_dilates_at_once():
    def facts(network):
        stage = network.backbone.layer2[0], network.backbone.layer4[0]
        return (
            stage[0].conv1.stride, stage[0].conv2.stride, stage[1].conv2.dilation, network.backbone.maxpool.ceil_mode
        )  # fmt: skip

    assert facts(narrow("deeplabv2-resnet101")) == ((2, 2), (1, 1), (4, 4), True)
    assert facts(narrow("deeplabv2-resnet101", "resnet101")) == ((1, 1), (2, 2), (2, 2), False)


def test_windows_know_nothing_of_what_the_shift_joined():
    """A change in one corner reaches the opposite one only through windows that truly touch."""
    from camkit.models.segmentation.swin import SwinBlock

    torch.manual_seed(0)
    block = SwinBlock(8, 2, 16, 4, shifted=True, drop=0.0).eval()
    x = torch.randn(1, 8, 8, 8)
    other = x.clone()
    other[0, 0, 0] += torch.randn(8)
    with torch.inference_mode():
        changed = (block(x) - block(other)).abs().amax(-1)[0] > 1e-6
    assert changed[:2, :2].all()
    assert not changed[2:].any()
    assert not changed[:, 2:].any()


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (30, 33)])
def test_a_vits_positions_stretch_with_the_photo(size):
    network = narrow("light", "vit")
    with torch.inference_mode():
        assert network.logits(torch.randn(1, 3, *size)).shape[-2:] == (-(-size[0] // 8), -(-size[1] // 8))


def test_queries_look_inside_of_their_masks_only_while_they_are_told_to(photo):
    network = narrow("eomt")
    with torch.inference_mode():
        assert len(network.predictions(photo)) == 1
        plain = network.logits(photo)
        network.attn_mask_probs.fill_(1)
        assert len(network.predictions(photo)) == 3
        masked = network.logits(photo)
        network.attn_mask_probs.fill_(0.5)
        torch.testing.assert_close(network.logits(photo), plain)
    assert not torch.allclose(plain, masked)

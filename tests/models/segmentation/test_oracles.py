"""Numbers of the published segmentation programs, with seeded weights regenerated from their keys and shapes."""

import os
from functools import partial

import numpy as np
import pytest
import torch

from camkit.methods.response import normalised
from camkit.methods.segmentation import (
    cross_entropy,
    fuse,
    logits_of_scales,
    multi_output_loss,
    on_grid,
    outputs_to_train,
    scaled,
    segment,
    to_photo,
)
from camkit.models.segmentation.checkpoint import load_segmentation
from tests.support.segmentation import photo, seeded_state

pytestmark = pytest.mark.slow

PARITY = 1e-3
LEFT_OUT = [] if os.environ.get("CAMKIT_ORACLES") == "all" else ["large"]
large = pytest.mark.skipif(bool(LEFT_OUT), reason="a larger relative of what is compared; CAMKIT_ORACLES=all")

CROP_38 = (20, 120, 30, 141)
CROP_SWIN = (20, 148, 30, 158)


@pytest.fixture
def load(oracles, tmp_path):
    def loading(name, **options):
        path = tmp_path / f"{name}.pth"
        torch.save(seeded_state(oracles, name) | options.pop("more", {}), path)
        loaded = load_segmentation(path, **options)
        path.unlink()
        return loaded

    return loading


@pytest.fixture
def outputs(oracles):
    return lambda name: np.load(oracles / "segmentation" / f"{name}.npz")


def logits_of(network, images):
    with torch.inference_mode():
        return network.logits(normalised(images, network.mean, network.std))


def labels_of(network, logits, size):
    return to_photo(logits, size, corners=network.corners).argmax(1)[0].numpy()


def close(found, expected, tolerance=PARITY):
    assert found.shape == expected.shape
    difference = float(np.abs(np.asarray(found, np.float64) - expected).max())
    print(f"largest difference {difference:.1e}")
    assert difference <= tolerance


@pytest.mark.parametrize(
    ("checkpoint", "name", "arch", "crop"),
    [
        ("deeplab_largefov_vgg16", "deeplab_largefov", "largefov-vgg16", None),
        ("torchvision_deeplabv3_resnet50", "torchvision_deeplabv3_resnet50", "deeplabv3-resnet50", None),
        pytest.param(
            "torchvision_deeplabv3_resnet101", "torchvision_deeplabv3_resnet101", "deeplabv3-resnet101", None,
            marks=large,
        ),
        ("upernet_swin_t", "upernet_swin", "upernet-swin-t", CROP_SWIN),
    ],
)  # fmt: skip
def test_one_pass_gives_the_published_logits_and_labels(load, outputs, oracles, checkpoint, name, arch, crop):
    loaded, expected = load(checkpoint, for_inference=False), outputs(name)
    assert (loaded.arch, loaded.classes, loaded.ignored) == (arch, None, ())
    network = loaded.network
    images = photo(oracles, "a", crop)
    with torch.inference_mode():
        found = network.outputs(normalised(images, network.mean, network.std))
    close(found[0][0].numpy(), expected["logits"])
    if "aux_logits" in expected:
        close(found[1][0].numpy(), expected["aux_logits"])
    labels = labels_of(network, found[0], images.shape[-2:])
    assert (labels != expected["labels"]).mean() < 1e-4


@pytest.mark.parametrize("arch", [pytest.param("s", marks=large), pytest.param("b", marks=large)])
def test_larger_swins_are_told_apart(load, arch):
    loaded = load(f"upernet_swin_{arch}")
    assert (loaded.arch, loaded.network.num_classes) == (f"upernet-swin-{arch}", 20)


def test_deeplab_v2_and_its_fusion(load, outputs, oracles):
    loaded, expected = load("deeplabv2_resnet101"), outputs("deeplabv2")
    network, images = loaded.network, photo(oracles, "a")
    assert (loaded.arch, network.bgr, loaded.ignored) == ("deeplabv2-resnet101", True, ())
    scales = (1, 0.75, 0.5)
    with torch.inference_mode():
        maps = list(logits_of_scales(images, network, scales, resizing="factor"))
        for scale, found in zip(scales, maps, strict=True):
            close(found[0].numpy(), expected[f"logits_scale{scale}"])
        size = images.shape[-2:]
        together = fuse(maps, size, "max-logits")
        whole = segment(images, network, size, scales, fusion="max-logits", resizing="factor")
        older = fuse(logits_of_scales(images, network, scales, resizing="bilinear"), size, "max-logits")
    stored = [2, 3, 7]
    close(together[0, stored].numpy(), expected["probs_max_f16"].astype(np.float64))
    close(whole[0, stored].numpy(), expected["probs_max_f16"].astype(np.float64))
    assert (together.argmax(1)[0].numpy() != expected["labels_max"]).mean() < 1e-4
    by_old_torch = to_photo(torch.from_numpy(expected["logits_max_old_torch"])[None], size).softmax(1)
    close(older.numpy(), by_old_torch.numpy())


@pytest.mark.parametrize("letter", ["a"])
def test_resnet38_and_its_fusion(load, outputs, oracles, letter):
    loaded, expected = load("resnet38_seg"), outputs("resnet38_seg")
    assert (loaded.arch, loaded.ignored) == ("resnet38", ())
    images, scales = photo(oracles, letter, CROP_38), (0.5, 0.75, 1, 1.25, 1.5)
    with torch.inference_mode():
        maps = list(logits_of_scales(images, loaded.network, scales, resizing="corners"))
        found = fuse(maps, images.shape[-2:], "max")[0]
    for scale, logits in zip(scales, maps, strict=True):
        close(logits[0].numpy(), expected[f"logits_scale{scale}"])
    close(found[[12, 15, 20]].numpy(), expected["fused_f16"].astype(np.float64))
    assert (found.argmax(0).numpy() != expected["labels"]).mean() < 1e-4


@pytest.mark.parametrize("mode", ["masked", "plain"])
def test_eomt(load, outputs, oracles, mode):
    loaded = load("eomt_small", more={"attn_mask_probs": torch.full((3,), float(mode == "masked"))})
    network, expected = loaded.network, outputs("eomt_small")
    assert (loaded.arch, network.num_classes) == ("eomt", 20)
    x = normalised(photo(oracles, "a", CROP_SWIN), network.mean, network.std)
    with torch.inference_mode():
        predictions = network.predictions(x)
        scores = network.logits(x).exp()[0].numpy()
    assert len(predictions) == {"masked": 4, "plain": 1}[mode]
    for number, (masks, classes) in enumerate(predictions):
        stored = expected[f"{mode}_mask_logits_{number}"]
        close(masks[0, : len(stored)].numpy(), stored)
        close(classes[0].numpy(), expected[f"{mode}_class_logits_{number}"])
    close(scores[:3], expected[f"{mode}_semantic_first3_f16"].astype(np.float64))
    assert (scores.argmax(0) != expected[f"{mode}_semantic_labels"]).mean() < 1e-3


def test_mmsegmentation_names_the_same_network_otherwise(load, oracles, tmp_path):
    loaded = load("upernet_swin_t")
    renamed = {}
    for key, value in seeded_state(oracles, "upernet_swin_t").items():
        theirs = key.replace("backbone.layers.", "backbone.stages.").replace(".attn.", ".attn.w_msa.")
        theirs = theirs.replace(".mlp.fc1.", ".ffn.layers.0.0.").replace(".mlp.fc2.", ".ffn.layers.1.")
        theirs = theirs.replace("patch_embed.proj", "patch_embed.projection")
        if ".downsample." in key:
            blocks = value.unflatten(-1, (4, -1))
            value = blocks[..., [0, 2, 1, 3], :].transpose(-1, -2).flatten(-2)  # noqa: PLW2901
        renamed[theirs] = value
    torch.save({"state_dict": renamed}, tmp_path / "mmseg.pth")
    other = load_segmentation(tmp_path / "mmseg.pth")
    assert other.arch == "upernet-swin-t"
    for (key, first), second in zip(
        loaded.network.state_dict().items(), other.network.state_dict().values(), strict=True
    ):
        assert torch.equal(first, second), key


RATE, MOMENTUM, DECAY, POWER, STEPS = 2.5e-7, 0.9, 5e-4, 0.9, 10
CROPS = {"a": (20, 117, 30, 127), "b": (60, 157, 10, 107)}


def test_three_training_steps_of_deeplab_v2(load, outputs, oracles, deeplab_steps):
    """Two crops a step, one after the other; losses of all outputs, and weights after each step."""
    network, stored = load("deeplabv2_resnet101", for_inference=False).network, outputs("deeplabv2_train")
    labels = torch.from_numpy(stored["labels"]).long()
    images = [photo(oracles, letter, crop) for letter, crop in CROPS.items()]
    for number, side in ((n, side) for n in (0, 1) for side in (13, 7, 10)):
        assert np.array_equal(on_grid(labels[number], (side, side)).numpy(), stored[f"labels_resized_{number}_{side}"])
    optimiser, weights = optimiser_of(network), dict(network.named_parameters())
    assert sorted((len(g.names), sum(weights[name].numel() for name in g.names)) for g in network.groups()) == sorted(
        map(tuple, deeplab_steps["group_sizes"])
    )
    before = {key: value.clone() for key, value in network.published_state().items()}
    for step, expected in enumerate(deeplab_steps["iterations"]):
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * (1 - step / STEPS) ** POWER
        optimiser.zero_grad()
        for number, micro in enumerate(expected["micro"]):
            x = normalised(images[number], network.mean, network.std)
            outs = outputs_to_train(network, x, "factor")
            losses = [cross_entropy(out, on_grid(labels[number : number + 1], out.shape[-2:])).item() for out in outs]
            close(np.array(losses), np.array(micro["loss_per_output_100_50_75_max"]))
            total = multi_output_loss(network, outs, cross_entropy, labels[number : number + 1])
            close(np.array(total.item()), np.array(micro["sum"]))
            (total / len(images)).backward()
        optimiser.step()
        state = network.published_state()
        for key, told in expected["weights_after"].items():
            own = key.removeprefix("base.")
            close(state[own].flatten()[:3].numpy(), np.array(told["first3"]), 1e-6)
            change = float((state[own].double() - before[own].double()).norm())
            assert change == pytest.approx(told["norm_of_change_from_start"], rel=0.02)


@pytest.fixture
def deeplab_steps(oracles):
    import json

    return json.loads((oracles / "segmentation" / "deeplabv2.json").read_text())["training_step"]


def optimiser_of(network):
    weights = dict(network.named_parameters())
    groups = [
        {
            "params": [weights[name] for name in group.names],
            "rate": RATE * group.rate,
            "lr": RATE * group.rate,
            "weight_decay": DECAY * group.decay,
        }
        for group in network.groups()
    ]
    return torch.optim.SGD(groups, momentum=MOMENTUM)


def test_scales_are_those_of_the_published_programs(oracles):
    images = photo(oracles, "a")
    sizes = {resizing: tuple(scaled(images, 0.75, resizing).shape[-2:]) for resizing in ("factor", "bilinear")}
    assert sizes == {"factor": (135, 180), "bilinear": (135, 180)}
    by = partial(scaled, images, 0.75)
    apart = float((by("factor") - by("bilinear")).abs().max())
    assert apart == pytest.approx(96.67359161376953, abs=0.01)

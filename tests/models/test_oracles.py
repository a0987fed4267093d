"""Numbers of the authors' own programs, with seeded weights regenerated from the published keys and shapes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from camkit.models.checkpoint import load_classifier
from tests.support.oracles import seeded_arrays, sha1_of

PHOTOS = ("2007_000001", "2007_000002", "2007_000003")


@pytest.fixture(scope="module", params=[("resnet38_cls", "psa_cam"), ("resnet50_cam", "irn_cam")], ids=["psa", "irn"])
def oracle(request, oracles, tmp_path_factory):
    checkpoint, outputs = request.param
    described = json.loads((oracles / f"{checkpoint}_state_dict.json").read_text())
    state = seeded_arrays(oracles, described)
    assert sha1_of(described, state) == described["sha1_of_float32_bytes_canonical_keys_in_shapes_order"]
    path = tmp_path_factory.mktemp("oracle") / f"{checkpoint}.pth"
    torch.save({key: torch.from_numpy(value) for key, value in state.items()}, path)
    yield load_classifier(path), np.load(oracles / f"{outputs}.npz"), outputs
    path.unlink()


def _class_maps(network, x):
    grid = network.features(x)
    maps = torch.einsum("cd,bdhw->bchw", network.weight, grid).relu()[0].numpy()
    return maps, network.pool(grid)[0].numpy()


@pytest.mark.slow
def test_logits_and_maps_match_the_published_programs(oracle, oracles):
    loaded, outputs, name = oracle
    assert loaded.arch == {"psa_cam": "resnet38", "irn_cam": "resnet50-irn"}[name]
    assert loaded.ignored == ()
    compared = 0
    for photo in PHOTOS:
        pixels = np.asarray(Image.open(oracles / "images" / f"{photo}.png").convert("RGB"), np.float32) / 255
        normalised = (pixels - np.float32(loaded.mean)) / np.float32(loaded.std)
        x = torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy())
        with torch.inference_mode():
            maps, logits = _class_maps(loaded.network, x)
        np.testing.assert_allclose(logits, outputs[f"{photo}_logits"], atol=2e-3)
        if f"{photo}_lowres_scale1" in outputs:
            np.testing.assert_allclose(maps, outputs[f"{photo}_lowres_scale1"], atol=2e-3)
            compared += 1
        if f"{photo}_lowres_scale1.0" in outputs:
            with torch.inference_mode():
                mirrored, _ = _class_maps(loaded.network, x.flip(-1))
            both = maps + mirrored[..., ::-1]
            np.testing.assert_allclose(both, outputs[f"{photo}_lowres_scale1.0"], atol=2e-3)
            compared += 1
    assert compared


def test_the_shared_classifier_is_recognised(shared):
    loaded = load_classifier(shared / "checkpoints" / "voc-animals-resnet18-half.pth")
    assert (loaded.arch, loaded.num_classes, loaded.output_stride, loaded.classes) == ("resnet18", 20, 16, None)
    assert loaded.network.weight.shape == (20, 256)
    assert loaded.ignored == ()

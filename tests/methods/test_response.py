from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camkit.methods.cam import cam, class_maps
from camkit.methods.resize import by_weights, resize_maps, resize_photos, scaled_size
from camkit.methods.response import network_input, normalise, response_with_mirror, scale_pyramid, sum_responses
from camkit.types import Resolution
from tests.reference import cam as reference


class TinyClassifier:
    """A 4×4 average of the colours and of their products, and four random classes."""

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    weight = torch.from_numpy(np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        both = torch.cat([x, x * x.roll(1, dims=1)], dim=1)
        return torch.nn.functional.avg_pool2d(both, 4, ceil_mode=True)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x).mean((2, 3)) @ self.weight.T


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise and smooth parts."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((width, height))
    noise = rng.integers(-40, 41, (height, width, 3))
    return np.clip(np.asarray(coarse, dtype=np.int64) + noise, 0, 255).astype(np.uint8)


def as_batch(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0, 0.37, 1.0])
@pytest.mark.parametrize("size", [(97, 131), (64, 48), (1, 9)])
def test_photos_are_resized_as_pillow_does(scale: float, size: tuple[int, int]) -> None:
    image = photo(*size)
    target = scaled_size(size, scale)
    ours = resize_photos(as_batch(image), target)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(ours, reference.resize_photo(image, target))


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 90), st.integers(1, 90)))
@settings(max_examples=60, deadline=None)
def test_what_a_gpu_computes_is_pillow_rows_first(size: tuple[int, int], target: tuple[int, int]) -> None:
    image = photo(*size)
    ours = by_weights(as_batch(image), target)[0].permute(1, 2, 0).numpy()
    along_rows = reference.resize_photo(image, (size[0], target[1]))
    np.testing.assert_array_equal(ours, reference.resize_photo(along_rows, target))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_maps_are_resized_as_the_slow_loop_does(h: int, w: int, height: int, width: int) -> None:
    values = np.random.default_rng(h * 10 + w).random((h, w))
    ours = resize_maps(torch.from_numpy(values)[None, None].float(), (height, width))[0, 0].numpy()
    np.testing.assert_allclose(ours, reference.resize_map(values, (height, width)), atol=1e-5)


def test_class_maps_are_zero_where_no_class_is_asked() -> None:
    features = torch.randn(2, 6, 3, 4)
    maps = class_maps(features, TinyClassifier.weight, torch.tensor([[2, -1], [0, 3]]))
    assert maps.shape == (2, 2, 3, 4)
    assert (maps[0, 1] == 0).all()
    for b, c, row in [(0, 2, 0), (1, 0, 0), (1, 3, 1)]:
        slow = reference.class_map(features[b].numpy(), TinyClassifier.weight[c].numpy())
        np.testing.assert_allclose(maps[b, row].numpy(), slow, atol=1e-5)


@pytest.mark.parametrize(("flip", "multiple"), [(True, 1), (False, 1), (True, 16)])
@pytest.mark.parametrize("size", [(37, 50), (10, 13)])
def test_multi_scale_cam_equals_the_slow_reference(flip: bool, multiple: int, size: tuple[int, int]) -> None:
    network = TinyClassifier()
    image = photo(37, 50)
    scales = (1.0, 0.5, 1.5, 2.0)

    def features(pixels: np.ndarray) -> np.ndarray:
        normalised = (pixels / 255 - np.array(network.mean)) / np.array(network.std)
        return network.features(torch.from_numpy(normalised).permute(2, 0, 1)[None])[0].numpy()

    slow = reference.multi_scale_cam(image, [1, 3], features, network.weight.numpy(), scales, size, flip, multiple)
    total = sum_responses(
        partial(cam, classifier=network), scale_pyramid(as_batch(image), scales), torch.tensor([[1, 3]]), size,
        flip=flip, multiple=multiple,
    )  # fmt: skip
    np.testing.assert_allclose(normalise(total)[0].numpy(), slow, atol=2e-3)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_maps_lie_in_0_1_and_do_not_depend_on_the_batch(classes: list[int], seed: int) -> None:
    response = partial(cam, classifier=TinyClassifier())
    first, second = photo(24, 20, seed), photo(24, 20, seed + 1)

    def maps(images: torch.Tensor, asked: list[list[int]]) -> torch.Tensor:
        return normalise(sum_responses(response, scale_pyramid(images, (1.0, 0.5)), torch.tensor(asked), (24, 20)))

    together = maps(as_batch(first, second), [classes, classes[::-1]])
    assert together.min() >= 0
    assert together.max() <= 1
    torch.testing.assert_close(together[:1], maps(as_batch(first), [classes]), atol=1e-5, rtol=0)
    torch.testing.assert_close(together[1:], maps(as_batch(second), [classes[::-1]]), atol=1e-5, rtol=0)


def test_a_symmetric_photo_has_a_symmetric_response() -> None:
    half = photo(16, 12)
    image = as_batch(np.concatenate([half, half[:, ::-1]], axis=1))
    maps = response_with_mirror(partial(cam, classifier=TinyClassifier()), image, torch.tensor([[0, 1]]))
    torch.testing.assert_close(maps, maps.flip(-1))


def test_an_empty_pyramid_is_an_error() -> None:
    with pytest.raises(ValueError, match="pyramid"):
        sum_responses(partial(cam, classifier=TinyClassifier()), [], torch.tensor([[0]]), (4, 4))


def test_network_input_is_normalised_rgb() -> None:
    pixels = torch.full((1, 3, 2, 2), 255.0)
    expected = (1 - torch.tensor(TinyClassifier.mean)) / torch.tensor(TinyClassifier.std)
    torch.testing.assert_close(network_input(pixels, TinyClassifier())[0, :, 0, 0], expected)


MINUTES = pytest.mark.skipif(
    os.environ.get("CAMKIT_ORACLES") != "all", reason="takes minutes: CAMKIT_ORACLES=all; one photo in test_infercam.py"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("checkpoint", "oracle", "size", "array"),
    [
        ("resnet50_cam", "irn_cam", "full", "high_res"),
        ("resnet50_cam", "irn_cam", 4, "cam"),
        pytest.param("resnet38_cls", "psa_cam", "full", "norm_cam", marks=MINUTES),
    ],
)
def test_parity_with_the_published_programs(
    oracles: Path, tmp_path: Path, checkpoint: str, oracle: str, size: Resolution, array: str
) -> None:
    import camkit
    from tests.support.oracles import seeded_checkpoint

    expected = np.load(oracles / f"{oracle}.npz")
    ids = sorted(json.loads((oracles / f"{oracle}.json").read_text())["images"])
    labels = {f"2007_{int(n):06d}": present for n, present in json.loads((oracles / "labels.json").read_text()).items()}
    (tmp_path / "labels.csv").write_text("".join(f"{id},{','.join(map(str, c))}\n" for id, c in labels.items()))
    (tmp_path / "list.txt").write_text("\n".join(ids))
    camkit.cam(
        camkit.Inputs(oracles / "images", list=str(tmp_path / "list.txt"), labels=tmp_path / "labels.csv"),
        camkit.Network(seeded_checkpoint(oracles, checkpoint, tmp_path / "published.pth")),
        camkit.Output(tmp_path / "cams.h5", dtype="float32"),
        size=size,
    )
    with camkit.open_store(tmp_path / "cams.h5") as store:
        assert list(store.ids) == ids
        for activation in store:
            assert list(activation.classes) == labels[activation.id]
            np.testing.assert_allclose(activation.values, expected[f"{activation.id}_{array}"], rtol=0, atol=2e-3)

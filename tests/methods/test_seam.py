"""SEAM's refined maps against a slow reference, and what holds for any of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from camkit.methods import seam
from camkit.methods.response import scale_pyramid, sum_responses
from tests.methods.test_response import TinyClassifier, as_batch, photo
from tests.reference import seam as reference

SCALES = (1.0, 0.5)


class TinyRefiner(TinyClassifier):
    """As the tiny classifier; positions are told apart by their colours."""

    def features_and_embedding(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(x)
        return features, features[:, :3]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_winning_maps_equal_the_slow_reference() -> None:
    scores = drawn(2, 4, 5, 6)
    scores[0, 2] = -1  # a class that is nowhere
    scores[1, 3] = scores[1, 1]  # two that are alike
    found = seam.winning_maps(scores)
    for maps, one in zip(found, scores, strict=True):
        np.testing.assert_allclose(maps.numpy(), reference.winning_maps(one.numpy()), atol=1e-6)


@pytest.mark.parametrize("block", [1 << 25, 1 << 8, 1])
def test_spread_equals_the_slow_reference_in_blocks_of_any_size(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "LARGEST_BLOCK", block)
    maps, embedding = drawn(2, 3, 4, 5).abs(), drawn(2, 6, 4, 5, seed=1)
    embedding[0, :, 1, 1] = 0  # a position like none, itself included
    found = seam.spread(maps, embedding)
    for b in range(2):
        for c in range(3):
            slow = reference.spread(maps[b, c].numpy(), embedding[b].numpy())
            np.testing.assert_allclose(found[b, c].numpy(), slow, atol=1e-6)
    assert (found[0, :, 1, 1] == 0).all()


@pytest.mark.parametrize("size", [(24, 30), (6, 8)])
def test_multi_scale_maps_equal_the_slow_reference(size: tuple[int, int]) -> None:
    network, image = TinyRefiner(), photo(24, 30)

    def seen(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        normalised = (pixels / 255 - np.array(network.mean)) / np.array(network.std)
        x = torch.from_numpy(normalised.astype(np.float32)).permute(2, 0, 1)[None]
        features, embedding = network.features_and_embedding(x)
        return torch.einsum("cd,bdhw->bchw", network.weight, features)[0].numpy(), embedding[0].numpy()

    slow = reference.multi_scale(image, [1, 3], seen, SCALES, size)
    maps = seam.multi_scale_refined_cam(
        as_batch(image), torch.tensor([[1, 3]]), size, network=network, scales=SCALES
    )  # fmt: skip
    np.testing.assert_allclose(maps[0].numpy(), slow, atol=1e-3)
    assert maps.min() == 0
    assert maps.max() > 0.999


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_means_never_leave_the_range_of_what_they_are_of(classes: int, height: int, width: int, seed: int) -> None:
    winning = seam.winning_maps(drawn(1, classes, height, width, seed=seed))
    assert winning.min() >= 0
    assert winning.max() <= 1
    assert ((winning == 0) | (winning == winning.amax(1, keepdim=True))).all()
    found = seam.spread(winning, drawn(1, 3, height, width, seed=seed + 1))
    assert found.min() >= 0
    assert (found <= winning.amax((-2, -1), keepdim=True) + 1e-6).all()


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=4), st.integers(0, 99))
def test_maps_do_not_depend_on_the_batch_nor_on_the_classes_asked(classes: list[int], seed: int) -> None:
    images = as_batch(photo(16, 20, seed), photo(16, 20, seed + 1))
    maps = partial(seam.multi_scale_refined_cam, size=(16, 20), network=TinyRefiner(), scales=SCALES)
    together = maps(images, torch.tensor([classes, classes[::-1]]))
    torch.testing.assert_close(together[1:], maps(images[1:], torch.tensor([classes[::-1]])), atol=1e-5, rtol=0)
    every = maps(images[:1], torch.arange(4)[None])
    for row, c in enumerate(classes):
        expected = torch.zeros(16, 20) if c < 0 else every[0, c]
        torch.testing.assert_close(together[0, row], expected, atol=1e-5, rtol=0)


def test_a_photo_and_its_mirror_image_have_mirrored_maps() -> None:
    response = partial(seam.refined_cam, network=TinyRefiner())
    image, classes = as_batch(photo(20, 24)), torch.tensor([[0, 2]])
    maps = [sum_responses(response, scale_pyramid(x, SCALES), classes, (20, 24)) for x in (image, image.flip(-1))]
    torch.testing.assert_close(maps[0], maps[1].flip(-1), atol=1e-4, rtol=0)


def test_a_constant_map_is_0() -> None:
    maps = torch.tensor([0.0, 0.8, 3.0]).view(1, 3, 1, 1).expand(1, 3, 4, 5)
    assert (seam.stretch(maps) == 0).all()

"""Signed scores over scales and mirror images."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from camkit.methods.infercam import Inference, Views, infer_cam
from camkit.methods.resize import resize_maps, resize_photos
from camkit.methods.signed import balance, multi_scale_scores, positive_scores

IMAGES = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0)).mul(255).round()
CLASSES = torch.tensor([[0, 2], [1, -1]])


def scorer(images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Of a quarter of the size: class c is where channel c is bright; not the same mirrored."""
    small = torch.nn.functional.avg_pool2d(images / 100 - 1.2, 4)
    small = small + torch.linspace(-0.1, 0.1, small.shape[-1])
    at = classes.clamp_min(0)[:, :, None, None].expand(-1, -1, *small.shape[-2:])
    return small.gather(1, at) * (classes >= 0)[:, :, None, None]


def test_scores_are_means_over_scales_and_mirror_images() -> None:
    parts = []
    for height, width in ((24, 32), (12, 16)):
        seen = resize_photos(IMAGES, (height, width))
        for image, turn in ((seen, lambda x: x), (seen.flip(-1), lambda x: x.flip(-1))):
            parts.append(turn(resize_maps(scorer(image, CLASSES), (10, 11))))
    expected = torch.stack(parts).mean(0)
    options = {"scorer": scorer, "scales": (1.0, 0.5), "flip": True}
    found = multi_scale_scores(IMAGES, CLASSES, (10, 11), raw=True, **options)
    torch.testing.assert_close(found, expected)
    balanced = multi_scale_scores(IMAGES, CLASSES, (10, 11), **options)
    torch.testing.assert_close(balanced, balance(expected))
    alone = multi_scale_scores(IMAGES, CLASSES, (6, 8), scorer=scorer, scales=(1.0,), raw=True)
    torch.testing.assert_close(alone, scorer(IMAGES, CLASSES))


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e4])
def test_balanced_scores_keep_their_signs_and_lie_within_1(factor: float) -> None:
    scores = factor * scorer(IMAGES, CLASSES)
    found = balance(scores)
    assert torch.equal(found.sign(), scores.sign())
    assert found.abs().max() <= 1
    assert found[0].abs().amax((1, 2)).min() > 0.97
    assert not found[1, 1].any()


def test_the_positive_part_is_a_response_map_that_infercam_takes() -> None:
    response = partial(positive_scores, scorer=scorer)
    torch.testing.assert_close(response(IMAGES, CLASSES), scorer(IMAGES, CLASSES).relu())
    views = Views(scales=(1.0,), flip=False)
    maps, notes = infer_cam(
        IMAGES, CLASSES, (12, 16), response=response, inference=Inference(), views=views, mean_colour=[120, 120, 120]
    )
    assert maps.shape == (2, 2, 12, 16)
    assert 0 <= maps.min() < maps.max() <= 1
    assert len(notes) == 2

"""What `segment` makes of a photo: kept classes, tiles, masks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from camkit.data.images import ImageSet
from camkit.pipeline.device import choose_device
from camkit.settings.segmentation import Looking, Tiles
from camkit.stages.maps import Grid
from camkit.stages.segment import LEAST, _Step, kept_classes
from camkit.types import Record


class Local(nn.Module):
    """Three strided convolutions: a position knows what is 15 pixels around it, and nothing else."""

    mean, std = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
    corners, padded_grid, coarse_labels, pyramid, weights, num_classes = False, 1, False, (), (1.0,), 3

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 8, 8, 4)
        self.layers = nn.Sequential(*(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)))

    def logits(self, x: Tensor) -> Tensor:
        return 5 * self.layers(x)


PLAIN = Looking()


def step(tile: int, *, masks: bool, stride: int, looking: Looking = PLAIN) -> _Step:
    network = cast("Any", Local().eval())
    grid = Grid(stride)
    return _Step(
        network, looking, Tiles(tile, 32), choose_device("cpu"), grid, None, masks, ImageSet(Path(), {})
    )  # fmt: skip


def record() -> Record:
    image = np.random.default_rng(0).integers(0, 256, (192, 320, 3), dtype=np.uint8)
    return Record("a", (192, 320), image=image)


@pytest.mark.parametrize("stride", [1, 4])
def test_tiles_give_what_the_whole_photo_gives(stride: int) -> None:
    """Seen far enough around, seams are nowhere."""
    whole, parts = (step(tile, masks=False, stride=stride)([record()])[0] for tile in (1024, 64))
    np.testing.assert_array_equal(parts.classes, whole.classes)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-5)
    assert whole.values.shape[1:] == (192 // stride, 320 // stride)


def test_masks_of_tiles_are_those_of_the_whole_photo() -> None:
    whole, parts = (step(tile, masks=True, stride=1)([record()])[0].values for tile in (1024, 64))
    assert parts.dtype == np.uint8
    assert parts.shape == (192, 320)
    assert (parts == whole).mean() > 0.999  # two classes may be equally probable


def test_mirrored_scales_in_tiles_differ_at_seams_alone() -> None:
    looking = Looking((1.0, 0.5), flip=True)
    whole, parts = (step(tile, masks=False, stride=1, looking=looking)([record()])[0].values for tile in (1024, 128))
    inner = np.s_[:, 16:112, 16:112]
    np.testing.assert_allclose(parts[inner], whole[inner], atol=1e-4)


def test_classes_are_kept_that_are_probable_or_win_somewhere() -> None:
    probs = np.zeros((5, 2, 2), np.float32)
    probs[0] = 1
    probs[2, 0, 0] = 2 * LEAST
    probs[3] = LEAST / 2
    assert kept_classes(probs).tolist() == [1]
    probs[:, 1, 1] = [0.001, 0, 0, 0.002, 0.003]
    assert kept_classes(probs).tolist() == [1, 3]

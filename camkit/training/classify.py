"""What training a classifier on image-level labels adds to the loop: samples, loss, judgement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.data.images import read_image
from camkit.errors import CamkitError, ImageError
from camkit.methods.response import network_input
from camkit.models.classifier import ClassifierNetwork, Colour
from camkit.pipeline.device import Device
from camkit.pipeline.load import Failure
from camkit.settings.recipe import Augmentation, LossOver
from camkit.training.augment import draw_geometry, jitter_colours
from camkit.types import Box, Size

SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Item:
    """A photo, or the patch `box` of one of `size`, and the classes its labels name."""

    id: str
    path: Path
    present: tuple[int, ...]
    box: Box | None = None
    size: Size | None = None


class Sample(NamedTuple):
    photo: np.ndarray  # [h, w, 3] uint8
    target: np.ndarray  # [C] float32 of 0 and 1


class Batch(NamedTuple):
    images: Tensor  # [B, 3, H, W] float32 in [0, 255]
    targets: Tensor  # [B, C]


def load_sample(
    item: Item, rng: np.random.Generator, *, augmentation: Augmentation, num_classes: int, fill: tuple[int, int, int]
) -> Sample | Failure:
    photo = read_photo(item)
    if isinstance(photo, Failure):
        return photo
    geometry = draw_geometry((photo.shape[0], photo.shape[1]), augmentation, rng)
    photo = jitter_colours(geometry.warp(photo, fill=fill), augmentation.jitter, rng)
    return Sample(photo, target_of(item, num_classes))


def read_photo(item: Item) -> np.ndarray | Failure:
    """[h, w, 3] uint8, of a patch that alone."""
    try:
        photo, size = read_image(item.path)
        _check_size(item, size)
    except CamkitError as error:
        return Failure(item.id, error)
    if item.box is None:
        return photo
    top, left, bottom, right = item.box
    return photo[top:bottom, left:right]


def target_of(item: Item, num_classes: int) -> np.ndarray:
    target = np.zeros(num_classes, np.float32)
    target[list(item.present)] = 1
    return target


def _check_size(item: Item, found: Size) -> None:
    if item.size is not None and item.size != found:
        raise ImageError(
            f"{item.path} is {found[1]}x{found[0]}, but --patches has maps of a photo of {item.size[1]}x{item.size[0]}"
        )


def mean_colour(mean: Colour) -> tuple[int, int, int]:
    """What becomes 0 in the network's input."""
    red, green, blue = (round(255 * value) for value in mean)
    return red, green, blue


def collate(
    samples: Sequence[Sample], *, device: Device, fill: tuple[int, int, int], channels_last: bool = False
) -> Batch:
    images = stack_photos([sample.photo for sample in samples], device=device, fill=fill, channels_last=channels_last)
    targets = torch.from_numpy(np.stack([sample.target for sample in samples]))
    return Batch(images, targets.to(device.torch_device))


def stack_photos(
    shown: Sequence[np.ndarray], *, device: Device, fill: tuple[int, int, int], channels_last: bool, multiple: int = 1
) -> Tensor:
    """[B, 3, H, W] float32 in [0, 255]: filled up to the largest, slivers to what every network can see."""
    height, width = (
        -(-max(SMALLEST_SIDE, *(photo.shape[side] for photo in shown)) // multiple) * multiple for side in (0, 1)
    )
    photos = np.empty((len(shown), height, width, 3), np.uint8)
    photos[:] = fill
    for canvas, photo in zip(photos, shown, strict=True):
        canvas[: photo.shape[0], : photo.shape[1]] = photo
    order = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.from_numpy(photos).to(device.torch_device).permute(0, 3, 1, 2)
    return images.float().contiguous(memory_format=order)


def losses(network: nn.Module, batch: Batch, epochs_done: float, *, over: LossOver) -> dict[str, Tensor]:
    assert isinstance(network, ClassifierNetwork)
    logits = network.logits(network_input(batch.images, network))
    return {"classification": classification_loss(logits, batch.targets, over)}


def classification_loss(logits: Tensor, targets: Tensor, over: LossOver) -> Tensor:
    """Binary cross entropy of every class: the mean over photos of the mean, or the sum, over classes. Both [B, C]."""
    every = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return (every.sum(1) if over == "sum" else every.mean(1)).mean()


def validation_loss(scores: np.ndarray, truth: np.ndarray, over: LossOver) -> float:
    """The same loss, of sigmoid scores [N, C] against truth [N, C] of 0 and 1."""
    chances = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    every = -(truth * np.log(chances) + (1 - truth) * np.log(1 - chances))
    return float((every.sum(1) if over == "sum" else every.mean(1)).mean())

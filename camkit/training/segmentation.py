"""What training on pseudo masks adds to the loop: labels and saliency, warped like their photo, and their losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from camkit import agreement
from camkit.data.saliency import read_saliency
from camkit.errors import CamkitError, InputError
from camkit.methods import segmentation as method
from camkit.methods.response import normalised
from camkit.methods.seeds import mask_of_maps, mask_of_probs
from camkit.models.segmentation.network import SegmentationNetwork
from camkit.pipeline.device import Device
from camkit.pipeline.load import Failure
from camkit.settings.recipe import Augmentation
from camkit.settings.segmentation import Resizing, Teaching
from camkit.store.schema import Kind
from camkit.training.augment import Geometry, draw_geometry, jitter_colours
from camkit.training.classify import Item, read_photo, stack_photos
from camkit.training.planes import OUTSIDE
from camkit.training.ranks import Ranks
from camkit.types import Activation, Size
from camkit.upsample import upsample

WATCHED = (agreement.MEAN, *agreement.SHARES)
"""How τ is distributed over the photos that have saliency."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """A photo, what its store or picture says, and its saliency map, if it has one."""

    photo: Item
    labels: Activation | Failure
    saliency: Path | None


@dataclass(frozen=True, eq=False)
class Lessons(Sequence[Lesson]):
    """Labels are read when they are asked for: memory would not hold all."""

    photos: Sequence[Item]
    read: Callable[[str], Activation | Failure]
    saliency: Mapping[str, Path]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, number: int) -> Lesson:  # type: ignore[override] # the loop takes no slices
        photo = self.photos[number]
        return Lesson(photo, self.read(photo.id), self.saliency.get(photo.id))


@dataclass(frozen=True)
class Reading:
    """How labels are made of what a store of this kind holds, and what bright means in saliency maps."""

    kind: Kind
    num_classes: int
    threshold: float
    soft: bool = False
    bright_is_background: bool = False

    def mask(self, found: Activation) -> np.ndarray:
        """[H, W] uint8: 0 background, class + 1, IGNORED."""
        if self.kind.thresholded:
            return mask_of_maps(upsample(found.values, found.size), found.classes, self.threshold, self.num_classes)
        if not self.kind.is_mask:
            return mask_of_probs(upsample(found.values, found.size), found.classes, self.num_classes)
        mask = found.values
        strange = mask[(mask > self.num_classes) & (mask != method.IGNORED) & (mask != np.iinfo(np.uint16).max)]
        if strange.size:
            raise InputError(f"its mask holds the value {strange[0]}, but there are {self.num_classes} classes")
        return np.where(mask <= self.num_classes, mask, method.IGNORED).astype(np.uint8)

    def probabilities(self, found: Activation) -> np.ndarray:
        """[1 + C, H, W] float32 of all classes."""
        probs = np.zeros((1 + self.num_classes, *found.size), np.float32)
        probs[[0, *(found.classes + 1)]] = upsample(found.values, found.size)
        return probs

    def saliency(self, path: Path, size: Size) -> np.ndarray:
        """[*size] float32 in [0, 1]: 1 is an object."""
        found = np.clip(upsample(read_saliency(path)[None], size)[0], 0, 1)
        return 1 - found if self.bright_is_background else found


class Sample(NamedTuple):
    photo: np.ndarray  # [h, w, 3] uint8
    labels: np.ndarray  # [h, w] uint8, or soft [1 + C, h, w] float32
    saliency: np.ndarray  # [h, w] float32, NaN where nothing is known


class Batch(NamedTuple):
    images: Tensor  # [B, 3, H, W] float32 in [0, 255]
    labels: Tensor  # [B, H, W] int64, or soft [B, 1 + C, H, W]
    saliency: Tensor | None  # [B, H, W]


def load_sample(
    lesson: Lesson, rng: np.random.Generator, *, reading: Reading, augmentation: Augmentation,
    fill: tuple[int, int, int],
) -> Sample | Failure:  # fmt: skip
    photo = read_photo(lesson.photo)
    if isinstance(photo, Failure):
        return photo
    if isinstance(lesson.labels, Failure):
        return lesson.labels
    size = (photo.shape[0], photo.shape[1])
    try:
        check_size(lesson.labels, size)
        geometry = draw_geometry(size, augmentation, rng)
        inside = geometry.warp(np.zeros(size, np.int32), fill=OUTSIDE, nearest=True) != OUTSIDE
        labels, saliency = _labels(lesson.labels, reading, geometry), _saliency(lesson, reading, geometry, inside)
    except CamkitError as error:
        return Failure(lesson.photo.id, error)
    return Sample(jitter_colours(geometry.warp(photo, fill=fill), augmentation.jitter, rng), labels, saliency)


def check_size(labels: Activation, size: Size) -> None:
    found = tuple(labels.size)
    if found != size:
        raise InputError(
            f"its mask is {found[1]}x{found[0]}, but the photo {size[1]}x{size[0]}; make masks of the same photos"
        )


def _labels(found: Activation, reading: Reading, geometry: Geometry) -> np.ndarray:
    if not reading.soft:
        return geometry.warp(reading.mask(found), fill=method.IGNORED, nearest=True)
    probs = np.stack([np.clip(geometry.warp(plane, fill=0), 0, 1) for plane in reading.probabilities(found)])
    total = probs.sum(0)
    return np.where(total > 0.5, probs / np.maximum(total, 0.5), 0).astype(np.float32)


def _saliency(lesson: Lesson, reading: Reading, geometry: Geometry, inside: np.ndarray) -> np.ndarray:
    if lesson.saliency is None:
        return np.full(inside.shape, np.nan, np.float32)
    plane = reading.saliency(lesson.saliency, geometry.source)
    return np.where(inside, np.clip(geometry.warp(plane, fill=0), 0, 1), np.nan).astype(np.float32)


def collate(
    samples: Sequence[Sample], *, device: Device, fill: tuple[int, int, int], channels_last: bool, with_saliency: bool
) -> Batch:
    photos = [sample.photo for sample in samples]
    images = stack_photos(photos, device=device, fill=fill, channels_last=channels_last)
    size = (images.shape[2], images.shape[3])
    soft = samples[0].labels.ndim == 3
    labels = _stacked([sample.labels for sample in samples], size, 0.0 if soft else method.IGNORED, device)
    saliency = None
    if with_saliency:
        saliency = _stacked([sample.saliency for sample in samples], size, np.nan, device)
    return Batch(images, labels if soft else labels.long(), saliency)


def _stacked(planes: Sequence[np.ndarray], size: Size, fill: float, device: Device) -> Tensor:
    stacked = np.full((len(planes), *planes[0].shape[:-2], *size), fill, planes[0].dtype)
    for canvas, plane in zip(stacked, planes, strict=True):
        canvas[..., : plane.shape[-2], : plane.shape[-1]] = plane
    return torch.from_numpy(stacked).to(device.torch_device)


def losses(
    network: nn.Module, batch: Batch, epochs_done: float, *, teaching: Teaching, resizing: Resizing, ranks: Ranks
) -> dict[str, Tensor]:
    """InferCam's equation 4 over all outputs of the network; without saliency its first term alone.

    Cross entropy is the mean over all pixels with a label, on whatever rank they are.
    """
    assert isinstance(network, SegmentationNetwork)
    outputs = method.outputs_to_train(network, normalised(batch.images, network.mean, network.std), resizing)
    labels, saliency = batch.labels, batch.saliency
    mean = partial(_mean_of_all, photos=len(batch.images), balanced=teaching.balanced, ranks=ranks)
    if saliency is None:
        return {"labels": method.multi_output_loss(network, outputs, mean, labels)}
    agreements = method.agreement(method.hard_labels(labels), saliency)
    known = (~saliency.isnan()).any(-1).any(-1)
    watched = _watched(torch.where(known, agreements, torch.nan))
    if teaching.saliency_hard:
        labels = method.with_hard_background(labels, saliency)
        return {"labels": method.multi_output_loss(network, outputs, mean, labels), **watched}
    fixed = teaching.saliency_weight
    weights = (
        method.saliency_weights(agreements, teaching.alpha) if fixed is None else torch.full_like(agreements, fixed)
    )

    def both(logits: Tensor, labels: Tensor, saliency: Tensor) -> Tensor:
        second = (weights * method.saliency_losses(logits.float(), saliency)).mean()
        return torch.stack([mean(logits, labels), second])

    first, second = method.multi_output_loss(network, outputs, both, labels, saliency)
    return {"labels": first, "saliency": second, **watched}


def _mean_of_all(logits: Tensor, labels: Tensor, *, photos: int, balanced: bool, ranks: Ranks) -> Tensor:
    sums, counts = method.label_losses(logits.float(), labels, balanced=balanced)
    *pixels, everything = ranks.total(torch.cat([counts, counts.new_tensor([photos])]).double()).tolist()
    # the loop weights a rank's loss by its photos, however many pixels have a label
    means = [total * everything / (max(1.0, count) * photos) for total, count in zip(sums, pixels, strict=True)]
    return torch.stack(means).mean()


def _watched(agreements: Tensor) -> dict[str, Tensor]:
    """τ of each photo, NaN without saliency, and for each part of [0, 1] whether it is there."""
    part = (agreements * agreement.PARTS).floor().clamp_max(agreement.PARTS - 1)
    found = {name: (part == number).float() for number, name in enumerate(agreement.SHARES)}
    return {
        agreement.MEAN: agreements,
        **{name: torch.where(part.isnan(), torch.nan, one) for name, one in found.items()},
    }


def shrunk(plane: np.ndarray, longest: int) -> np.ndarray:
    """[H, W] → its nearest pixels, the longer side at most so long."""
    factor = min(1.0, longest / max(plane.shape))
    size = (max(1, round(plane.shape[1] * factor)), max(1, round(plane.shape[0] * factor)))
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.NEAREST))

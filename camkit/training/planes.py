"""Photos with a whole number for each pixel, such as superpixels or labels, from a store: varied alike, and stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from camkit.errors import CamkitError, StoreError
from camkit.pipeline.device import Device
from camkit.pipeline.load import Failure
from camkit.settings.recipe import Augmentation
from camkit.store.reader import Reader
from camkit.training.augment import draw_geometry, jitter_colours
from camkit.training.classify import Item, read_photo
from camkit.types import Size

OUTSIDE = -1


@dataclass(frozen=True, eq=False)
class WithPlane:
    """plane: [H, W]; None: the training has none."""

    photo: Item
    plane: np.ndarray | Failure | None


@dataclass(frozen=True, eq=False)
class WithPlanes(Sequence[WithPlane]):
    """Photos with their planes, which are read when they are asked for: memory would not hold all."""

    photos: Sequence[Item]
    store: Reader | None

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, number: int) -> WithPlane:  # type: ignore[override] # the loop takes no slices
        photo = self.photos[number]
        if self.store is None:
            return WithPlane(photo, None)
        try:
            return WithPlane(photo, self.store.read(photo.id).values)
        except CamkitError as error:
            return WithPlane(photo, Failure(photo.id, error))


class Warped(NamedTuple):
    photo: np.ndarray  # [h, w, 3] uint8
    plane: np.ndarray  # [h, w] int32, OUTSIDE where the crop was filled up; all 0 inside if there is none


def load_warped(
    item: WithPlane, rng: np.random.Generator, *, augmentation: Augmentation, fill: tuple[int, int, int]
) -> Warped | Failure:
    photo, plane = read_photo(item.photo), item.plane
    if isinstance(photo, Failure):
        return photo
    if isinstance(plane, Failure):
        return plane
    size = (photo.shape[0], photo.shape[1])
    if plane is None:
        plane = np.zeros(size, np.int32)
    if plane.shape != size:
        return Failure(item.photo.id, _other_size(item.photo, size, plane.shape))
    geometry = draw_geometry(size, augmentation, rng)
    warped = geometry.warp(plane.astype(np.int32), fill=OUTSIDE, nearest=True)
    return Warped(jitter_colours(geometry.warp(photo, fill=fill), augmentation.jitter, rng), warped)


def _other_size(photo: Item, size: Size, found: tuple[int, ...]) -> StoreError:
    return StoreError(
        f"{photo.path} is {size[1]}x{size[0]}, but the store was made from a photo of {found[1]}x{found[0]}"
    )


def stack_planes(planes: Sequence[np.ndarray], size: Size, device: Device) -> torch.Tensor:
    """[B, *size] int64, OUTSIDE where a plane is smaller."""
    stacked = np.full((len(planes), *size), OUTSIDE, np.int64)
    for canvas, plane in zip(stacked, planes, strict=True):
        canvas[: plane.shape[0], : plane.shape[1]] = plane
    return torch.from_numpy(stacked).to(device.torch_device)

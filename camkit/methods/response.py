"""Response maps: any function (images, classes) → maps. Scale pyramid and mirror wrap one and are one.

images   [B, 3, H, W] float RGB in [0, 255]
classes  [B, C] int64, the classes asked of each image; −1 where an image has fewer than others in the batch
maps     [B, C, h, w], non-negative; zero where the class is −1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from camkit.methods.resize import resize_maps, resize_photos, scaled_size
from camkit.types import Classifier, Size

EPSILON = 1e-5

ResponseMap = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def network_input(images: torch.Tensor, classifier: Classifier) -> torch.Tensor:
    """RGB in [0, 255] to what the network was trained on: (x / 255 − mean) / std."""
    return normalised(images, classifier.mean, classifier.std)


def normalised(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """[…, 3, H, W] in [0, 255] by the mean and standard deviation of RGB in [0, 1]."""
    return (images - images.new_tensor(mean).view(3, 1, 1) * 255) / (images.new_tensor(std).view(3, 1, 1) * 255)


def scale_pyramid(images: torch.Tensor, scales: Sequence[float]) -> Iterable[torch.Tensor]:
    """The images at each scale, one at a time."""
    height, width = images.shape[-2:]
    for scale in scales:
        yield resize_photos(images, scaled_size((height, width), scale))


def sum_responses(
    response: ResponseMap,
    pyramid: Iterable[torch.Tensor],
    classes: torch.Tensor,
    size: Size,
    *,
    flip: bool = True,
    multiple: int = 1,
) -> torch.Tensor:
    """Sum of the maps of every scale and its mirror image, upsampled: → [B, C, *size]."""
    total: torch.Tensor | None = None
    for images in pyramid:
        maps = response_with_mirror(response, images, classes) if flip else response(images, classes)
        upsampled = resize_maps(maps, size, multiple)
        total = upsampled if total is None else total.add_(upsampled)
    if total is None:
        raise ValueError("the scale pyramid is empty")
    return total


def response_with_mirror(response: ResponseMap, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Maps of the images plus the mirrored maps of the mirrored images, in one pass through the network.

    Both are on the same grid, so they are added before upsampling, which is linear.
    """
    maps = response(torch.cat([images, images.flip(-1)]), torch.cat([classes, classes]))
    straight, mirrored = maps.chunk(2)
    return straight + mirrored.flip(-1)


def normalise(maps: torch.Tensor) -> torch.Tensor:
    """Every map divided by its own maximum + 1e-5: [B, C, h, w] → the same in [0, 1]."""
    return maps / (maps.amax(dim=(-2, -1), keepdim=True) + EPSILON)

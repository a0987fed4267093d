"""InferCam: inference as an augmentation (split & unite, hide and re-infer), over any response map.

Paper: "Inferring the Class Conditional Response Map for Weakly Supervised Semantic Segmentation" (WACV 2022), section
3.2, and the algorithm in its supplement's section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from camkit.methods.resize import resize_maps, resize_photos, scaled_size
from camkit.methods.response import ResponseMap, normalise, scale_pyramid, sum_responses
from camkit.methods.split import Centre, centre_of_sums, quarters, wrapped_quarters
from camkit.settings.infercam import MARGIN_OF_ONE, MARGIN_OF_SEVERAL, Inference, Views
from camkit.types import Box, Size

LARGEST_GROUP = 8  # patches of one shape that go through the network together


@dataclass(eq=False)
class Patch:
    """A part of an image on its way through the rounds.

    rows     the places of its classes in the image's list of classes, and `classes` themselves [C_p] int64
    box      in the image; `window`: the same with context, which the network sees
    found    [C_p, h, w] the largest of all rounds' maps
    hidden   [h, w] bool what the next round is to hide, and how many pixels that is
    shares   of the box that were newly hidden, one for each round
    """

    image: int
    rows: range
    classes: Tensor
    box: Box
    window: Box
    found: Tensor | None = None
    hidden: Tensor | None = None
    hidden_pixels: int = 0
    shares: list[float] = field(default_factory=list)
    photos: dict[float, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> Size:
        return self.box[2] - self.box[0], self.box[3] - self.box[1]

    @property
    def inner(self) -> Box:
        """The box within the window."""
        top, left = self.box[0] - self.window[0], self.box[1] - self.window[1]
        return top, left, top + self.size[0], left + self.size[1]

    @property
    def window_size(self) -> Size:
        return self.window[2] - self.window[0], self.window[3] - self.window[1]

    @property
    def shape(self) -> tuple[Any, ...]:
        """Patches of one shape may go through the network together."""
        return self.window_size, self.inner, len(self.rows), not self.shares

    def goes_on(self, inference: Inference) -> bool:
        return not self.shares or (len(self.shares) < inference.rounds and self.shares[-1] >= inference.stop)

    def photo(self, images: Tensor, scale: float) -> Tensor:
        """[3, h, w] in [0, 255]: what the window shows at a scale, the same in every round."""
        if scale not in self.photos:
            top, left, bottom, right = self.window
            part = images[self.image, None, :, top:bottom, left:right]
            self.photos[scale] = resize_photos(part, scaled_size(self.window_size, scale))[0]
        return self.photos[scale]


def infer_cam(
    images: Tensor,
    classes: Tensor,
    size: Size,
    *,
    response: ResponseMap,
    inference: Inference,
    views: Views,
    mean_colour: Sequence[float],
    multiple: int = 1,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Maps [B, C, *size] in [0, 1], and of each image what was done to it.

    images [B, 3, H, W] in [0, 255], classes [B, C] (−1: none); mean_colour: RGB of the data set, in [0, 255]
    multiple  maps are stretched over whole cells of so many pixels, and cut
    """
    seen: Size = (images.shape[-2], images.shape[-1])
    counts = (classes >= 0).sum(1).tolist()
    centres = find_centres(images, classes, counts, response, inference, views, multiple)
    patches = [
        patch for b, count in enumerate(counts) for patch in plan(b, classes[b, :count], centres[b], seen, inference)
    ]
    hide_and_reinfer(patches, images, response, inference, views, mean_colour, multiple)
    notes = [_notes(seen, centres[b], [patch for patch in patches if patch.image == b]) for b in range(len(counts))]
    return resize_maps(unite(patches, classes.shape, seen, images), size), notes


def find_centres(
    images: Tensor, classes: Tensor, counts: Sequence[int], response: ResponseMap, inference: Inference, views: Views,
    multiple: int,
) -> list[list[Centre]]:  # fmt: skip
    """The centre of mass of each class's map, for the images that are to be split; none for the others."""
    most = len(classes[0]) if inference.many_classes == "per-class" else 2
    chosen = [b for b, count in enumerate(counts) if inference.split and 0 < count <= most]
    centres: list[list[Centre]] = [[] for _ in counts]
    if not chosen:
        return centres
    seen: Size = (images.shape[-2], images.shape[-1])
    pyramid = scale_pyramid(images[chosen], views.centres)
    maps = sum_responses(response, pyramid, classes[chosen], seen, flip=views.flip, multiple=multiple)
    maps = normalise(maps).double()
    rows, columns = maps.sum(-1).cpu().numpy(), maps.sum(-2).cpu().numpy()
    for place, b in enumerate(chosen):
        centres[b] = [centre_of_sums(rows[place, c], columns[place, c], seen) for c in range(counts[b])]
    return centres


def plan(image: int, classes: Tensor, centres: Sequence[Centre], seen: Size, inference: Inference) -> list[Patch]:
    """The patches of an image: itself where there are no centres, else four, or four for each of many classes."""
    if not len(classes):
        return []
    everything = range(len(classes))
    if not centres:
        parts = [((0, 0, *seen), everything)]
    elif len(centres) <= 2:
        margin = MARGIN_OF_ONE if len(centres) == 1 else MARGIN_OF_SEVERAL
        parts = [(box, everything) for box in _boxes(centres, seen, margin, inference)]
    else:
        parts = [
            (box, range(row, row + 1))
            for row, centre in enumerate(centres)
            for box in _boxes([centre], seen, MARGIN_OF_ONE, inference)
        ]
    return [
        Patch(image, rows, classes[rows.start : rows.stop], box, _with_context(box, seen, inference.context))
        for box, rows in parts
        if box[0] < box[2] and box[1] < box[3]
    ]


def _boxes(centres: Sequence[Centre], seen: Size, margin: int, inference: Inference) -> list[Box]:
    if inference.margin is not None:
        margin = round(inference.margin * max(seen) if inference.margin < 1 else inference.margin)
    return (wrapped_quarters if inference.published else quarters)(centres, seen, margin)


def _with_context(box: Box, seen: Size, context: int) -> Box:
    top, left, bottom, right = box
    return max(0, top - context), max(0, left - context), min(seen[0], bottom + context), min(seen[1], right + context)


def hide_and_reinfer(
    patches: Sequence[Patch],
    images: Tensor,
    response: ResponseMap,
    inference: Inference,
    views: Views,
    mean_colour: Sequence[float],
    multiple: int,
) -> None:
    """Round after round: infer, keep the larger maps, hide what is high. Patches that have stopped leave."""
    dataset = images.new_tensor(mean_colour)
    active = list(patches)
    while active:
        for group in groups_of(active):
            maps = infer_group(group, images, response, inference, views, dataset, multiple)
            found = maps if group[0].found is None else torch.maximum(maps, torch.stack([_found(p) for p in group]))
            hidden = (found > inference.threshold).any(1)
            for patch, one, mask, pixels in zip(group, found, hidden, hidden.sum((1, 2)).tolist(), strict=True):
                patch.found, patch.hidden = one, mask
                patch.shares.append((pixels - patch.hidden_pixels) / (patch.size[0] * patch.size[1]))
                patch.hidden_pixels = pixels
        active = [patch for patch in active if patch.goes_on(inference)]


def _found(patch: Patch) -> Tensor:
    assert patch.found is not None
    return patch.found


def groups_of(patches: Sequence[Patch]) -> Iterator[list[Patch]]:
    """Patches of one shape, few enough for one pass."""
    groups: dict[tuple[Any, ...], list[Patch]] = {}
    for patch in patches:
        groups.setdefault(patch.shape, []).append(patch)
    for group in groups.values():
        for start in range(0, len(group), LARGEST_GROUP):
            yield group[start : start + LARGEST_GROUP]


def infer_group(
    group: Sequence[Patch],
    images: Tensor,
    response: ResponseMap,
    inference: Inference,
    views: Views,
    dataset: Tensor,
    multiple: int,
) -> Tensor:
    """One round's maps of patches of one shape: [G, C_p, h, w], each divided by its maximum."""
    classes = torch.stack([patch.classes for patch in group])
    mask = None
    if group[0].hidden is not None:
        hidden = torch.stack([patch.hidden for patch in group if patch.hidden is not None])
        mask = _in_window(hidden.unsqueeze(1).to(images.dtype), group[0])
        colours = _fill_colours(group, images, inference, dataset)
    total: Tensor | None = None
    for scale in views.scales if mask is None else views.hiding:
        photos = torch.stack([patch.photo(images, scale) for patch in group])
        mirrored = photos.flip(-1)
        if mask is not None:
            scaled = F.interpolate(mask, photos.shape[-2:], mode="nearest")
            if inference.published:  # hands the mask from scale to scale, does not mirror it, and averages each scale
                mask, other = scaled, scaled
                colours = photos.mean((2, 3), keepdim=True) if inference.fill == "mean" else colours
            else:
                other = scaled.flip(-1)
            photos, mirrored = torch.where(scaled > 0, colours, photos), torch.where(other > 0, colours, mirrored)
        maps = _ask(response, photos, mirrored if views.flip else None, classes)
        upsampled = resize_maps(maps, group[0].window_size, multiple)
        total = upsampled if total is None else total.add_(upsampled)
    assert total is not None
    top, left, bottom, right = group[0].inner
    return normalise(total[..., top:bottom, left:right])


def _ask(response: ResponseMap, photos: Tensor, mirrored: Tensor | None, classes: Tensor) -> Tensor:
    """Maps of the photos plus the mirrored maps of their mirror images, in one pass."""
    if mirrored is None:
        return response(photos, classes)
    straight, turned = response(torch.cat([photos, mirrored]), torch.cat([classes, classes])).chunk(2)
    return straight + turned.flip(-1)


def _in_window(masks: Tensor, patch: Patch) -> Tensor:
    """Masks of boxes [G, 1, h, w] → of their windows; nothing is hidden in the context."""
    top, left, bottom, right = patch.inner
    height, width = patch.window_size
    return F.pad(masks, (left, width - right, top, height - bottom))


def _fill_colours(group: Sequence[Patch], images: Tensor, inference: Inference, dataset: Tensor) -> Tensor:
    """[G, 3, 1, 1] in [0, 255]"""
    if inference.fill == "dataset":
        return dataset.view(1, 3, 1, 1).expand(len(group), -1, -1, -1)
    if inference.fill == "zero":
        return images.new_zeros(len(group), 3, 1, 1)
    whole = (0, 0, *images.shape[-2:])
    boxes = [(p.image, whole if inference.fill == "image" else p.box) for p in group]
    parts = [images[image, :, top:bottom, left:right] for image, (top, left, bottom, right) in boxes]
    return torch.stack([part.mean((1, 2)) for part in parts])[..., None, None]


def unite(patches: Sequence[Patch], shape: torch.Size, seen: Size, images: Tensor) -> Tensor:
    """Every patch's maps back in their place, the larger one where patches overlap: [B, C, H, W]."""
    united = images.new_zeros(*shape, *seen, dtype=torch.float32)
    for patch in patches:
        top, left, bottom, right = patch.box
        place = united[patch.image, patch.rows.start : patch.rows.stop, top:bottom, left:right]
        torch.maximum(place, _found(patch), out=place)
    return united


def _notes(seen: Size, centres: Sequence[Centre], patches: Sequence[Patch]) -> dict[str, Any]:
    """For the store: sizes, centres and boxes in pixels of the image as the network saw it."""
    return {
        "seen": list(seen),
        "centres": [list(centre) for centre in centres],
        "patches": [
            {
                "box": list(patch.box),
                "classes": patch.classes.tolist(),
                "rounds": len(patch.shares),
                "hidden": [round(share, 6) for share in patch.shares],
            }
            for patch in patches
        ],
    }

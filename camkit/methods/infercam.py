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
from torch.nn.utils.rnn import pad_sequence

from camkit.methods.resize import resize_maps, resize_photos, scaled_size
from camkit.methods.response import ResponseMap, normalise, scale_pyramid, sum_responses
from camkit.methods.split import Centre, centre_of_sums, quarters, wrapped_quarters
from camkit.settings.infercam import MARGIN_OF_ONE, MARGIN_OF_SEVERAL, Inference, Views
from camkit.types import Box, Size

LARGEST_GROUP = 8  # patches of one shape that go through the network together
LARGEST_PASS = 8_000_000  # pixels that do so, where patches of many photos share a shape


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

    def shape(self, snap: int | None) -> tuple[Any, ...]:
        """Patches of one shape may go through the network together."""
        return (self.window_size,) if snap else (self.window_size, self.inner, len(self.rows))

    def goes_on(self, inference: Inference) -> bool:
        return not self.shares or (len(self.shares) < inference.rounds and self.shares[-1] >= inference.stop)

    def photo(self, images: Sequence[Tensor], scale: float) -> Tensor:
        """[3, h, w] in [0, 255]: what the window shows at a scale, the same in every round."""
        if scale not in self.photos:
            top, left, bottom, right = self.window
            part = images[self.image][None, :, top:bottom, left:right]
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
    maps, notes = infer_photos(
        [*images], [*classes], [size] * len(images), response=response, inference=inference, views=views,
        mean_colour=mean_colour, multiple=multiple,
    )  # fmt: skip
    return torch.stack(maps), notes


def infer_photos(
    images: Sequence[Tensor],
    classes: Sequence[Tensor],
    sizes: Sequence[Size],
    *,
    response: ResponseMap,
    inference: Inference,
    views: Views,
    mean_colour: Sequence[float],
    multiple: int = 1,
) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """The same of photos of any sizes, whose patches share passes: images [3, H, W], classes [C] → maps [C, *size]."""
    counts = [int(count) for count in torch.stack([(present >= 0).sum() for present in classes]).tolist()]
    centres = find_centres(images, classes, counts, response, inference, views, multiple)
    patches = [
        patch
        for b, count in enumerate(counts)
        for patch in plan(b, classes[b][:count], centres[b], _size(images[b]), inference)
    ]
    hide_and_reinfer(patches, images, response, inference, views, mean_colour, multiple)
    maps, notes = [], []
    for b, (image, present, size) in enumerate(zip(images, classes, sizes, strict=True)):
        own = [patch for patch in patches if patch.image == b]
        maps.append(resize_maps(unite(own, len(present), image)[None], size)[0])
        notes.append(_notes(_size(image), centres[b], own))
    return maps, notes


def _size(image: Tensor) -> Size:
    return image.shape[-2], image.shape[-1]


def find_centres(
    images: Sequence[Tensor], classes: Sequence[Tensor], counts: Sequence[int], response: ResponseMap,
    inference: Inference, views: Views, multiple: int,
) -> list[list[Centre]]:  # fmt: skip
    """The centre of mass of each class's map, for the images that are to be split; none for the others."""
    centres: list[list[Centre]] = [[] for _ in counts]
    alike: dict[tuple[Any, ...], list[int]] = {}
    for b, count in enumerate(counts):
        most = len(classes[b]) if inference.many_classes == "per-class" else 2
        if inference.split and 0 < count <= most:
            alike.setdefault((_size(images[b]), len(classes[b])), []).append(b)
    largest = max(views.centres)
    for chosen in (part for (seen, _), same in alike.items() for part in _parts(same, seen, largest, inference.snap)):
        seen = _size(images[chosen[0]])
        pyramid = scale_pyramid(torch.stack([images[b] for b in chosen]), views.centres)
        asked = torch.stack([classes[b] for b in chosen])
        maps = sum_responses(response, pyramid, asked, seen, flip=views.flip, multiple=multiple)
        maps = normalise(maps).double()
        rows, columns = maps.sum(-1).cpu().numpy(), maps.sum(-2).cpu().numpy()
        for place, b in enumerate(chosen):
            centres[b] = [centre_of_sums(rows[place, c], columns[place, c], seen) for c in range(counts[b])]
    return centres


def _parts(same: list[int], seen: Size, scale: float, snap: int | None) -> Iterator[list[int]]:
    """Of images of one size: all of a batch, or as many as memory holds."""
    count = _at_once(*scaled_size(seen, scale)) if snap else len(same)
    yield from (same[start : start + count] for start in range(0, len(same), count))


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
        Patch(image, rows, classes[rows.start : rows.stop], box, _window(box, seen, inference))
        for box, rows in parts
        if box[0] < box[2] and box[1] < box[3]
    ]


def _boxes(centres: Sequence[Centre], seen: Size, margin: int, inference: Inference) -> list[Box]:
    if inference.margin is not None:
        margin = round(inference.margin * max(seen) if inference.margin < 1 else inference.margin)
    return (wrapped_quarters if inference.published else quarters)(centres, seen, margin)


def _window(box: Box, seen: Size, inference: Inference) -> Box:
    """What the network sees of the image: the box with context, and grown to the grid as far as the image goes."""
    (top, bottom), (left, right) = (
        _side(box[n] - inference.context, box[n + 2] + inference.context, seen[n], inference.snap or 1) for n in (0, 1)
    )
    return top, left, bottom, right


def _side(start: int, end: int, length: int, step: int) -> tuple[int, int]:
    start, end = max(0, start), min(length, end)
    wanted = min(length, -(-(end - start) // step) * step)
    start = max(0, end - wanted) if end == length else start  # away from the border it touches
    return start - max(0, start + wanted - length), min(length, start + wanted)


def hide_and_reinfer(
    patches: Sequence[Patch],
    images: Sequence[Tensor],
    response: ResponseMap,
    inference: Inference,
    views: Views,
    mean_colour: Sequence[float],
    multiple: int,
) -> None:
    """Round after round: infer, keep the larger maps, hide what is high. Patches that have stopped leave."""
    active = list(patches)
    while active:
        for group in groups_of(active, inference.snap):
            for patch, maps in zip(
                group, infer_group(group, images, response, inference, views, mean_colour, multiple), strict=True
            ):
                patch.found = maps if patch.found is None else torch.maximum(maps, patch.found)
                patch.hidden = (patch.found > inference.threshold).any(0)
            hidden = torch.stack([_hidden(patch).sum() for patch in group]).tolist()
            for patch, pixels in zip(group, hidden, strict=True):
                patch.shares.append((pixels - patch.hidden_pixels) / (patch.size[0] * patch.size[1]))
                patch.hidden_pixels = pixels
        active = [patch for patch in active if patch.goes_on(inference)]


def _hidden(patch: Patch) -> Tensor:
    assert patch.hidden is not None
    return patch.hidden


def groups_of(patches: Sequence[Patch], snap: int | None) -> Iterator[list[Patch]]:
    """Patches of one shape that share passes: few, or all in the order of the largest groups where they are many."""
    groups: dict[tuple[Any, ...], list[Patch]] = {}
    for patch in patches:
        groups.setdefault(patch.shape(snap), []).append(patch)
    if snap:
        yield from sorted(groups.values(), key=len, reverse=True)
        return
    for group in groups.values():
        for start in range(0, len(group), LARGEST_GROUP):
            yield group[start : start + LARGEST_GROUP]


def infer_group(
    group: Sequence[Patch],
    images: Sequence[Tensor],
    response: ResponseMap,
    inference: Inference,
    views: Views,
    mean_colour: Sequence[float],
    multiple: int,
) -> list[Tensor]:
    """One round's maps of patches whose windows have one size: [C_p, h, w] each, divided by their maxima."""
    classes = pad_sequence([patch.classes for patch in group], batch_first=True, padding_value=-1)
    mask = None
    if group[0].shares:
        mask = torch.stack([_in_window(_hidden(patch)[None].to(images[0].dtype), patch) for patch in group])
        colours = _fill_colours(group, images, inference, mean_colour)
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
        maps = _ask_in_passes(response, photos, mirrored if views.flip else None, classes, inference.snap)
        upsampled = resize_maps(maps, group[0].window_size, multiple)
        total = upsampled if total is None else total.add_(upsampled)
    assert total is not None
    return [_inner(maps, patch) for maps, patch in zip(total, group, strict=True)]


def _inner(maps: Tensor, patch: Patch) -> Tensor:
    top, left, bottom, right = patch.inner
    return normalise(maps[: len(patch.rows), top:bottom, left:right])


def _ask_in_passes(
    response: ResponseMap, photos: Tensor, mirrored: Tensor | None, classes: Tensor, snap: int | None
) -> Tensor:
    """Of a group as it is; of a large one in passes that memory holds, on a GPU of a power of two of patches each."""
    if not snap:
        return _ask(response, photos, mirrored, classes)
    most = _at_once(*photos.shape[-2:])
    made = []
    for start in range(0, len(photos), most):
        part = slice(start, start + most)
        wanted = len(photos[part])
        filled = passes_of(wanted) if photos.is_cuda else wanted
        asked = [_filled(x[part], filled) for x in (photos, classes)]
        turned = None if mirrored is None else _filled(mirrored[part], filled)
        made.append(_ask(response, asked[0], turned, asked[1])[:wanted])
    return torch.cat(made)


def _at_once(height: int, width: int) -> int:
    """A power of two."""
    return 1 << (max(1, LARGEST_PASS // (2 * height * width)).bit_length() - 1)


def passes_of(count: int) -> int:
    """Few batch sizes: cuDNN plans each anew."""
    return 1 << (count - 1).bit_length()


def _filled(values: Tensor, count: int) -> Tensor:
    """[n, …] → [count, …], the last one again and again."""
    return torch.cat([values, values[-1:].expand(count - len(values), *values.shape[1:])])


def _ask(response: ResponseMap, photos: Tensor, mirrored: Tensor | None, classes: Tensor) -> Tensor:
    """Maps of the photos plus the mirrored maps of their mirror images, in one pass."""
    if mirrored is None:
        return response(photos, classes)
    straight, turned = response(torch.cat([photos, mirrored]), torch.cat([classes, classes])).chunk(2)
    return straight + turned.flip(-1)


def _in_window(mask: Tensor, patch: Patch) -> Tensor:
    """Mask of a box [1, h, w] → of its window; nothing is hidden in the context."""
    top, left, bottom, right = patch.inner
    height, width = patch.window_size
    return F.pad(mask, (left, width - right, top, height - bottom))


def _fill_colours(
    group: Sequence[Patch], images: Sequence[Tensor], inference: Inference, mean_colour: Sequence[float]
) -> Tensor:
    """[G, 3, 1, 1] in [0, 255]"""
    if inference.fill == "dataset":
        return images[0].new_tensor(mean_colour).view(1, 3, 1, 1).expand(len(group), -1, -1, -1)
    if inference.fill == "zero":
        return images[0].new_zeros(len(group), 3, 1, 1)
    parts = [images[p.image] for p in group]
    if inference.fill == "mean":
        boxes = [p.box for p in group]
        parts = [part[:, box[0] : box[2], box[1] : box[3]] for part, box in zip(parts, boxes, strict=True)]
    return torch.stack([part.mean((1, 2)) for part in parts])[..., None, None]


def unite(patches: Sequence[Patch], count: int, image: Tensor) -> Tensor:
    """Every patch's maps back in their place, the larger one where patches overlap: [C, H, W]."""
    united = image.new_zeros(count, *_size(image), dtype=torch.float32)
    for patch in patches:
        top, left, bottom, right = patch.box
        place = united[patch.rows.start : patch.rows.stop, top:bottom, left:right]
        assert patch.found is not None
        torch.maximum(place, patch.found, out=place)
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

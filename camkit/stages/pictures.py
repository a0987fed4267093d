"""From what stores hold of one image to the pictures of it that `camkit show` puts on a sheet or a page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from camkit.data.images import read_image
from camkit.data.masks import read_mask
from camkit.errors import ImageError
from camkit.evaluate import metrics
from camkit.evaluate.confusion import ConfusionAccumulator
from camkit.methods.seeds import classes_of_mask, mask_labels, mask_of_maps, mask_of_probs
from camkit.stages.notes import whole_numbers
from camkit.stages.reducers import judged
from camkit.store.schema import kind_of
from camkit.types import Activation, Record, Size
from camkit.upsample import upsample
from camkit.view import overlay
from camkit.view.picture import encoded
from camkit.view.sheet import Row

if TYPE_CHECKING:
    from camkit.view.page import Card

MOST_CLASSES = 6
JPEG_QUALITY = 75


@dataclass(frozen=True, slots=True)
class Look:
    """What holds for all images: names of the classes; kind and threshold of every column; the longer side of a tile.

    wanted  the classes whose maps are drawn; None: all
    truth   whether there is a column of ground truth
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    thresholds: tuple[float | None, ...]
    tile: int
    wanted: Collection[int] | None = None
    truth: bool = False

    def drawn(self, classes: Sequence[int] | np.ndarray) -> list[int]:
        """Of the classes of an image, those with a tile of their own."""
        return [int(index) for index in classes if self.wanted is None or index in self.wanted]


@dataclass(frozen=True, eq=False, slots=True)
class Request:
    """One image: the files of its photo and its ground truth, and what each column's store holds of it."""

    id: str
    photo: Path
    truth: Path | None
    activations: tuple[Activation, ...]


@dataclass(frozen=True, eq=False, slots=True)
class _Subject:
    """A request whose files were read; the photo [2h, 2w, 3] is twice as large as its tile."""

    request: Request
    photo: np.ndarray
    truth: np.ndarray | None
    ious: tuple[float | None, ...]


def sheet_rows(request: Request, look: Look) -> list[Row]:
    """A row for each class that has maps; an image without maps, or whose stores hold masks alone, has one."""
    return _rows(_read(request, look), look)


def page_card(request: Request, look: Look) -> Card:
    """The image's pictures as JPEGs, one per column, all of its classes in one picture."""
    return _card(_read(request, look), look)


def large_overlays(request: Request, look: Look) -> list[Image.Image]:
    """The tiles of the truth, if there is one, and of the first column: one for each class that has a map."""
    tiles = [tile for row in sheet_rows(request, look) for tile in row.tiles[1:]]
    return [tile for tile in tiles if tile is not None]


def judge(request: Request, look: Look) -> tuple[str, float | None]:
    """The image's id and the mean IoU of the first column."""
    truth = None if request.truth is None else read_mask(request.truth)
    return request.id, _iou(request.activations[0], truth, look, 0)


def image_iou(prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> float | None:
    """Mean IoU of one image over the classes, background included, that its truth or its prediction [H, W] has."""
    counts = ConfusionAccumulator(num_classes)
    counts.update(prediction, truth)
    mean = float(metrics.mean(metrics.iou(counts.compute().matrix)))
    return None if np.isnan(mean) else mean


def predicted_mask(activation: Activation, kind: str, threshold: float | None, num_classes: int) -> np.ndarray:
    """The mask [H, W] that an activation amounts to; of signed scores by their sign, undecided at zero."""
    values, classes, size = activation.values, activation.classes, activation.size
    rule = kind_of(kind).mask
    if rule == "given":
        return values
    if rule == "largest":
        return mask_of_probs(upsample(values, size), classes, num_classes)
    maps = upsample(values, size)
    mask = mask_of_maps(maps, classes, threshold or 0.0, num_classes)
    if rule == "sign" and len(classes):
        mask[maps.max(axis=0) == 0] = np.iinfo(mask.dtype).max
    return mask


def _read(request: Request, look: Look) -> _Subject:
    photo, size = read_image(request.photo, overlay.OVERSAMPLING * look.tile)
    for activation in request.activations:
        _check_size(request, activation.size, size)
    truth = None if request.truth is None else read_mask(request.truth)
    ious = tuple(_iou(activation, truth, look, column) for column, activation in enumerate(request.activations))
    return _Subject(request, photo, truth, ious)


def _check_size(request: Request, expected: Size, found: Size) -> None:
    if expected != found:
        raise ImageError(
            f"{request.photo} is {found[1]}x{found[0]}, but the store is about a photo of {expected[1]}x{expected[0]}; "
            "give --images the folder it was made from"
        )


def _iou(activation: Activation, truth: np.ndarray | None, look: Look, column: int) -> float | None:
    if truth is None:
        return None
    judged(Record(activation.id, activation.size, upstream=activation, truth=truth))
    mask = predicted_mask(activation, look.kinds[column], look.thresholds[column], len(look.names))
    return image_iou(mask, truth, len(look.names))


def _rows(subject: _Subject, look: Look) -> list[Row]:
    """The photo, the truth and masks stand in the first row alone."""
    present = classes_with_maps([activation.classes for activation in subject.request.activations], look)
    shown = present[:MOST_CLASSES]
    more = f" (+{len(present) - len(shown)} classes)" if len(present) > len(shown) else ""
    rows = []
    for number, index in enumerate(shown or [None]):
        first = number == 0
        columns = [_tile(subject, look, column, index, first) for column in range(len(look.kinds))]
        around = [overlay.photo_tile(subject.photo) if first else None]
        captions = [subject.request.id + more if first else ""]
        if look.truth:
            around.append(_truth_tile(subject, look) if first else None)
            captions.append(_truth_caption(subject, look) if first else "")
        captions += [_iou_caption(iou) if first else "" for iou in subject.ious]
        rows.append(Row((*around, *columns), tuple(captions), first))
    return rows


def classes_with_maps(classes: Sequence[np.ndarray], look: Look) -> list[int]:
    """Ascending; of the columns that hold maps. `classes`: those of an image, by column."""
    of_maps = [found for kind, found in zip(look.kinds, classes, strict=True) if kind_of(kind).class_maps]
    return look.drawn(np.unique(np.concatenate(of_maps))) if of_maps else []


def _tile(subject: _Subject, look: Look, column: int, index: int | None, first: bool) -> Image.Image | None:
    """What a column shows in the row of the class `index`; None: of an image that has no maps."""
    activation, kind = subject.request.activations[column], kind_of(look.kinds[column])
    if not kind.class_maps:
        return _mask_tile(subject, look, column) if first else None
    if index is None:
        return overlay.empty_tile(subject.photo, "no map")
    if index not in activation.classes:
        return None
    values = upsample(activation.values[activation.classes == index], _size(subject.photo))[0]
    if kind.is_signed:
        return overlay.signed_tile(subject.photo, values, look.names[index])
    frames = frames_of(activation, index)
    return overlay.heat_tile(subject.photo, values, look.names[index], look.thresholds[column], frames)


def frames_of(activation: Activation, index: int) -> list[overlay.Frame]:
    """The patches in which a class was looked for, and the rounds it took, where the notes tell of them."""
    seen, patches = whole_numbers(activation.notes.get("seen")), activation.notes.get("patches")
    if len(seen) != 2 or 0 in seen or not isinstance(patches, list):
        return []
    frames = []
    for patch in patches:
        if not isinstance(patch, Mapping) or index not in whole_numbers(patch.get("classes")):
            continue
        box, rounds = whole_numbers(patch.get("box")), patch.get("rounds")
        if len(box) == 4:
            top, left, bottom, right = (side / seen[n % 2] for n, side in enumerate(box))
            frames.append(overlay.Frame(top, left, bottom, right, f"{rounds} round{'' if rounds == 1 else 's'}"))
    return frames


def _mask_tile(subject: _Subject, look: Look, column: int) -> Image.Image:
    activation, size = subject.request.activations[column], _size(subject.photo)
    if kind_of(look.kinds[column]).per_class:
        probs = upsample(activation.values, size)
        mask = mask_labels(activation.classes, len(look.names))[probs.argmax(axis=0)]
    else:
        mask = overlay.nearest(activation.values, size)
    return overlay.mask_tile(subject.photo, mask, look.names)


def _truth_tile(subject: _Subject, look: Look) -> Image.Image | None:
    if subject.truth is None:
        return None
    return overlay.mask_tile(subject.photo, overlay.nearest(subject.truth, _size(subject.photo)), look.names)


def _truth_caption(subject: _Subject, look: Look) -> str:
    if subject.truth is None:
        return "no ground truth"
    return ", ".join(look.names[index] for index in classes_of_mask(subject.truth, len(look.names)))


def _iou_caption(iou: float | None) -> str:
    return "" if iou is None else f"IoU {100 * iou:.1f} %"


def _card(subject: _Subject, look: Look) -> Card:
    from camkit.view.page import Card

    request, truth = subject.request, _truth_tile(subject, look)
    present = _classes_of(request.activations[0], look.kinds[0], look)
    return Card(
        id=request.id,
        classes=tuple(look.names[index] for index in present),
        photo=_jpeg(overlay.photo_tile(subject.photo)),
        truth=None if truth is None else _jpeg(truth),
        pictures=tuple(_jpeg(_picture(subject, look, column)) for column in range(len(look.kinds))),
        ious=subject.ious,
        size=request.activations[0].size,
    )


def _classes_of(activation: Activation, kind: str, look: Look) -> np.ndarray:
    return classes_of_mask(activation.values, len(look.names)) if kind_of(kind).is_mask else activation.classes


def _picture(subject: _Subject, look: Look, column: int) -> Image.Image:
    """All of a column in one picture."""
    activation, threshold = subject.request.activations[column], look.thresholds[column]
    kind = kind_of(look.kinds[column])
    if not kind.class_maps:
        return _mask_tile(subject, look, column)
    classes = look.drawn(activation.classes)
    if len(classes) < 2:
        tile = _tile(subject, look, column, classes[0] if classes else None, True)
        assert tile is not None
        return tile
    maps = upsample(activation.values[np.isin(activation.classes, classes)], _size(subject.photo))
    if kind.is_signed:
        maps = maps / max(float(maps.max()), 1e-6)
    return overlay.classes_tile(subject.photo, maps, classes, look.names, threshold)


def _size(photo: np.ndarray) -> Size:
    return photo.shape[0], photo.shape[1]


def _jpeg(picture: Image.Image) -> bytes:
    return encoded(picture, "JPEG", quality=JPEG_QUALITY)

"""Maps of one photo in memory: no files, no store. What a notebook wants."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.data.classes import ClassIndex
from camkit.data.reading import examples
from camkit.defaults import MAP_STRIDE, SCALES, SCORE_THRESHOLD
from camkit.errors import LabelError, UsageError
from camkit.pipeline.device import choose_device
from camkit.pipeline.photos import view_size
from camkit.stages.maps import Notes, checked_scales, grid_multiple, grid_of, maps_of_batch, no_notes
from camkit.stages.network import Network, classes_of, load_network
from camkit.types import Activation, LongerSide, Record, Resolution, Size

if TYPE_CHECKING:
    import torch

    from camkit.models.classifier import ClassifierNetwork, LoadedClassifier


def maps(
    network: Any,
    photo: Any,
    classes: Sequence[str | int] | str | None = None,
    *,
    scales: Sequence[float] = SCALES,
    flip: bool = True,
    resize: LongerSide | None = None,
    size: Resolution = MAP_STRIDE,
    score_threshold: float = SCORE_THRESHOLD,
    device: str = "auto",
) -> Activation:
    """The class activation maps of one photo, as `camkit cam` makes them.

    network  a checkpoint's path or name, what `load_classifier` gives, or a module with `features` and a linear layer
    photo    a path, a Pillow image, or an array [H, W, 3] uint8
    classes  names or indices of those to map; None: those the classifier predicts
    """
    place = choose_device(device, "auto")
    loaded, module = _classifier_of(network, place)
    names = classes_of(loaded, None) if loaded is not None else ()
    module.eval().to(place.torch_device)
    image, whole = _pixels_of(photo, view_size(resize, loaded.input_size if loaded is not None else None))
    wanted = None if classes is None else _indices(classes, names, len(module.weight))
    multiple = grid_multiple(loaded, size) if loaded is not None else 1
    chosen = checked_scales(scales)

    def method(images: torch.Tensor, classes: torch.Tensor, size: Size) -> tuple[torch.Tensor, Sequence[Notes]]:
        from camkit.methods.cam import multi_scale_cam

        made = multi_scale_cam(images, classes, size, classifier=module, scales=chosen, flip=flip, multiple=multiple)
        return made, no_notes(images)

    step = partial(
        maps_of_batch, method=method, classifier=module, device=place, grid=grid_of(size),
        score_threshold=score_threshold,
    )  # fmt: skip
    (made,) = step([Record("photo", whole, image=image, classes=wanted)])
    return made


def _classifier_of(network: Any, device: Any) -> tuple[LoadedClassifier | None, ClassifierNetwork]:
    """A module of the user's own says nothing of its classes and sizes."""
    from camkit.models.classifier import ClassifierNetwork, LoadedClassifier
    from camkit.models.user import wrapped

    if isinstance(network, str | Path):
        network = load_network(Network(network), device)
    if isinstance(network, LoadedClassifier):
        return network, network.network
    return None, network if isinstance(network, ClassifierNetwork) else wrapped(network)


def _pixels_of(photo: Any, view: Any) -> tuple[np.ndarray, Size]:
    """[h, w, 3] uint8 at the size the network is to see, and the photo's own (H, W)."""
    from PIL import Image, ImageOps

    from camkit.data.images import read_image

    if isinstance(photo, str | Path):
        path = Path(photo)
        return read_image(path, view.longest_side(path))
    picture = Image.fromarray(photo) if isinstance(photo, np.ndarray) else ImageOps.exif_transpose(photo)
    picture = picture.convert("RGB")
    size = (picture.height, picture.width)
    if view.longest is not None and not (view.shrink_only and max(size) <= view.longest):
        height, width = (max(1, round(side * view.longest / max(size))) for side in size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(picture), size


def _indices(classes: Sequence[str | int] | str, names: Sequence[str], count: int) -> np.ndarray:
    index = ClassIndex(names)
    asked = [classes] if isinstance(classes, str) else [*classes]
    found = [index.find(one) if isinstance(one, str) else int(one) for one in asked]
    unknown = [str(one) for one, place in zip(asked, found, strict=True) if place is None]
    if unknown:
        raise LabelError(f"{examples(unknown)}: no such class; the classes are {examples(names, 5) or 'numbers'}")
    places = sorted({place for place in found if place is not None})
    if places and not 0 <= places[0] <= places[-1] < count:
        raise UsageError(f"classes {places}: the classifier has classes 0 to {count - 1}")
    return np.asarray(places, dtype=np.int64)

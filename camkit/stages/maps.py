"""The frame of every stage that turns photos into maps: what is left to a method is images and classes → maps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from camkit.defaults import COARSEST, MIXED_BATCH
from camkit.errors import UsageError
from camkit.pipeline.device import Device, choose_device, inference
from camkit.pipeline.output import Output, Runtime, Summary, open_output, write_activations
from camkit.pipeline.photos import load_photos, view_size
from camkit.pipeline.select import Inputs, predicted_classes, say_predicted, select
from camkit.stages.empty_maps import CountsEmptyMaps
from camkit.stages.network import Network, classes_of, describe_checkpoint, load_network, stack_classes, stack_images
from camkit.store.provenance import stage
from camkit.store.schema import Header
from camkit.types import Activation, Classifier, LongerSide, Record, Resolution, Size

if TYPE_CHECKING:
    import torch

    from camkit.methods.signed import Scorer
    from camkit.models.classifier import LoadedClassifier

log = logging.getLogger("camkit")


Notes = Mapping[str, Any]


class MapMethod(Protocol):
    """images [B, 3, H, W] in [0, 255], classes [B, C] (−1: none) → maps [B, C, *size], notes of each.

    Maps lie in [0, 1]; where they are signed scores they are any numbers.
    """

    def __call__(
        self, images: torch.Tensor, classes: torch.Tensor, size: Size
    ) -> tuple[torch.Tensor, Sequence[Notes]]: ...


class MixedMethod(Protocol):
    """The same of photos of any sizes: images [3, H, W], classes [C] → maps [C, *size] and notes of each."""

    def __call__(
        self, images: Sequence[torch.Tensor], classes: Sequence[torch.Tensor], sizes: Sequence[Size]
    ) -> tuple[Sequence[torch.Tensor], Sequence[Notes]]: ...


@dataclass(frozen=True)
class Grid:
    """At which resolution maps are kept: one value per `stride` pixels, or every pixel (stride 1)."""

    stride: int

    def of(self, size: Size) -> Size:
        return -(-size[0] // self.stride), -(-size[1] // self.stride)

    def __str__(self) -> str:
        return "full" if self.stride == 1 else str(self.stride)


def grid_of(size: Resolution) -> Grid:
    if size == "full":
        return Grid(1)
    if not isinstance(size, int) or not 1 <= size <= COARSEST:
        raise UsageError(f"--size {size}: give full, or one value for so many pixels, 1 to {COARSEST}")
    return Grid(size)


def checked_scales(scales: Sequence[float]) -> list[float]:
    if not len(scales) or not all(scale > 0 for scale in scales):
        raise UsageError("--scales: give at least one, all above 0")
    return [float(scale) for scale in scales]


def grid_multiple(loaded: LoadedClassifier, size: Resolution) -> int:
    """So many pixels a cell stands for where maps as large as the photo are stretched over whole cells; else 1."""
    return loaded.network.padded_grid if size in ("full", 1) else 1


def write_maps(
    command: str,
    method: Callable[[LoadedClassifier], MapMethod],
    parameters: Mapping[str, Any] | Callable[[LoadedClassifier], Mapping[str, Any]],
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime,
    *,
    resize: LongerSide | None,
    size: Resolution,
    for_speed: bool = True,
    parents: Sequence[Mapping[str, Any]] = (),
    stores: Sequence[Path | str | None] = (),
    input_size: int | None = None,
    kind: Literal["maps", "signed"] = "maps",
    load: Callable[[Network, Device], LoadedClassifier] | None = None,
    mixed: Callable[[LoadedClassifier], MixedMethod | None] = lambda loaded: None,
) -> Summary:
    """Write a method's maps, or signed scores, of the classes present in every image.

    parameters  the method's own, for the provenance; they may depend on the classifier
    resize      longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size        resolution of the maps: a stride in pixels, or "full"
    for_speed   the network may differ in the last digit from how it was published
    parents     the histories of stores that the method takes besides, for the provenance
    stores      where these stores are
    input_size  longer side of the photo where neither `resize` nor the checkpoint says; None: native up to 1,000 px
    load        reads a network that is more than a classifier
    mixed       the method for photos of all sizes at once, where that is wanted
    """
    device = choose_device(runtime.device, runtime.precision)
    grid = grid_of(size)
    loaded = load(network, device) if load else load_network(network, device, for_speed=for_speed)
    selection = select(inputs, classes_of(loaded, inputs.classes))
    view = view_size(resize, loaded.input_size or input_size)
    shared: dict[str, Any] = {
        "resize": str(view),
        "size": str(grid),
        "dtype": output.dtype or "float16",
        "output_stride": loaded.output_stride,
        "precision": device.precision,
    }
    if selection.labels is None:
        say_predicted(inputs)
    if selection.predicts:
        shared["score_threshold"] = inputs.score_threshold
    header = Header(
        kind=kind,
        classes=selection.classes,
        image_root=str(selection.images.root.resolve()),
        provenance=stage(
            command,
            {**(parameters(loaded) if callable(parameters) else parameters), **shared},
            checkpoint=describe_checkpoint(loaded),
            selection=selection.describe(),
            parents=parents,
        ),
    )
    together, batch_size = mixed(loaded), runtime.batch_size
    if together is None:
        batch_size = device.batch_size(batch_size)
    how: Any = {
        "classifier": loaded.network, "device": device, "grid": grid, "score_threshold": inputs.score_threshold
    }  # fmt: skip
    step = CountsEmptyMaps(
        partial(maps_of_batch, method=method(loaded), **how)
        if together is None
        else partial(maps_of_photos, method=together, **how)
    )
    with open_output(
        output, header, selection.ids, selection.shard, inputs=[*inputs.files, network.ckpt, *stores]
    ) as sink:
        summary = write_activations(
            sink,
            selection.own_ids,
            partial(load_photos, selection=selection, view=view, workers=runtime.workers),
            step,
            description=command,
            runtime=runtime,
            batch_size=batch_size or MIXED_BATCH,
            mixed=together is not None,
            threads=device.threads,
        )
    if header.holds.unit:
        step.say(selection.classes)
    return summary


def maps_of_photos(
    batch: Sequence[Record],
    *,
    method: MixedMethod,
    classifier: Classifier,
    device: Device,
    grid: Grid,
    score_threshold: float,
) -> list[Activation]:
    """A method's maps of photos of any sizes. Photos without labels get the classes the classifier predicts."""
    with inference(device):
        images = [stack_images([record], device)[0] for record in batch]
        present = [
            present_classes([record], image[None], classifier, score_threshold)[0]
            for record, image in zip(batch, images, strict=True)
        ]
        tables = [stack_classes([classes], device)[0] for classes in present]
        made, notes = method(images, tables, [grid.of(record.size) for record in batch])
        maps = [one.float().cpu().numpy() for one in made]
    return [
        Activation(record.id, values, classes, record.size, found if len(classes) else {})
        for record, values, classes, found in zip(batch, maps, present, notes, strict=True)
    ]


def maps_of_batch(
    batch: Sequence[Record],
    *,
    method: MapMethod,
    classifier: Classifier,
    device: Device,
    grid: Grid,
    score_threshold: float,
) -> list[Activation]:
    """A method's maps of photos of one size. Photos without labels get the classes the classifier predicts."""
    size = grid.of(batch[0].size)
    with inference(device):
        images = stack_images(batch, device)
        present = present_classes(batch, images, classifier, score_threshold)
        table = stack_classes(present, device)
        if table.shape[1] == 0:
            maps, notes = np.zeros((len(batch), 0, *size), np.float32), no_notes(images)
        else:
            made, notes = method(images, table, size)
            maps = made.float().cpu().numpy()
    return [
        Activation(record.id, values[: len(classes)], classes, record.size, found)
        for record, values, classes, found in zip(batch, maps, present, notes, strict=True)
    ]


def signed_maps(
    images: torch.Tensor,
    classes: torch.Tensor,
    size: Size,
    *,
    scorer: Scorer,
    scales: Sequence[float],
    flip: bool,
    raw: bool,
    multiple: int = 1,
) -> tuple[torch.Tensor, Sequence[Notes]]:
    """A MapMethod of signed scores once the others are bound; raw: not divided by the largest of either sign."""
    from camkit.methods.signed import multi_scale_scores

    scores = multi_scale_scores(
        images, classes, size, scorer=scorer, scales=scales, flip=flip, raw=raw, multiple=multiple
    )
    return scores, no_notes(images)


def no_notes(images: torch.Tensor) -> Sequence[Notes]:
    return [{} for _ in images]


def present_classes(
    batch: Sequence[Record], images: torch.Tensor, classifier: Classifier, score_threshold: float
) -> list[np.ndarray]:
    """The classes of each photo: labelled, or where there is no label predicted."""
    from camkit.methods.response import network_input

    labelled = [record.classes for record in batch if record.classes is not None]
    if len(labelled) == len(batch):
        return labelled
    scores = classifier.logits(network_input(images, classifier)).float().sigmoid().cpu().numpy()
    return [
        predicted_classes(row, score_threshold) if record.classes is None else record.classes
        for record, row in zip(batch, scores, strict=True)
    ]

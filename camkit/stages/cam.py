"""`camkit cam`: class activation maps of every photo."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from camkit.defaults import SCALES
from camkit.errors import UsageError
from camkit.pipeline.device import Device, choose_device, inference
from camkit.pipeline.output import Output, Runtime, Summary, open_output, write_activations
from camkit.pipeline.photos import ViewSize, load_photos
from camkit.pipeline.select import Inputs, predicted_classes, resolve_classes, select
from camkit.stages.network import Network, describe_checkpoint, load_network, stack_classes, stack_images
from camkit.store.provenance import stage
from camkit.store.schema import Header
from camkit.types import Activation, Record, Size, no_classes

if TYPE_CHECKING:
    from camkit.methods.response import Classifier, ResponseMap

log = logging.getLogger("camkit")

PADDED_GRIDS = {"resnet50-irn": 16}
"""Programs that stretch pixel-wise maps over whole cells of the stride and cut: IRN and its family."""


@dataclass(frozen=True)
class Grid:
    """At which resolution maps are kept: one value per `stride` pixels, or every pixel (stride 1).

    multiple  pixel-wise maps are stretched over the next multiple of this and cut, as IRN's programs do
    """

    stride: int = 4
    multiple: int = 1

    @classmethod
    def parse(cls, size: str, multiple: int = 1) -> Grid:
        if size == "full":
            return cls(1, multiple)
        if not size.isdecimal() or not 1 <= int(size) <= 64:
            raise UsageError(f"--size {size}: give full, or the stride of the maps in pixels (4 is the default)")
        return cls(int(size))

    def of(self, size: Size) -> Size:
        return -(-size[0] // self.stride), -(-size[1] // self.stride)


def cam(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    scales: Sequence[float] = SCALES,
    flip: bool = True,
    resize: str | None = None,
    size: str = "4",
) -> Summary:
    """Write the class activation maps of the classes present in every image.

    resize  longer side of the photo as the network sees it: N, `native`, or None: as the checkpoint records
    size    resolution of the maps: `full`, or a stride in pixels
    """
    from camkit.methods.cam import cam as cam_response

    device = choose_device(runtime.device, runtime.precision)
    loaded = load_network(network, device)
    classifier = loaded.network
    selection = select(inputs, resolve_classes(inputs.classes, loaded.classes, len(classifier.weight)))
    if selection.labels is None:
        log.info("no labels given: the classes are those the classifier predicts")
    view = ViewSize.parse(resize, loaded.input_size)
    grid = Grid.parse(size, multiple=PADDED_GRIDS.get(loaded.arch, 1))
    header = Header(
        kind="maps",
        classes=selection.classes,
        image_root=str(selection.images.root.resolve()),
        provenance=stage(
            "cam",
            {
                "scales": [float(scale) for scale in scales], "flip": flip, "resize": str(view),
                "size": size, "dtype": output.dtype or "float16", "output_stride": loaded.output_stride,
                "precision": device.precision,
            },
            checkpoint=describe_checkpoint(loaded),
            selection=selection.describe(),
        ),
    )  # fmt: skip
    step = partial(
        maps_of_batch,
        response=partial(cam_response, classifier=classifier),
        classifier=classifier,
        device=device,
        scales=tuple(scales),
        flip=flip,
        grid=grid,
        score_threshold=inputs.score_threshold,
    )
    with open_output(output, header, selection.ids, selection.shard) as sink:
        return write_activations(
            sink,
            selection.own_ids,
            partial(load_photos, selection=selection, view=view, workers=runtime.workers),
            step,
            description="cam",
            runtime=runtime,
            batch_size=device.batch_size(runtime.batch_size),
        )


def maps_of_batch(
    batch: Sequence[Record],
    *,
    response: ResponseMap,
    classifier: Classifier,
    device: Device,
    scales: Sequence[float],
    flip: bool,
    grid: Grid,
    score_threshold: float,
) -> list[Activation]:
    """Multi-scale maps of photos of one size. Photos without labels get the classes the classifier predicts."""
    from camkit.methods.response import network_input, normalise, scale_pyramid, sum_responses

    with inference(device):
        images = stack_images(batch, device)
        classes = [record.classes for record in batch]
        if any(present is None for present in classes):
            scores = classifier.logits(network_input(images, classifier)).float().sigmoid().cpu().numpy()
            classes = [
                predicted_classes(row, score_threshold) if present is None else present
                for present, row in zip(classes, scores, strict=True)
            ]
        present = [no_classes() if c is None else c for c in classes]
        table = stack_classes(present, device)
        if table.shape[1] == 0:
            maps = np.zeros((len(batch), 0, *grid.of(batch[0].size)), np.float32)
        else:
            total = sum_responses(
                response, scale_pyramid(images, scales), table, grid.of(batch[0].size),
                flip=flip, multiple=grid.multiple,
            )  # fmt: skip
            maps = normalise(total).cpu().numpy()
    return [
        Activation(record.id, values[: len(c)], c, record.size)
        for record, values, c in zip(batch, maps, present, strict=True)
    ]

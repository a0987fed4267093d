"""`camkit segment`: photos, without tags, to probabilities or masks, by a segmentation network."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit import agreement
from camkit.data.exchange.png import write_png
from camkit.data.exchange.writing import OneFile
from camkit.data.images import ImageSet, pick_images, read_image
from camkit.errors import UsageError
from camkit.methods.crf import dense_crf
from camkit.methods.crf.unary import unary_of_probs
from camkit.methods.seeds import mask_labels, mask_of_probs
from camkit.pipeline.device import Device, choose_device, inference
from camkit.pipeline.folder_sink import FolderSink, Maker
from camkit.pipeline.output import (
    Output,
    ResumableSink,
    Runtime,
    Summary,
    check_inputs_stay,
    open_output,
    write_activations,
)
from camkit.pipeline.photos import load_photos, view_size
from camkit.pipeline.select import Inputs, resolve_classes, select
from camkit.settings.crf import CrfParameters
from camkit.settings.option import NO_CHANGES, preset_of
from camkit.settings.segmentation import LOOKING, Looking, Preset, Tiles
from camkit.stages.maps import Grid, grid_of
from camkit.stages.network import stack_images
from camkit.store.provenance import stage
from camkit.store.schema import Header
from camkit.types import Activation, LongerSide, Record, Resolution, Size, no_classes
from camkit.upsample import upsample

if TYPE_CHECKING:
    from camkit.models.segmentation.checkpoint import LoadedSegmentation
    from camkit.models.segmentation.network import SegmentationNetwork

log = logging.getLogger("camkit")

LEAST = 0.01
"""A class is kept where it is at least so probable anywhere in the photo, or the most probable somewhere."""
USUAL_TILES = Tiles()
PNG = OneFile(".png", write_png)
MAKER = Maker("camkit segment", "camkit masks", "masks")


def segment(
    inputs: Inputs,
    ckpt: Path | str,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    preset: Preset = "light",
    changes: Mapping[str, Any] = NO_CHANGES,
    tiles: Tiles = USUAL_TILES,
    crf: bool = False,
    masks: bool = False,
    png: Path | str | None = None,
    resize: LongerSide | None = None,
    size: Resolution | None = None,
    only: Collection[str] | None = None,
) -> Summary:
    """Segment every photo: a store of probs, or of masks, or palette PNGs into the folder `png`.

    preset   how the network's program looks at photos, with `changes` by the names of Looking's fields
    tiles    of photos that are larger, as they are seen
    crf      a dense CRF after that, with the numbers of the preset
    resize   longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size     resolution of probs: "full", or a stride in pixels. None: 4, after a CRF full
    only     no other photos than these
    """
    png, masks = None if png is None else Path(png), masks or png is not None
    _check_output(output, png, masks, size)
    looking = replace(preset_of(LOOKING, preset), **changes)
    device = choose_device(runtime.device, runtime.precision)
    loaded = _load(Path(ckpt), device)
    classes = resolve_classes(inputs.classes, loaded.classes, loaded.network.num_classes)
    selection = select(inputs, classes, need_labels=False)
    if only is not None:
        selection = replace(selection, images=pick_images(selection.images, only))
    view = view_size(resize, loaded.input_size)
    grid = grid_of("full" if masks else size or ("full" if crf else 4))
    root = str(selection.images.root.resolve())
    parameters = {
        **{name: value for name, value in asdict(looking).items() if name != "crf"},
        **asdict(tiles),
        "resize": str(view),
        "precision": device.precision,
        **({f"crf_{name}": value for name, value in asdict(looking.crf).items()} if crf else {}),
        **({"masks": True} if masks else {"size": str(grid), "dtype": output.dtype or "float16"}),
    }
    described = {name: value for name, value in selection.describe().items() if name != "labels"}
    checkpoint = {
        "name": loaded.path.name, "sha256": loaded.sha256, "arch": loaded.arch,
        **({"agreement": agreement.noted(loaded.figures)} if agreement.shares_of(loaded.figures) else {}),
    }  # fmt: skip
    header = Header(
        kind="masks" if masks else "probs",
        classes=classes,
        image_root=root,
        provenance=stage("segment", parameters, checkpoint=checkpoint, selection=described),
    )
    step = _Step(loaded.network, looking, tiles, device, grid, looking.crf if crf else None, masks, selection.images)
    read = [*inputs.files, loaded.path]
    sinks: AbstractContextManager[ResumableSink]
    if png is not None:
        check_inputs_stay(png, [*read, root], "choose another folder for --png")
        sinks = FolderSink(
            png, PNG, header, selection.ids, MAKER, own=selection.own_ids, overwrite=output.overwrite
        )  # fmt: skip
    else:
        sinks = open_output(output, header, selection.ids, selection.shard, inputs=read)
    with sinks as sink:
        return write_activations(
            sink,
            selection.own_ids,
            partial(load_photos, selection=selection, view=view, workers=runtime.workers),
            step,
            description="segment",
            runtime=runtime,
            batch_size=device.batch_size(runtime.batch_size),
        )


def _check_output(output: Output, png: Path | None, masks: bool, size: Resolution | None) -> None:
    if png is not None and output.out is not None:
        raise UsageError("give --out for a store or --png for a folder, not both")
    if masks and size is not None:
        raise UsageError("--size is for probs; masks are as large as the photo")
    if masks and output.dtype is not None:
        raise UsageError("--dtype is for probs; masks are whole numbers")


def _load(ckpt: Path, device: Device) -> LoadedSegmentation:
    from camkit.models.segmentation.checkpoint import load_segmentation

    loaded = load_segmentation(ckpt)
    network = loaded.network
    log.info("network: %s on %s, %d classes", loaded.arch, network.trunk, network.num_classes)
    if loaded.ignored:
        log.debug("not needed in %s: %s", loaded.path, ", ".join(loaded.ignored))
    network.to(device.torch_device)
    return loaded


@dataclass(frozen=True, eq=False)
class _Step:
    """Photos of one size → what is kept of them. crf: None: no CRF."""

    network: SegmentationNetwork
    looking: Looking
    tiles: Tiles
    device: Device
    grid: Grid
    crf: CrfParameters | None
    masks: bool
    photos: ImageSet

    def __call__(self, batch: Sequence[Record]) -> list[Activation]:
        image, size = batch[0].image, batch[0].size
        assert image is not None
        wanted = size if self.crf is not None else self.grid.of(size)
        if max(image.shape[:2]) <= self.tiles.tile:
            found = self.probabilities(batch, wanted)
            return [self.finish(record, probs) for record, probs in zip(batch, found, strict=True)]
        return [self.in_tiles(record, wanted) for record in batch]

    def probabilities(self, batch: Sequence[Record], size: Size) -> np.ndarray:
        """[B, 1 + C, *size]."""
        from camkit.methods.segmentation import segment

        looking = self.looking
        with inference(self.device):
            found = segment(
                stack_images(batch, self.device), self.network, size, looking.scales, flip=looking.flip,
                fusion=looking.fusion, resizing=looking.resizing,
            )  # fmt: skip
            probs: np.ndarray = found.float().cpu().numpy()
        return probs

    def in_tiles(self, record: Record, size: Size) -> Activation:
        """Of a mask no more is in memory than the probabilities of one tile."""
        from camkit.methods.tiles import scaled_box, tiles_of

        assert record.image is not None
        seen = (record.image.shape[0], record.image.shape[1])
        labels = mask_labels(np.arange(self.network.num_classes), self.network.num_classes)
        only_mask = self.masks and self.crf is None
        whole = np.empty(size, labels.dtype) if only_mask else np.empty((len(labels), *size), np.float32)
        for tile in tiles_of(seen, self.tiles.tile, self.tiles.overlap):
            top, left, bottom, right = tile.read
            part = replace(record, image=record.image[top:bottom, left:right])
            read, keep = (scaled_box(box, seen, size) for box in tile)
            (probs,) = self.probabilities([part], (read[2] - read[0], read[3] - read[1]))
            inner = probs[:, keep[0] - read[0] : keep[2] - read[0], keep[1] - read[1] : keep[3] - read[1]]
            whole[..., keep[0] : keep[2], keep[1] : keep[3]] = labels[inner.argmax(0)] if only_mask else inner
        if only_mask:
            return Activation(record.id, whole, no_classes(), record.size)
        return self.finish(record, whole)

    def finish(self, record: Record, probs: np.ndarray) -> Activation:
        count = len(probs) - 1
        classes = kept_classes(probs)
        probs = probs[[0, *(classes + 1)]]
        probs /= probs.sum(0)
        if self.crf is not None and len(classes):
            photo, _ = read_image(self.photos.paths[record.id])
            probs = dense_crf(photo, unary_of_probs(probs), self.crf)
        if self.masks:
            return Activation(record.id, mask_of_probs(probs, classes, count), no_classes(), record.size)
        return Activation(record.id, upsample(probs, self.grid.of(record.size)), classes, record.size)


def kept_classes(probs: np.ndarray) -> np.ndarray:
    """[n] int64, ascending, of probs [1 + C, h, w]."""
    chosen = probs.max((1, 2)) >= LEAST
    chosen[np.unique(probs.argmax(0))] = True
    return np.flatnonzero(chosen[1:]).astype(np.int64)

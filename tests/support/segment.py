"""Pseudo masks, probabilities, maps and saliency of a drawn world: made of its truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from camkit.data.classes import VOC_CLASSES
from camkit.data.masks import read_mask
from camkit.store.schema import Header
from camkit.store.writer import Writer
from camkit.types import Activation, no_classes
from tests.support.world import World

SMALL = (
    "--trunk", "toy", "--width", "4", "--batch-size", "4", "--crop", "48", "--resize", "48", "--workers", "0",
)  # fmt: skip


def truth_of(world: World, id: str) -> np.ndarray:
    return read_mask(world.root / "SegmentationClass" / f"{id}.png")


def draw_saliency(world: World, folder: Path, *, bright: bool = True) -> None:
    """Smaller than the photos, as those of real networks are."""
    folder.mkdir()
    for id in world.ids:
        truth = truth_of(world, id)
        objects = ((truth > 0) & (truth < 255)) == bright
        Image.fromarray(np.where(objects, 240, 10).astype(np.uint8)).resize((30, 30)).save(folder / f"{id}.png")


def stores_of(world: World, folder: Path) -> Mapping[str, Path]:
    """masks.h5, probs.h5 and maps.h5."""
    paths = {kind: folder / f"{kind}.h5" for kind in ("masks", "probs", "maps")}
    for kind, path in paths.items():
        header = Header(kind=kind, classes=VOC_CLASSES, image_root=str(world.root / "JPEGImages"), provenance={})
        with Writer(path, header, world.ids) as writer:
            for id in world.ids:
                writer.write(_activation(kind, id, truth_of(world, id)))
            writer.finish()
    return paths


def _activation(kind: str, id: str, truth: np.ndarray) -> Activation:
    size = (truth.shape[0], truth.shape[1])
    if kind == "masks":
        return Activation(id, truth, no_classes(), size)
    classes = np.unique(truth[(truth > 0) & (truth < 255)]).astype(np.int64) - 1
    maps = np.stack([truth == c + 1 for c in classes]).astype(np.float32)
    if kind == "maps":
        return Activation(id, maps, classes, size)
    everything = np.concatenate([1 - maps.sum(0, keepdims=True), maps]) * 0.8 + 0.2 / (1 + len(maps))
    return Activation(id, everything, classes, size)

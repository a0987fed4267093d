"""Maps of drawn photos that AffinityNet and IRN can learn from, and short trainings of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from camkit import Activation, Header, Runtime, Writer, affinity_train, irn_train
from camkit.data.masks import read_mask
from camkit.errors import CamkitError
from camkit.models import zoo
from camkit.models.checkpoint import save_classifier
from camkit.stages.training import Start, Trained, recipe_of
from camkit.types import AffinityKind, no_classes
from tests.support.world import World

KINDS: tuple[AffinityKind, ...] = ("affinitynet", "irn")
NAMES = ("bird", "cat", "dog")
SMALL: Mapping[str, Any] = {"epochs": 1, "batch_size": 3, "crop": 48, "rate": 0.05}
TOY = Start(arch="toy", width=4)


def mask_of(world: World, id: str) -> np.ndarray:
    """Its objects as the numbers 1 and 2."""
    mask = read_mask(world.root / "SegmentationClass" / f"{id}.png").astype(np.int64)
    mask[mask == 255] = 0
    return np.unique(mask, return_inverse=True)[1].reshape(mask.shape)


def maps_of(world: World, id: str) -> Activation:
    """Maps of its objects at stride 4, of the classes 0 and 2: every other pair of columns is hardly seen."""
    mask = mask_of(world, id)
    exact = np.stack([mask == number for number in range(1, mask.max() + 1)])[:, ::4, ::4]
    levels = np.where(np.indices(exact.shape)[2] % 4 < 2, 0.9, 0.2)
    noise = 0.04 * np.random.default_rng(0).random(exact.shape)
    return Activation(id, (exact * levels + noise).astype(np.float32), np.array([0, 2])[: len(exact)], mask.shape)


def written(
    path: Path, world: World, activations: Sequence[Activation], kind: str = "maps", names: Sequence[str] = NAMES
) -> Path:
    root = str((world.root / "JPEGImages").resolve())
    header = Header(kind=kind, classes=tuple(names), image_root=root)  # type: ignore[arg-type]
    with Writer(path, header, [found.id for found in activations]) as writer:
        for found in activations:
            writer.write(found)
        writer.finish()
    return path


def masks_store(path: Path, world: World, change: Callable[[np.ndarray], np.ndarray] = lambda mask: mask) -> Path:
    found = [(id, change(mask_of(world, id)).astype(np.uint8)) for id in world.ids]
    return written(path, world, [Activation(id, mask, no_classes(), mask.shape) for id, mask in found], "masks")


def train(
    kind: AffinityKind, sources: Path, out: Path, start: Start = TOY, changes: Mapping[str, Any] = {}, **options: Any
) -> Trained:
    preset, function = ("affinitynet", affinity_train) if kind == "affinitynet" else ("boundary", irn_train)
    recipe = recipe_of(preset, start, {**SMALL, **changes})
    return function(sources, start, out, recipe, options.pop("runtime", Runtime(workers=0)), **options)


def classifier(path: Path, arch: str = "toy", width: int = 4) -> Path:
    """With batch norms that have seen something."""
    torch.manual_seed(1)
    network = zoo.build(arch, 2, width=width)
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    save_classifier(
        path, network, arch=arch, classes=None, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2), input_size=None,
        output_stride=None,
    )  # fmt: skip
    return path


def refused(sources: Path, folder: Path, told: str, kind: AffinityKind = "affinitynet", **options: Any) -> None:
    """In a line or two, and nothing is left behind."""
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(CamkitError) as caught:
        train(kind, sources, folder / options.pop("name", "refused.safetensors"), **options)
    message = str(caught.value)
    assert told in message
    assert message.count("\n") <= 1
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before

"""Tiny seeded checkpoints in the published layouts, for any test that needs a classifier."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tests.reference import layouts

LAST_OF_BRANCH = (".conv3.weight", "conv_branch2b2.weight")


def tiny_checkpoint(path: Path, arch: str = "resnet18", classes: int = 20, width: int = 8, seed: int = 0) -> Path:
    """Writes the state dict of a narrow `arch` as published programs do (no class names, no preprocessing)."""
    torch.save(tiny_state_dict(arch, classes, width, seed), path)
    return path


def tiny_state_dict(
    arch: str = "resnet18", classes: int = 20, width: int = 8, seed: int = 0
) -> dict[str, torch.Tensor]:
    return fill(layout_of(arch, classes, width), seed)


def layout_of(arch: str, classes: int, width: int) -> layouts.Shapes:
    own = {
        "resnet38": layouts.resnet38,
        "resnet38-seam": layouts.seam,
        "resnet50-irn": partial(layouts.resnet50_irn, aliases=False),
        "vgg16": layouts.vgg16,
        "toy": layouts.toy,
    }
    if arch in own:
        return own[arch](classes, width)
    if arch.startswith("efficientnet"):
        return layouts.efficientnet(arch, classes, width)
    return layouts.resnet(arch, classes, width)


def fill(shapes: layouts.Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """Numbers that keep activations near unit size; each key draws from its own generator."""
    return {key: torch.from_numpy(np.asarray(_draw(key, shape, seed))) for key, shape in shapes.items()}


def _draw(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    numbers = np.random.default_rng([zlib.crc32(key.encode()), seed]).standard_normal(shape)
    if key.endswith("running_var"):
        return (1 + 0.1 * np.abs(numbers)).astype(np.float32)
    if len(shape) > 1:
        scale = 0.5 if key.endswith(LAST_OF_BRANCH) else 1.0
        return (scale * numbers * np.sqrt(2 / max(1, np.prod(shape[1:])))).astype(np.float32)
    offset = 1.0 if key.endswith("weight") else 0.0
    return (offset + 0.1 * numbers).astype(np.float32)

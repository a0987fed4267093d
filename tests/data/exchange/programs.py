"""Files as the published programs write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from camkit.data.exchange.source import Ask
from camkit.types import Size

VOC = Ask(classes=tuple(f"thing {n}" for n in range(20)))


def random_maps(classes: Sequence[int], size: Size, seed: int = 0) -> np.ndarray:
    """[C, H, W] float32, each with a maximum just below 1 as the programs' `+ 1e-5` leaves it."""
    maps = np.random.default_rng(seed).random((len(classes), *size), np.float32)
    return maps / (maps.max(axis=(1, 2), keepdims=True, initial=0) + np.float32(1e-5))


def random_probs(classes: Sequence[int], size: Size, seed: int = 0) -> np.ndarray:
    """[1 + C, H, W] float32 that sum to 1, as dense CRFs give them."""
    scores = np.random.default_rng(seed).random((1 + len(classes), *size), np.float32)
    return scores / scores.sum(axis=0)


def write_psa_cam(folder: Path, name: str, classes: Sequence[int], size: Size, seed: int = 0) -> np.ndarray:
    maps = random_maps(classes, size, seed)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", {c: maps[n] for n, c in enumerate(classes)})
    return maps


def write_psa_crf(folder: Path, name: str, classes: Sequence[int], size: Size, seed: int = 0) -> np.ndarray:
    """`_crf_with_alpha`: background at 0, class + 1."""
    probs = random_probs(classes, size, seed)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", {0: probs[0], **{c + 1: probs[n + 1] for n, c in enumerate(classes)}})
    return probs


def write_irn_cam(
    folder: Path, name: str, classes: Sequence[int], size: Size, seed: int = 0, full: str | None = "high_res"
) -> np.ndarray:
    """`make_cam.py`: keys and the strided maps are tensors, the full ones an array; without classes, keys alone."""
    strided = random_maps(classes, (-(-size[0] // 4), -(-size[1] // 4)), seed)
    content = {"keys": torch.tensor(classes, dtype=torch.int64)}
    if classes:
        content["cam"] = torch.from_numpy(strided)
        if full is not None:
            content[full] = random_maps(classes, size, seed + 1)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", content)
    return strided

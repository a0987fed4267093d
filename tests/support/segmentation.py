"""What the oracles of segmentation were computed from: checkpoints of published layouts, and photos."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

COMPUTED = ".relative_position_index"
SUM = "sha1_of_float32_bytes_canonical_keys_in_shapes_order"


PHOTOS = {"a": "2007_000001", "b": "2007_000004"}
Crop = tuple[int, int, int, int]
"""Rows from and to, columns from and to."""


def photo(oracles: Path, letter: str, crop: Crop | None = None) -> torch.Tensor:
    """[1, 3, H, W] float32 in [0, 255]."""
    pixels = np.asarray(Image.open(oracles / "images" / f"{PHOTOS[letter]}.png").convert("RGB"), np.float32)
    top, bottom, left, right = crop or (0, *pixels.shape[:1], 0, pixels.shape[1])
    return torch.from_numpy(pixels[top:bottom, left:right].transpose(2, 0, 1)[None].copy())


def seeded_state(oracles: Path, name: str) -> dict[str, torch.Tensor]:
    """The checkpoint that `segmentation/<name>_state_dict.json` describes; its checksum is verified."""
    spec = importlib.util.spec_from_file_location("seeded", oracles / "seeded.py")
    assert spec is not None
    assert spec.loader is not None
    seeded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeded)
    described = json.loads((oracles / "segmentation" / f"{name}_state_dict.json").read_text())
    shapes = {key: shape for key, shape in described["shapes"].items() if not key.endswith(COMPUTED)}
    arrays: dict[str, np.ndarray] = seeded.seeded_state_dict(shapes, described["seed"])
    for rule in described["after_filling"]:
        matching = [key for key in arrays if re.search(rule["keys_matching"], key)]
        arrays |= {key: arrays[key] * np.float32(rule["multiply_by"]) for key in matching}
    assert described[SUM] == _digest(arrays)
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha1()
    for key, array in arrays.items():
        if not key.endswith("num_batches_tracked"):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()

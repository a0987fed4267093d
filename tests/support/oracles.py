"""Checkpoints of the published models, filled with the reproducible numbers that the oracles were computed with."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch


def seeded_checkpoint(oracles: Path, name: str, path: Path) -> Path:
    """Write the checkpoint that `<name>_state_dict.json` describes."""
    arrays = seeded_arrays(oracles, json.loads((oracles / f"{name}_state_dict.json").read_text()))
    torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path)
    return path


def seeded_arrays(oracles: Path, described: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a `*_state_dict.json` describes; where it gives a checksum of them, they are checked."""
    spec = importlib.util.spec_from_file_location("seeded", oracles / "seeded.py")
    assert spec is not None
    assert spec.loader is not None
    seeded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeded)
    arrays: dict[str, np.ndarray] = seeded.seeded_state_dict(
        described["shapes"], described["seed"], described.get("aliases")
    )
    for rule in described.get("after_filling", ()):
        for key in [key for key in arrays if re.search(rule["pattern"], key)]:
            arrays[key] = arrays[key] * np.float32(rule["multiply"])
    assert described.get("sha1") in (None, sha1_of(described, arrays))
    return arrays


def sha1_of(described: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Of all arrays in the order of the keys, without aliases and counters."""
    digest = hashlib.sha1()
    for key in described["shapes"]:
        if key not in described.get("aliases", {}) and not key.endswith("num_batches_tracked"):
            digest.update(np.ascontiguousarray(arrays[key], np.float32).tobytes())
    return digest.hexdigest()

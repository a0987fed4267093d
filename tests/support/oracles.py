"""Checkpoints of the published models, filled with the reproducible numbers that the oracles were computed with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import torch


def seeded_checkpoint(oracles: Path, name: str, path: Path) -> Path:
    """Write the checkpoint that `<name>_state_dict.json` describes."""
    spec = importlib.util.spec_from_file_location("seeded", oracles / "seeded.py")
    assert spec is not None
    assert spec.loader is not None
    seeded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeded)
    described = json.loads((oracles / f"{name}_state_dict.json").read_text())
    arrays = seeded.seeded_state_dict(described["shapes"], described["seed"], described.get("aliases"))
    torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path)
    return path

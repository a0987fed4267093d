"""Small stores for the tests of this folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camkit.store import Header, Writer, shard_ids, stage
from camkit.types import Activation

CLASSES = ("cat", "dog", "naïve chair")


def header(kind: str = "maps", **parameters: Any) -> Header:
    return Header(kind, CLASSES, "/photos", stage("cam", parameters, selection={"count": 9, "sha256": "aa"}))


def record(id: str, kind: str = "maps") -> Activation:
    """A record that is a function of its id alone."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "little"))
    size = (int(random.integers(5, 30)), int(random.integers(5, 30)))
    none = np.zeros(0, np.int64)
    if kind == "scores":
        return Activation(id, random.normal(size=3).astype(np.float32), none, size)
    if kind == "masks":
        return Activation(id, random.choice([0, 1, 3, 255], size=size).astype(np.uint8), none, size)
    if kind == "superpixels":
        return Activation(id, np.arange(size[0] * size[1], dtype=np.uint16).reshape(size), none, size)
    classes = np.flatnonzero(random.random(3) > 0.5)
    planes = len(classes) + (kind == "probs")
    values = random.random((planes, 4, 6)).astype(np.float16).astype(np.float32)
    return Activation(id, values - (kind == "signed"), classes, size, {"rounds": 3} if random.random() > 0.5 else {})


def write(out: Path, ids: Iterable[str], head: Header | None = None, **options: Any) -> bool:
    """Write, or go on writing, the store of these ids (all shards'); what `finish` says."""
    ids, head = list(ids), head or header()
    with Writer(out, head, ids, **options) as writer:
        for id in shard_ids(ids, options.get("shard", (0, 1))):
            if id not in writer.done:
                writer.write(record(id, head.kind))
        return writer.finish()


IDS = ("a/b c", "a/ü.x", "b", "d.e.f", "q/r/s", "q/t", "u", "v", "w")


@pytest.fixture
def undisturbed(tmp_path: Path) -> bytes:
    """The bytes of the store of IDS, written at once."""
    out = tmp_path / "undisturbed.h5"
    assert write(out, IDS)
    return out.read_bytes()

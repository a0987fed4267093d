"""What is remembered of saliency maps that a result depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camkit.errors import InputError
from camkit.store.provenance import sha256_file, stage, to_json


def history_of_pictures(pictures: Mapping[str, Path], ids: Sequence[str]) -> Mapping[str, Any]:
    """What tells them from others, as a stage of the provenance; one that cannot be read fails with its image."""
    digest = hashlib.sha256()
    used = [id for id in ids if id in pictures]
    for id in used:
        try:
            content = sha256_file(pictures[id])
        except InputError:
            content = "cannot be read"
        digest.update(to_json([id, content]).encode())
    return stage("saliency maps", {}, selection={"count": len(used), "sha256": digest.hexdigest()})

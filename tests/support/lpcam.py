"""Prototypes of a small drawn world, for tests of LPCAM."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from camkit import Inputs, Network, Output, Runtime
from camkit.data.classes import VOC_CLASSES
from camkit.settings.lpcam import Clustering, Hyperparameters
from camkit.stages.lpcam_cluster import lpcam_cluster
from camkit.store.prototypes import PrototypeStore, read_prototypes
from tests.support.world import World

SETTINGS = Hyperparameters(clusters=3, threshold=0.4, foreground_score=0.055, context_score=0.05, context_low=0.03)
SMALL = "32K"
"""A tenth of the features of the photos below; one cluster of each class is all there is room for."""


def cluster(world: World, out: Path, *, settings: Hyperparameters = SETTINGS, **options: Any) -> PrototypeStore:
    if options.get("memory") == SMALL:
        settings = replace(settings, clusters=1)
    runtime = options.pop("runtime", Runtime())
    inputs = options.pop("inputs", Inputs(world.root))
    clustering = Clustering(**{name: options.pop(name) for name in ("memory", "seed", "per_class") if name in options})
    lpcam_cluster(
        inputs,
        Network(world.ckpt),
        Output(out, options.pop("overwrite", False)),
        runtime,
        settings=settings,
        clustering=clustering,
        **options,
    )
    return read_prototypes(out)


def labels_of(world: World) -> dict[str, list[int]]:
    return {
        id: sorted(
            VOC_CLASSES.index(name)
            for name in re.findall("<name>(.*?)</name>", (world.root / "Annotations" / f"{id}.xml").read_text())
        )
        for id in world.ids
    }

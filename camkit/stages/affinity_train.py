"""`camkit affinity-train`: AffinityNet, whose features say which pixels belong together."""

from __future__ import annotations

from pathlib import Path

from camkit.defaults import SECONDS_BETWEEN_SAVES
from camkit.pipeline.output import Runtime
from camkit.pipeline.upstream import Sources
from camkit.settings.pairs import PAIRS, Confidence
from camkit.settings.recipe import Recipe
from camkit.stages.affinities import train_affinities
from camkit.stages.training import Start, Trained, TrainingPlace


def affinity_train(
    sources: Sources,
    start: Start,
    out: Path,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    confidence: Confidence | None = None,
    radius: int = PAIRS["affinitynet"].radius,
    images: Path | str | None = None,
    input_size: int | None = None,
    overwrite: bool = False,
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
) -> Trained:
    """Train AffinityNet and write the checkpoint of the last epoch, for `refine_walk`.

    sources     a maps store (labels are made of it and kept beside `out`), or a masks store: the labels themselves
    confidence  how labels are made of maps; None: as published
    radius      pairs of cells nearer than this are compared
    images      where the photos are; None: where the store's were
    input_size  longer side at which photos are to be seen later; None: as the recipe shows them
    """
    place = TrainingPlace(Path(out), start, overwrite, seconds_between_saves)
    return train_affinities("affinitynet", sources, place, recipe, runtime, confidence, radius, images, input_size)

"""`camkit irn-train`: IRN's boundaries between what belongs together."""

from __future__ import annotations

from pathlib import Path

from camkit.defaults import SECONDS_BETWEEN_SAVES
from camkit.pipeline.output import Runtime
from camkit.pipeline.upstream import Sources
from camkit.settings.pairs import PAIRS, Confidence
from camkit.settings.recipe import Recipe
from camkit.stages.affinities import train_affinities
from camkit.stages.training import Start, Trained, TrainingPlace


def irn_train(
    sources: Sources,
    start: Start,
    out: Path,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    confidence: Confidence | None = None,
    radius: int = PAIRS["irn"].radius,
    images: Path | str | None = None,
    input_size: int | None = None,
    overwrite: bool = False,
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
) -> Trained:
    """Train IRN's boundaries, otherwise as `camkit.affinity_train`."""
    place = TrainingPlace(Path(out), start, overwrite, seconds_between_saves)
    return train_affinities("irn", sources, place, recipe, runtime, confidence, radius, images, input_size)

"""`camkit classify-train`: a classifier from photos and the classes they have."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camkit.defaults import SECONDS_BETWEEN_SAVES
from camkit.pipeline.device import Device, choose_device
from camkit.pipeline.output import Runtime
from camkit.pipeline.select import Inputs, Selection, select
from camkit.settings.recipe import Recipe
from camkit.stages.judge import BEST_BY, split
from camkit.stages.learned_photos import check_labels, items_of, say_what_is_learned
from camkit.stages.training import (
    Start,
    Trained,
    TrainingPlace,
    carry_out,
    classes_to_learn,
    files_of,
    names_inside,
    provenance_of,
    resting_stem,
    seen_size,
    starting_network,
    validation_of,
)
from camkit.store.provenance import sha256_file

if TYPE_CHECKING:
    from camkit.models.classifier import ClassifierNetwork
    from camkit.training.classify import Item
    from camkit.training.loop import Job
    from camkit.training.ranks import Ranks

log = logging.getLogger("camkit")


def classify_train(
    inputs: Inputs,
    start: Start,
    out: Path,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    validation: Inputs | float | None = None,
    patches: Path | None = None,
    input_size: int | None = None,
    overwrite: bool = False,
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
) -> Trained:
    """Train a classifier and write its best checkpoint (by mean average precision; without validation the last).

    validation  photos to judge it by after every epoch; or such a share of the others, which is not learned from
    patches     a maps store of the training photos: patches around their centres of mass train too (InferCam, Table 4)
    input_size  longer side at which photos are to be seen later; None: as the recipe shows them
    """
    recipe = replace(recipe, freeze=names_inside(start, recipe.freeze))
    device = choose_device(runtime.device, runtime.precision)
    classes = classes_to_learn(inputs)
    training, judged = split(select(inputs, classes), validation, classes, recipe.seed)
    items = items_of(training, patches)
    check_labels(items, classes)
    say_what_is_learned(training, items, judged, classes, recipe)
    run = provenance_of(
        "classify-train", start, recipe, device, classes, training.describe(), judged=judged, input_size=input_size,
        patches=None if patches is None else sha256_file(patches),
    )  # fmt: skip

    def job_of(ranks: Ranks) -> Job:
        network, arch, kept = starting_network(start, classes, recipe, device)
        return make_job(
            network, arch, items, classes, judged, recipe, device, ranks, runtime,
            provenance=run, input_size=input_size or seen_size(recipe), fresh=network.fresh_modules(kept=kept),
        )  # fmt: skip

    return carry_out(
        job_of, run, recipe, TrainingPlace(out, start, overwrite, seconds_between_saves), device, runtime,
        photos=len(training.ids), inputs=[*inputs.files, *files_of(validation), patches],
    )  # fmt: skip


def make_job(
    network: ClassifierNetwork,
    arch: str,
    items: Sequence[Item],
    classes: tuple[str, ...],
    judged: Selection | None,
    recipe: Recipe,
    device: Device,
    ranks: Ranks,
    runtime: Runtime,
    *,
    provenance: Mapping[str, Any],
    input_size: int | None,
    fresh: Sequence[str],
) -> Job:
    from camkit.training import classify
    from camkit.training.loop import Job
    from camkit.view.learning_curve import draw_learning_curve

    fill = classify.mean_colour(network.mean)
    return Job(
        network=network,
        fresh=fresh,
        items=items,
        load=partial(classify.load_sample, augmentation=recipe.augmentation, num_classes=len(classes), fill=fill),
        collate=partial(classify.collate, device=device, fill=fill, channels_last=network.trains_channels_last),
        losses=partial(classify.losses, over=recipe.loss_over),
        validate=validation_of(judged, input_size, recipe, device, ranks, runtime),
        best_by=BEST_BY if judged is not None else None,
        save=partial(save_epoch, arch=arch, classes=classes, input_size=input_size, provenance=provenance),
        draw=partial(draw_learning_curve, title=f"{arch}, {len(classes)} classes, {len(items)} training photos"),
        resting=resting_stem(recipe, network),
        upper=network.upper_names,
    )


def save_epoch(
    network: ClassifierNetwork,
    figures: Mapping[str, Any],
    path: Path,
    *,
    arch: str,
    classes: Sequence[str],
    input_size: int | None,
    provenance: Mapping[str, Any],
) -> None:
    from camkit.models.checkpoint import save_classifier

    save_classifier(
        path, network, arch=arch, classes=classes, mean=network.mean, std=network.std, input_size=input_size,
        output_stride=network.output_stride, extra={"figures": dict(figures), "provenance": provenance},
    )  # fmt: skip

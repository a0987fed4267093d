"""The photos a classifier learns from, with their classes, and patches of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from camkit.data.reading import examples
from camkit.errors import LabelError, UsageError
from camkit.pipeline.select import Selection
from camkit.settings.recipe import Recipe
from camkit.stages.training import NO_LABELS
from camkit.store.reader import open_store

if TYPE_CHECKING:
    from camkit.training.classify import Item

log = logging.getLogger("camkit")


def items_of(training: Selection, patches: Path | None) -> list[Item]:
    """Every training photo, and its patches."""
    from camkit.training.classify import Item

    if training.labels is None:
        raise LabelError(NO_LABELS)
    present = training.labels.present
    items = [Item(id, training.images.paths[id], present[id]) for id in training.ids]
    if patches is not None:
        items += _patches_of(items, patches)
    return items


def _patches_of(items: Sequence[Item], patches: Path) -> list[Item]:
    from camkit.methods.split import split_boxes

    with open_store(patches) as store:
        if not store.header.holds.thresholded:
            raise UsageError(f"--patches {patches} is a {store.header.kind} store; a maps store is needed (camkit cam)")
        missing = [item.id for item in items if item.id not in store]
        if missing:
            raise UsageError(
                f"--patches {patches} has no maps of {len(missing)} of {len(items)} photos: {examples(missing)}"
            )
        found = []
        for item in items:
            maps = store.read(item.id)
            found += [replace(item, box=box, size=maps.size) for box in split_boxes(maps.values, maps.size)]
        return found


SHOWN_CLASSES = 30


def say_what_is_learned(
    training: Selection, items: Sequence[Item], judged: Selection | None, classes: Sequence[str], recipe: Recipe
) -> None:
    """How many photos, which classes and how often, and the recipe's main numbers."""
    log.info("training on %s", count(training, items, judged))
    seen = Counter(index for item in items[: len(training.ids)] for index in item.present)
    told = ", ".join(f"{classes[index]} {photos:,}" for index, photos in seen.most_common(SHOWN_CLASSES))
    log.info("%d classes: %s%s", len(classes), told, ", …" if len(seen) > SHOWN_CLASSES else "")
    log.info("recipe: %s (--recipe prints all of it)", main_numbers(recipe))


def main_numbers(recipe: Recipe) -> str:
    """'15 epochs, batches of 16, crops of 321 px, sgd, rate 0.01'."""
    crop = recipe.augmentation.crop
    seen = "whole photos" if crop is None else f"crops of {crop} px"
    return (
        f"{recipe.epochs} epochs, batches of {recipe.batch_size}, {seen}, {recipe.optimiser}, rate {recipe.rate:g}, "
        f"{recipe.schedule}"
    )


def count(training: Selection, items: Sequence[Item], judged: Selection | None) -> str:
    patches = len(items) - len(training.ids)
    told = f"{len(training.ids):,} photos" + (f" and {patches:,} patches of them" if patches else "")
    return told if judged is None else f"{told}, judged by {len(judged.ids):,}"


def check_labels(items: Sequence[Item], classes: Sequence[str]) -> None:
    seen = {c for item in items for c in item.present}
    if not seen:
        raise LabelError(f"none of the {len(items)} training photos has any of the classes {examples(classes)}")
    absent = [name for c, name in enumerate(classes) if c not in seen]
    if absent:
        told = f"{examples(absent)} ({len(absent)} of {len(classes)} classes)"
        log.warning("no training photo has %s: nothing can be learned about that", told)
    if len(items) == 1:
        log.warning("a single training photo: the network will know it by heart, and nothing else")

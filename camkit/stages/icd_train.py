"""`camkit icd-train`: a classifier, and beside it directions that tell a class's foreground from its background."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camkit.data.reading import examples
from camkit.defaults import SECONDS_BETWEEN_SAVES
from camkit.errors import LabelError, UsageError
from camkit.pipeline.device import Device, choose_device
from camkit.pipeline.output import Runtime
from camkit.pipeline.select import Inputs, Selection, select
from camkit.settings.icd import IcdRecipe
from camkit.settings.recipe import Recipe
from camkit.stages.judge import split
from camkit.stages.learned_photos import check_labels, items_of, say_what_is_learned
from camkit.stages.training import (
    STEM,
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
from camkit.store.reader import Reader, open_store

if TYPE_CHECKING:
    from camkit.models.icd import IcdNetwork, StoredHeads
    from camkit.training.classify import Item
    from camkit.training.folder import History
    from camkit.training.loop import Job
    from camkit.training.ranks import Ranks

log = logging.getLogger("camkit")

PAPER = IcdRecipe()


def icd_train(
    inputs: Inputs,
    start: Start,
    out: Path,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    icd: IcdRecipe = PAPER,
    superpixels: Path | None = None,
    validation: Inputs | float | None = None,
    input_size: int | None = None,
    overwrite: bool = False,
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
) -> Trained:
    """Train a classifier together with ICD's two branches and write the checkpoint of the last epoch.

    The best classifier is not the best discriminator: validation tells how the classifier fares, and chooses nothing.

    superpixels  a store of those of the training photos; None: scores are not averaged
    validation   photos to judge the classifier by after every epoch
    input_size   longer side at which photos are to be seen later; None: as the recipe shows them
    """
    _check_recipe(recipe, icd, with_superpixels=superpixels is not None)
    recipe = replace(recipe, freeze=tuple(map(own_module, names_inside(start, recipe.freeze))))
    device = choose_device(runtime.device, runtime.precision)
    classes = classes_to_learn(inputs)
    training, judged = split(select(inputs, classes), validation, classes, recipe.seed)
    photos = items_of(training, None)
    check_labels(photos, classes)
    _check_single_classes(photos, classes)
    say_what_is_learned(training, photos, judged, classes, recipe)
    with nullcontext() if superpixels is None else open_store(superpixels) as store:
        if store is not None:
            _check_superpixels(store, photos)
        run = provenance_of(
            "icd-train", start, recipe, device, classes, training.describe(), judged=judged, input_size=input_size,
            **asdict(icd), superpixels=None if superpixels is None else sha256_file(superpixels),
        )  # fmt: skip
        plan = _Training(start, classes, photos, store, judged, recipe, icd, device, runtime, run, input_size)
        place = TrainingPlace(out, start, overwrite, seconds_between_saves)
        read = [*inputs.files, *files_of(validation), superpixels]
        return carry_out(plan.job, run, recipe, place, device, runtime, photos=len(photos), inputs=read)


def _check_recipe(recipe: Recipe, icd: IcdRecipe, *, with_superpixels: bool) -> None:
    if with_superpixels and not icd.top_down:
        raise UsageError("--superpixels has no effect with --no-top-down: camkit refine superpixel averages its scores")
    if icd.superpixel_vote != "mean" and not with_superpixels:
        raise UsageError(f"--superpixel-vote {icd.superpixel_vote} has no effect without --superpixels")
    if icd.top_down and recipe.epochs <= icd.top_down_warmup:
        log.warning(
            "--epochs %d is not above --top-down-warmup %g: the final scores are hardly taught; change one of them",
            recipe.epochs,
            icd.top_down_warmup,
        )


def own_module(name: str) -> str:
    """A module of any classifier, by its name in an IcdNetwork."""
    return name if name.partition(".")[0] in ("classifier", "heads", STEM) else f"classifier.{name}"


def _check_single_classes(photos: Sequence[Item], classes: Sequence[str]) -> None:
    alone = {item.present[0] for item in photos if len(item.present) == 1}
    if not alone:
        raise LabelError(
            f"none of the {len(photos)} training photos has a single class; directions are learned from such photos"
        )
    mixed = sorted({c for item in photos for c in item.present} - alone)
    if mixed:
        names = examples([classes[c] for c in mixed])
        log.warning("no training photo has %s alone: no direction can be learned for that", names)


def _check_superpixels(store: Reader, photos: Sequence[Item]) -> None:
    path = ", ".join(map(str, store.paths))
    if not store.header.holds.superpixels:
        raise UsageError(f"{path} holds {store.header.kind}; --superpixels takes what camkit superpixels writes")
    missing = [item.id for item in photos if item.id not in store]
    if missing:
        raise UsageError(
            f"{path} has no superpixels of {len(missing)} of {len(photos)} training photos: {examples(missing)}\n"
            "make them of the same photos: camkit superpixels"
        )


@dataclass(frozen=True, eq=False)
class _Training:
    """All that a job is made of, apart from the ranks that share it."""

    start: Start
    classes: tuple[str, ...]
    photos: Sequence[Item]
    store: Reader | None
    judged: Selection | None
    recipe: Recipe
    icd: IcdRecipe
    device: Device
    runtime: Runtime
    run: Mapping[str, Any]
    input_size: int | None

    def job(self, ranks: Ranks) -> Job:
        from camkit.training import icd
        from camkit.training.classify import mean_colour
        from camkit.training.loop import Job
        from camkit.training.planes import WithPlanes

        network, arch, fresh = self.network()
        fill, seen = mean_colour(network.mean), self.input_size or seen_size(self.recipe)
        augmentation = self.recipe.augmentation
        title = f"{arch} with ICD, {len(self.classes)} classes, {len(self.photos)} training photos: classification"
        return Job(
            network=network,
            fresh=fresh,
            items=WithPlanes(self.photos, self.store),
            load=partial(icd.load_sample, augmentation=augmentation, num_classes=len(self.classes), fill=fill),
            collate=partial(icd.collate, device=self.device, fill=fill, channels_last=network.trains_channels_last),
            losses=partial(
                icd.losses,
                recipe=self.icd,
                over=self.recipe.loss_over,
                with_superpixels=self.store is not None,
                ranks=ranks,
            ),
            validate=validation_of(self.judged, seen, self.recipe, self.device, ranks, self.runtime),
            best_by=None,
            save=partial(_save_epoch, arch=arch, classes=self.classes, input_size=seen, provenance=self.run),
            draw=partial(_draw_classification, title=title),
            resting=resting_stem(self.recipe, network),
            upper=network.upper_names,
        )

    def network(self) -> tuple[IcdNetwork, str, list[str]]:
        """On its device, with its architecture and the names of what starts from nothing."""
        import torch

        from camkit.models.icd import IcdNetwork, IcdPlan, fresh_hidden, ready_for_icd

        whole, arch, kept = starting_network(self.start, self.classes, self.recipe, self.device)
        trunk, fresh = ready_for_icd(whole, kept=kept, output_stride=self.start.output_stride)
        pretrained = self.start.init is not None and "fc6" not in fresh
        if self.start.init is not None and not pretrained:
            log.info("made anew for ICD: %s", ", ".join(fresh))
        elif trunk is not whole:
            log.info("fc6 and fc7 are thinned out for ICD: every so many channels, 3x3 of their 7x7 positions")
        plan = IcdPlan(
            self.icd.features, self.icd.structure, self.icd.hidden or fresh_hidden(trunk), top_down=self.icd.top_down
        )
        stored = self._stored_branches()
        if kept and stored is not None and replace(plan, reads=stored.plan.reads) == stored.plan:
            plan = stored.plan
        network = IcdNetwork(trunk, plan)
        anew = [f"classifier.{name}" for name in fresh]
        if stored is None or not self._take_branches(network, stored, kept=kept):
            anew += _begin_branches(network, pretrained=pretrained)
        if network.trains_channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
        return network, arch, anew

    def _stored_branches(self) -> StoredHeads | None:
        from camkit.models.checkpoint import packaged
        from camkit.models.icd import read_heads

        return None if self.start.init is None else read_heads(packaged(self.start.init))

    def _take_branches(self, network: IcdNetwork, stored: StoredHeads, *, kept: bool) -> bool:
        """Those of an ICD checkpoint to start from go on, if its classes and plan are the same."""
        from camkit.models.icd import fill_heads

        same = kept and stored.plan == network.heads.plan
        if same:
            fill_heads(network.heads, stored)
        log.info("its ICD branches %s", "too" if same else "made anew")
        return same


def _begin_branches(network: IcdNetwork, *, pretrained: bool) -> list[str]:
    """The names of what of them starts from nothing."""
    if pretrained and network.copy_fully_connected():
        log.info("ICD's own fc6 and fc7 start as copies of the classifier's")
        return ["heads.directions", "heads.adapted"]
    return ["heads"]


def _draw_classification(rows: History, path: Path, *, title: str) -> None:
    """The sum of all losses says little, as one of them has no lower bound."""
    from camkit.view.learning_curve import draw_learning_curve

    draw_learning_curve([{**row, "loss": row["loss_classification"]} for row in rows], path, title=title)


def _save_epoch(
    network: IcdNetwork,
    figures: Mapping[str, Any],
    path: Path,
    *,
    arch: str,
    classes: Sequence[str],
    input_size: int | None,
    provenance: Mapping[str, Any],
) -> None:
    from camkit.models.icd import save_icd

    save_icd(
        path, network, arch=arch, classes=classes, mean=network.mean, std=network.std, input_size=input_size,
        output_stride=network.output_stride, extra={"figures": dict(figures), "provenance": provenance},
    )  # fmt: skip

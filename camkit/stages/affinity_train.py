"""`camkit affinity-train` and `camkit irn-train`: networks that say which pixels belong together, taught by maps."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camkit.data.images import ImageSet
from camkit.errors import InputError, UsageError
from camkit.methods.walk.confident import PUBLISHED, Confidence
from camkit.methods.walk.settings import RANGES
from camkit.pipeline.device import Device, choose_device
from camkit.pipeline.output import Runtime
from camkit.pipeline.upstream import Sources, find_photos, history_of, name_of_input, open_input, paths_of
from camkit.stages.confident import describe, write_confident_labels
from camkit.stages.training import (
    Start,
    Trained,
    TrainingPlace,
    carry_out,
    load_or_build,
    provenance_of,
    seen_size,
)
from camkit.store.reader import Reader, open_store
from camkit.training.recipe import Recipe
from camkit.types import AffinityKind

if TYPE_CHECKING:
    from camkit.models.affinity import AffinityNet, BoundaryNet
    from camkit.training.folder import History
    from camkit.training.loop import Job
    from camkit.training.ranks import Ranks

log = logging.getLogger("camkit")

RADIUS: Mapping[AffinityKind, int] = {"affinitynet": 5, "irn": 10}
TITLES: Mapping[AffinityKind, str] = {"affinitynet": "AffinityNet", "irn": "IRN's boundaries"}
STEM = "stem"
"""Among the modules that do not learn: the trunk's first ones, whatever they are called."""

TAKES = ("maps", "signed", "masks")


def affinity_train(
    sources: Sources,
    start: Start,
    out: Path,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    confidence: Confidence = PUBLISHED["affinitynet"],
    radius: int = RADIUS["affinitynet"],
    images: Path | str | None = None,
    input_size: int | None = None,
    overwrite: bool = False,
    seconds_between_saves: float = 300.0,
) -> Trained:
    """Train AffinityNet and write the checkpoint of the last epoch, for `refine_walk`.

    sources     a maps store (labels are made of it and kept beside `out`), or a masks store: the labels themselves
    confidence  how labels are made of maps
    radius      pairs of cells nearer than this are compared
    images      where the photos are; None: where the store's were
    input_size  longer side at which photos are to be seen later; None: as the recipe shows them
    """
    place = TrainingPlace(Path(out), start, overwrite, seconds_between_saves)
    return _train("affinitynet", sources, place, recipe, runtime, confidence, radius, images, input_size)


def irn_train(
    sources: Sources,
    start: Start,
    out: Path,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    confidence: Confidence = PUBLISHED["irn"],
    radius: int = RADIUS["irn"],
    images: Path | str | None = None,
    input_size: int | None = None,
    overwrite: bool = False,
    seconds_between_saves: float = 300.0,
) -> Trained:
    """Train IRN's boundaries, otherwise as `affinity_train`."""
    place = TrainingPlace(Path(out), start, overwrite, seconds_between_saves)
    return _train("irn", sources, place, recipe, runtime, confidence, radius, images, input_size)


def _train(
    kind: AffinityKind, sources: Sources, place: TrainingPlace, recipe: Recipe, runtime: Runtime,
    confidence: Confidence, radius: int, images: Path | str | None, input_size: int | None,
) -> Trained:  # fmt: skip
    low, high = RANGES["radius"]
    if not max(low, 2) <= radius <= high:
        raise UsageError(f"--radius {radius}: give a number from 2 to {high:g}")
    paths = paths_of(sources)
    device = choose_device(runtime.device, runtime.precision)
    with open_input(paths) as store:
        name = name_of_input(paths)
        if store.header.kind not in TAKES:
            raise UsageError(f"{name} is a {store.header.kind} store; take maps (camkit cam), or masks as labels")
        photos = find_photos(store, images, name)
        ids = _ids_with_classes(store, photos, name)
        given = store.header.kind == "masks"
        made = {} if given else {f"labels_{key}": value for key, value in describe(confidence).items()}
        run = provenance_of(
            "affinity-train" if kind == "affinitynet" else "irn-train", place.start, recipe, device,
            store.header.classes, _selection(ids, photos), input_size=input_size, parents=[history_of(store)],
            radius=radius, **made,
        )  # fmt: skip
        labels = _Labels(store, ids, photos, place, confidence, runtime)
        plan = _Training(kind, labels, recipe, radius, device, run, input_size)
        recipe = replace(recipe, freeze=tuple(name for name in recipe.freeze if name != STEM))
        with ExitStack() as stack:
            trained = carry_out(
                lambda ranks: plan.job(ranks, stack), run, recipe, place, device, runtime, photos=len(ids)
            )
    failures = {**labels.failures, **trained.summary.failures}
    return replace(trained, summary=replace(trained.summary, failures=failures))


def _ids_with_classes(store: Reader, photos: ImageSet, name: str) -> list[str]:
    """Of an image without classes nothing is known: it may show what no class stands for."""
    known = [id for id in store.ids if store.header.kind == "masks" or len(store.inspect(id)[1])]
    ids = [id for id in known if id in photos.paths]
    if not ids:
        raise InputError(f"none of the {len(store.ids)} images of {name} has a class: there is nothing to learn from")
    for left_out, why in (
        (len(store.ids) - len(known), "without a class"),
        (len(known) - len(ids), f"without a photo in {photos.root}"),
    ):
        if left_out:
            log.warning("%d images %s are left out", left_out, why)
    return ids


def _selection(ids: Sequence[str], photos: ImageSet) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()
    return {"count": len(ids), "sha256": digest, "images": str(photos.root.resolve())}


@dataclass(eq=False)
class _Labels:
    """The store that labels are read from, made first if need be. `failures`: of the images that have none."""

    source: Reader
    ids: Sequence[str]
    photos: ImageSet
    place: TrainingPlace
    confidence: Confidence
    runtime: Runtime
    failures: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def opened(self, ranks: Ranks) -> Iterator[Reader]:
        if self.source.header.kind == "masks":
            yield self.source
            return
        out = self.place.out
        path = out.with_name(f"{out.name.removesuffix(out.suffix)}.labels.h5")
        write_confident_labels(
            self.source, self.ids, self.photos, path, self.confidence, self.runtime, overwrite=self.place.overwrite
        )
        ranks.wait()
        with open_store(path) as store:
            self.failures = store.failures
            if not store.ids:
                raise InputError(f"no labels could be made of any of the {len(self.ids)} images; see {path}")
            yield store


@dataclass(frozen=True, eq=False)
class _Training:
    """All that a job is made of, apart from the ranks that share it."""

    kind: AffinityKind
    labels: _Labels
    recipe: Recipe
    radius: int
    device: Device
    run: Mapping[str, Any]
    input_size: int | None

    def job(self, ranks: Ranks, stack: ExitStack) -> Job:
        from camkit.models.classifier import trains_channels_last
        from camkit.training import affinity
        from camkit.training.classify import Item, mean_colour
        from camkit.training.loop import Job
        from camkit.training.planes import WithPlanes

        network, arch, fresh = self.network()
        store = stack.enter_context(self.labels.opened(ranks))
        photos = [Item(id, self.labels.photos.paths[id], ()) for id in self.labels.ids if id in store]
        log.info("training %s on %d photos", TITLES[self.kind], len(photos))
        fill, augmentation = mean_colour(network.mean), self.recipe.augmentation
        classes = len(store.header.classes)
        return Job(
            network=network,
            fresh=fresh,
            items=WithPlanes(photos, store),
            load=partial(affinity.load_sample, augmentation=augmentation, num_classes=classes, fill=fill),
            collate=partial(
                affinity.collate, device=self.device, fill=fill, channels_last=trains_channels_last(network.trunk)
            ),
            losses=partial(affinity.losses, radius=self.radius, ranks=ranks),
            validate=None,
            best_by=None,
            save=partial(
                _save_epoch, arch=arch, input_size=self.input_size or seen_size(self.recipe), crop=augmentation.crop,
                provenance=self.run,
            ),
            draw=partial(_draw, title=f"{TITLES[self.kind]} on {arch}, {len(photos)} training photos: loss of pairs"),
        )  # fmt: skip

    def network(self) -> tuple[AffinityNet | BoundaryNet, str, list[str]]:
        """On its device, with the trunk's architecture and the names of what starts from nothing."""
        import torch

        from camkit.models.affinity import holds, load_affinity, start_affinity, stem_of
        from camkit.models.classifier import trains_channels_last

        start = self.labels.place.start
        if start.init is not None and holds(start.init, self.kind):
            loaded = load_affinity(start.init, self.kind, for_inference=False)
            network, arch, fresh = loaded.network, loaded.arch, []
        else:
            classifier, arch, _ = load_or_build(start, ("",), self.recipe.seed)
            network = start_affinity(classifier, arch, self.kind)
            fresh = network.own_modules
        log.info("starting from %s", f"{start.init}: {arch}" if start.init else f"random weights: {arch}")
        if STEM in self.recipe.freeze:
            for name in stem_of(network.trunk):
                network.trunk.get_submodule(name).requires_grad_(requires_grad=False)
        network.to(self.device.torch_device)
        if trains_channels_last(network.trunk):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
        return network, arch, fresh


def _save_epoch(
    network: AffinityNet | BoundaryNet,
    figures: Mapping[str, Any],
    path: Path,
    *,
    arch: str,
    input_size: int | None,
    crop: int | None,
    provenance: Mapping[str, Any],
) -> None:
    from camkit.models.affinity import save_affinity

    extra = {"figures": dict(figures), "provenance": provenance}
    save_affinity(path, network, arch=arch, input_size=input_size, crop=crop, extra=extra)


def _draw(rows: History, path: Path, *, title: str) -> None:
    from camkit.view.learning_curve import draw_learning_curve

    draw_learning_curve(rows, path, title=title)

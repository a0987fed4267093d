"""What affinity-train and irn-train share: networks that say which pixels belong together, taught by maps."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camkit.data.images import ImageSet
from camkit.errors import InputError, UsageError
from camkit.pipeline.device import Device, choose_device
from camkit.pipeline.output import Runtime, check_inputs_stay
from camkit.pipeline.upstream import Sources, find_photos, history_of, name_of_input, open_input, paths_of
from camkit.settings.pairs import PAIRS, PUBLISHED, Confidence
from camkit.settings.recipe import Recipe
from camkit.stages.confident import Labels, crf_of, levels_of
from camkit.stages.training import (
    Start,
    Trained,
    TrainingPlace,
    carry_out,
    load_or_build,
    named_to_rest,
    provenance_of,
    resting_stem,
    seen_size,
)
from camkit.store.merge import shard_words
from camkit.store.reader import Reader
from camkit.types import AffinityKind

if TYPE_CHECKING:
    from camkit.models.affinity import AffinityNet, BoundaryNet
    from camkit.training.folder import History
    from camkit.training.loop import Job
    from camkit.training.ranks import Ranks

log = logging.getLogger("camkit")

TITLES: Mapping[AffinityKind, str] = {"affinitynet": "AffinityNet", "irn": "IRN's boundaries"}


def train_affinities(
    kind: AffinityKind, sources: Sources, place: TrainingPlace, recipe: Recipe, runtime: Runtime,
    confidence: Confidence | None, radius: int, images: Path | str | None, input_size: int | None,
) -> Trained:  # fmt: skip
    replace(PAIRS[kind], radius=radius)  # which checks it
    paths = paths_of(sources)
    device = choose_device(runtime.device, runtime.precision)
    with open_input(paths) as store, ExitStack() as stack:
        name = name_of_input(paths)
        kept = place.out.with_name(f"{place.out.name.removesuffix(place.out.suffix)}.labels.h5")
        _check_source(store, paths, name, kept, confidence)
        photos = find_photos(store, images, name)
        ids = _ids_with_classes(store, name)
        confidence = confidence or PUBLISHED[kind]
        labels = Labels(store, ids, photos, kept, confidence, runtime, place.overwrite)
        made = {**levels_of(confidence), **{f"labels_{name}": value for name, value in crf_of(confidence).items()}}
        run = provenance_of(
            "affinity-train" if kind == "affinitynet" else "irn-train", place.start, recipe, device,
            store.header.classes, _selection(ids, photos), input_size=input_size, parents=[history_of(store)],
            radius=radius, **({} if labels.given else made),
        )  # fmt: skip
        plan = _Training(kind, labels, place.start, recipe, radius, device, run, input_size)
        trained = carry_out(
            lambda ranks: plan.job(ranks, stack), run, recipe, place, device, runtime, photos=len(ids), inputs=paths
        )
    failures = {**labels.failures, **trained.summary.failures}
    return replace(trained, summary=replace(trained.summary, failures=failures))


def _check_source(store: Reader, paths: Sequence[Path], name: str, kept: Path, confidence: Confidence | None) -> None:
    kind = store.header.holds
    if not (kind.class_maps or kind.is_mask):
        raise UsageError(f"{name} is a {kind.name} store; take maps (camkit cam), signed scores, or masks as labels")
    if store.header.shard:
        log.warning("%s is %s: the others' images are not learned from", name, shard_words(store.header.shard))
    if kind.is_mask and confidence is not None:
        *others, last = (f"--{level.replace('_', '-')}" for level in levels_of(confidence))
        raise UsageError(f"{', '.join(others)} and {last} have no effect: {name} holds the labels")
    if not kind.is_mask:
        check_inputs_stay(kept, paths, "the labels would be kept there; choose another --out")


def _ids_with_classes(store: Reader, name: str) -> list[str]:
    """Of an image without classes nothing is known: it may show what no class stands for."""
    ids = [id for id in store.ids if store.header.holds.is_mask or len(store.inspect(id)[1])]
    if not ids:
        raise InputError(f"none of the {len(store.ids)} images of {name} has a class: there is nothing to learn from")
    if len(ids) < len(store.ids):
        log.warning("%d images without a class are left out", len(store.ids) - len(ids))
    return ids


def _selection(ids: Sequence[str], photos: ImageSet) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()
    return {"count": len(ids), "sha256": digest, "images": str(photos.root.resolve())}


@dataclass(frozen=True, eq=False)
class _Training:
    """All that a job is made of, apart from the ranks that share it."""

    kind: AffinityKind
    labels: Labels
    start: Start
    recipe: Recipe
    radius: int
    device: Device
    run: Mapping[str, Any]
    input_size: int | None

    def job(self, ranks: Ranks, stack: ExitStack) -> Job:
        from camkit.training import affinity
        from camkit.training.classify import Item, mean_colour
        from camkit.training.loop import Job
        from camkit.training.planes import WithPlanes
        from camkit.training.resting import check_resting

        network, arch, fresh = self.network()
        check_resting(network, named_to_rest(self.recipe))  # before labels take their time
        store = stack.enter_context(self.labels.opened(ranks.wait))
        paths = self.labels.photos.paths
        photos = [Item(id, paths[id], ()) for id in self.labels.ids if id in store and id in paths]
        log.info("training %s: %d photos", TITLES[self.kind], len(photos))
        fill, augmentation = mean_colour(network.mean), self.recipe.augmentation
        classes = len(store.header.classes)
        return Job(
            network=network,
            fresh=fresh,
            items=WithPlanes(photos, store),
            load=partial(affinity.load_sample, augmentation=augmentation, num_classes=classes, fill=fill),
            collate=partial(
                affinity.collate, device=self.device, fill=fill, channels_last=network.trains_channels_last
            ),
            losses=partial(affinity.losses, radius=self.radius, ranks=ranks),
            validate=None,
            best_by=None,
            save=partial(
                _save_epoch, arch=arch, input_size=self.input_size or seen_size(self.recipe), crop=augmentation.crop,
                provenance=self.run,
            ),
            draw=partial(_draw, title=f"{TITLES[self.kind]} on {arch}, {len(photos)} training photos: loss of pairs"),
            resting=resting_stem(self.recipe, network),
        )  # fmt: skip

    def network(self) -> tuple[AffinityNet | BoundaryNet, str, list[str]]:
        """On its device, with the trunk's architecture and the names of what starts from nothing."""
        import torch

        from camkit.models.affinity import holds, start_affinity

        start = self.start
        if start.init is not None and holds(start.init, self.kind):
            network, arch, fresh = *self._to_go_on_with(start), []
        else:
            classifier, arch, _ = load_or_build(start, ("",), self.recipe.seed)
            network = start_affinity(classifier, arch, self.kind)
            fresh = network.own_modules
        log.info("starting from %s", f"{start.init}: {arch}" if start.init else f"random weights: {arch}")
        network.to(self.device.torch_device)
        if network.trains_channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
        return network, arch, fresh

    def _to_go_on_with(self, start: Start) -> tuple[AffinityNet | BoundaryNet, str]:
        from camkit.models.affinity import load_affinity

        assert start.init is not None
        loaded = load_affinity(start.init, self.kind, for_inference=False)
        if start.width is not None:
            raise UsageError("--width is for networks that start from nothing; --init brings its own")
        if start.arch not in (None, loaded.arch):
            raise UsageError(f"{start.init}: is not {start.arch}: it holds {loaded.arch}\nleave --arch out")
        return loaded.network, loaded.arch


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


def _check_pairs(figures: Mapping[str, Any]) -> None:
    """After an epoch: a loss that is exactly 0 is that of pairs that were never seen."""
    unseen = [name for name in ("background", "foreground", "different") if figures[f"loss_{name}"] == 0]
    if len(unseen) == 3:
        raise InputError("no two pixels near each other are both sure of their label: there is nothing to learn from")
    if unseen and figures["epoch"] == 1:
        log.warning("the labels have no pairs of kind %s: the network cannot tell what belongs together", unseen[0])


def _draw(rows: History, path: Path, *, title: str) -> None:
    """Where there is something to draw: called once an epoch."""
    from camkit.view.learning_curve import draw_learning_curve

    _check_pairs(rows[-1])
    draw_learning_curve(rows, path, title=title)

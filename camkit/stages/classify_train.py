"""`camkit classify-train`: a classifier from photos and the classes they have."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camkit.data.classes import VOC_CLASSES, read_classes
from camkit.data.images import find_images
from camkit.data.labels import classes_of_labels
from camkit.data.reading import examples
from camkit.errors import LabelError, UsageError
from camkit.pipeline.device import Device, choose_device
from camkit.pipeline.output import Runtime, Summary
from camkit.pipeline.photos import ViewSize
from camkit.pipeline.select import Inputs, Selection, is_hdf5, select
from camkit.stages.judge import BEST_BY, judge, select_to_judge
from camkit.store.provenance import sha256_file, stage
from camkit.store.reader import open_store
from camkit.training.recipe import Recipe, check_recipe, preset

if TYPE_CHECKING:
    from camkit.models.classifier import Network
    from camkit.training.classify import Item
    from camkit.training.folder import History, TrainingFolder
    from camkit.training.loop import Job
    from camkit.training.ranks import Ranks

log = logging.getLogger("camkit")

NO_LABELS = "training needs image-level labels: give --labels, or a VOC root with annotations or masks"


@dataclass(frozen=True)
class Start:
    """What training starts from.

    init   a checkpoint whose weights are taken; its classifier too, if it has the same classes
    arch   without `init`: the architecture, its weights drawn at random
    width  without `init`: channels of the first convolution
    """

    init: Path | None = None
    arch: str | None = None
    width: int | None = None
    output_stride: int | None = None


@dataclass(frozen=True)
class Trained:
    """What came of it. `history`: one row per epoch; `best`: that of the epoch that is kept, None: done before."""

    summary: Summary
    history: History
    best: Mapping[str, float | None] | None


def recipe_of(name: str | None, start: Start, changes: Mapping[str, Any]) -> Recipe:
    """The preset (None: `finetune` with starting weights, else `scratch`) with some of its numbers changed.

    changes  by the names of Recipe's and Augmentation's fields
    """
    recipe = preset(name or ("finetune" if start.init else "scratch"))
    own = {one.name for one in fields(Recipe)}
    augmentation = {key: value for key, value in changes.items() if key not in own}
    sized = augmentation.keys() & {"resize", "scale_range"}
    if sized and recipe.augmentation.long_side is not None and "long_side" not in augmentation:
        augmentation["long_side"] = None
    if "long_side" in augmentation and not sized:
        augmentation |= {"resize": None, "scale_range": (1.0, 1.0)}
    recipe = replace(
        recipe,
        **{key: value for key, value in changes.items() if key in own},
        augmentation=replace(recipe.augmentation, **augmentation),
    )
    check_recipe(recipe)
    return recipe


def classify_train(
    inputs: Inputs,
    start: Start,
    out: Path,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    validation: Inputs | None = None,
    patches: Path | None = None,
    input_size: int | None = None,
    overwrite: bool = False,
    seconds_between_saves: float = 300.0,
) -> Trained:
    """Train a classifier and write its best checkpoint (by mean average precision; without validation the last).

    validation  photos to judge it by after every epoch
    patches     a maps store of the training photos: patches around their centres of mass train too (InferCam, Table 4)
    input_size  longer side at which photos are to be seen later; None: as the recipe shows them
    """
    from camkit.training.folder import TrainingFolder
    from camkit.training.loop import State, train
    from camkit.training.ranks import ranks_of_environment

    device = choose_device(runtime.device, runtime.precision)
    classes = classes_to_learn(inputs)
    training = select(inputs, classes)
    judged = select_to_judge(validation, classes) if validation is not None else None
    items = items_of(training, patches)
    _check_labels(items, classes)
    log.info("training on %s", _count(training, items, judged))
    folder = TrainingFolder(out)
    _check_init(start, folder)
    run = provenance_of(start, recipe, device, training, judged, patches, input_size)
    if folder.is_finished(run, overwrite=overwrite):
        folder.remove_leftovers(run)
        return Trained(Summary(len(training.ids), already=len(training.ids)), [], None)
    started = time.monotonic()
    with ranks_of_environment(device) as ranks:
        network, arch, kept = starting_network(start, classes, recipe, device)
        job = make_job(
            network, arch, items, classes, judged, recipe, device, ranks, runtime,
            provenance=run, input_size=input_size or seen_size(recipe), fresh=[] if kept else ["head"],
        )  # fmt: skip
        if ranks.first:
            folder.begin(run, overwrite=overwrite)
        ranks.wait()
        try:
            state: State = train(
                job, recipe, folder, device, ranks,
                workers=runtime.workers, stop_on_error=runtime.on_error == "stop",
                seconds_between_saves=seconds_between_saves,
            )  # fmt: skip
        finally:
            folder.release()
    summary = Summary(len(training.ids), failures=state.failures, seconds=time.monotonic() - started)
    return Trained(summary, state.history, state.best(job.best_by))


def classes_to_learn(inputs: Inputs) -> tuple[str, ...]:
    """The user's, those of a `classes.txt` in the root, VOC's 20 for a VOC root with some of them, else the labels'."""
    if inputs.classes is not None:
        return read_classes(inputs.classes)
    beside = inputs.images / "classes.txt"
    if beside.is_file():
        return read_classes(str(beside))
    images = find_images(inputs.images)
    source = inputs.labels or (images.voc.annotations if images.voc else None)
    names = None if source is None or is_hdf5(source) else classes_of_labels(source)
    if images.voc is not None and (names is None or set(names) <= set(VOC_CLASSES)):
        return VOC_CLASSES
    if source is None:
        raise LabelError(NO_LABELS)
    if names is None:
        raise LabelError("the labels hold no class names: give them with --classes, one a line (or voc, or coco)")
    return names


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
        if store.header.kind != "maps":
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


def _check_init(start: Start, folder: TrainingFolder) -> None:
    """UsageError if the result would replace what it starts from."""
    if start.init is None or not start.init.exists():
        return
    for result in folder.results.values():
        if result.exists() and result.samefile(start.init):
            raise UsageError(f"--init {start.init} would be replaced by what becomes of it: choose another --out")


def _check_labels(items: Sequence[Item], classes: Sequence[str]) -> None:
    seen = {c for item in items for c in item.present}
    if not seen:
        raise LabelError(f"none of the {len(items)} training photos has any of the classes {examples(classes)}")
    absent = [name for c, name in enumerate(classes) if c not in seen]
    if absent:
        log.warning("no training photo has %s: nothing can be learned about them", ", ".join(absent))
    if len(items) == 1:
        log.warning("a single training photo: the network will know it by heart, and nothing else")


def _count(training: Selection, items: Sequence[Item], judged: Selection | None) -> str:
    patches = len(items) - len(training.ids)
    told = f"{len(training.ids):,} photos" + (f" and {patches:,} patches of them" if patches else "")
    return told if judged is None else f"{told}, judged by {len(judged.ids):,}"


def provenance_of(
    start: Start,
    recipe: Recipe,
    device: Device,
    training: Selection,
    judged: Selection | None,
    patches: Path | None,
    input_size: int | None,
) -> dict[str, Any]:
    from camkit.models.checkpoint import packaged

    numbers = asdict(recipe)
    parameters = {
        **numbers.pop("augmentation"),
        **numbers,
        "arch": start.arch,
        "width": start.width,
        "output_stride": start.output_stride,
        "input_size": input_size,
        "precision": device.precision,
        "patches": None if patches is None else sha256_file(patches),
        "val": None if judged is None else {**judged.describe(), "labels": None},  # they may be named otherwise
        "classes": list(training.classes),
    }
    checkpoint = None
    if start.init is not None:
        path = packaged(start.init)
        checkpoint = {"name": path.name, "sha256": sha256_file(path)}
    return stage("classify-train", parameters, checkpoint=checkpoint, selection=training.describe())


def starting_network(
    start: Start, classes: tuple[str, ...], recipe: Recipe, device: Device
) -> tuple[Network, str, bool]:
    """The network to train, on its device, its architecture, and whether its classifier has been trained before."""
    import torch

    from camkit.models.checkpoint import load_start
    from camkit.models.classifier import trains_channels_last
    from camkit.models.zoo import build

    torch.manual_seed(recipe.seed)
    kept = False
    if start.init is not None:
        if start.width is not None:
            raise UsageError("--width is for networks that start from nothing; --init brings its own")
        network, arch, kept = load_start(start.init, classes, arch=start.arch, output_stride=start.output_stride)
        log.info("starting from %s: %s, its classifier %s", start.init, arch, "too" if kept else "made anew")
    elif start.arch is not None:
        arch = start.arch
        network = build(arch, len(classes), width=start.width, output_stride=start.output_stride)
    else:
        raise UsageError("what to train? give --init CHECKPOINT to start from, or --arch NAME to start from nothing")
    network.pooling = recipe.pooling
    network.to(device.torch_device)
    if trains_channels_last(network):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
    return network, arch, kept


def seen_size(recipe: Recipe) -> int | None:
    """The longer side at which the recipe shows photos on average; None: their own."""
    augmentation = recipe.augmentation
    if augmentation.long_side is not None:
        return round(sum(augmentation.long_side) / 2)
    return augmentation.resize


def make_job(
    network: Network,
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
    from camkit.models.classifier import trains_channels_last
    from camkit.training import classify
    from camkit.training.loop import Job
    from camkit.view.learning_curve import draw_learning_curve

    fill = classify.mean_colour(network.mean)
    view = ViewSize.parse(None, input_size)
    validate = None
    if judged is not None:
        validate = partial(judge, selection=judged, view=view, device=device, ranks=ranks, runtime=runtime)
    return Job(
        network=network,
        fresh=fresh,
        items=items,
        load=partial(classify.load_sample, augmentation=recipe.augmentation, num_classes=len(classes), fill=fill),
        collate=partial(classify.collate, device=device, fill=fill, channels_last=trains_channels_last(network)),
        losses=classify.losses,
        validate=validate,
        best_by=BEST_BY if judged is not None else None,
        save=partial(save_epoch, arch=arch, classes=classes, input_size=input_size, provenance=provenance),
        draw=partial(draw_learning_curve, title=f"{arch}, {len(classes)} classes, {len(items)} training photos"),
    )


def save_epoch(
    network: Network,
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

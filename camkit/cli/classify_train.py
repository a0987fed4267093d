from __future__ import annotations

import logging
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camkit.cli import options as o
from camkit.cli.options import OnErrorChoice, PrecisionChoice
from camkit.defaults import WORKERS

if TYPE_CHECKING:
    from camkit.stages.classify_train import Trained

log = logging.getLogger("camkit")

START = "Starting weights"
RECIPE = "Recipe (defaults: the preset's)"
PHOTOS = "How photos are shown"


class PresetChoice(StrEnum):
    scratch = "scratch"
    finetune = "finetune"
    psa = "psa"
    irn = "irn"
    dcsm = "dcsm"
    icd = "icd"


class OptimiserChoice(StrEnum):
    sgd = "sgd"
    adamw = "adamw"


class ScheduleChoice(StrEnum):
    poly = "poly"
    poly_epoch = "poly-epoch"
    cosine = "cosine"
    constant = "constant"


class PoolingChoice(StrEnum):
    average = "average"
    maximum = "maximum"


def command(
    images: o.Images,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE.safetensors", help="Checkpoint to write.", rich_help_panel=o.OUTPUT),
    ],
    list: o.List = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="Image-level labels, as for cam. Default: a VOC root's own.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="voc|coco|FILE",
            help="Names, one a line. Default: classes.txt in the root, VOC's 20 for a VOC root, else the labels'.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    limit: o.Limit = None,
    val: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|SPLIT",
            help="Judge every epoch on these of the images; the best epoch is kept.",
            rich_help_panel=o.IMAGES,
        ),
    ] = None,
    val_images: Annotated[
        Path | None,
        typer.Option(help="Judge on these images instead of those of --images.", rich_help_panel=o.IMAGES),
    ] = None,
    val_labels: Annotated[
        Path | None,
        typer.Option(help="Labels of --val-images, or of --val if not in --labels.", rich_help_panel=o.IMAGES),
    ] = None,
    patches: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Maps of the training photos (camkit cam): the patches around their centres train too, as InferCam's "
            "split & unite has it.",
            rich_help_panel=o.IMAGES,
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Weights to start from: camkit's, torchvision's ImageNet files, published classifiers, or toy.",
            rich_help_panel=START,
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="resnet18, resnet50, resnet38, vgg16, toy, … from random weights.",
            rich_help_panel=START,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Channels of the first convolution, if not as published.", rich_help_panel=START
        ),
    ] = None,
    output_stride: o.OutputStride = None,
    preset: Annotated[
        PresetChoice | None,
        typer.Option(
            help="Where the defaults of all below come from. Default: finetune with --init, else scratch.",
            rich_help_panel=RECIPE,
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", min=1, rich_help_panel=RECIPE)] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Photos a step, over all GPUs.", rich_help_panel=RECIPE)
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate of the trunk.", rich_help_panel=RECIPE)] = None,
    head_factor: Annotated[
        float | None, typer.Option(min=0.0, help="The classifier learns so many times as fast.", rich_help_panel=RECIPE)
    ] = None,
    optimiser: Annotated[OptimiserChoice | None, typer.Option(rich_help_panel=RECIPE)] = None,
    momentum: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Of sgd.", rich_help_panel=RECIPE)] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0.0, rich_help_panel=RECIPE)] = None,
    schedule: Annotated[ScheduleChoice | None, typer.Option(help="Of the rate.", rich_help_panel=RECIPE)] = None,
    power: Annotated[
        float | None, typer.Option(min=0.0, help="Of poly: (1 - t)^power.", rich_help_panel=RECIPE)
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(metavar="EPOCHS", min=0.0, help="The rate rises so long.", rich_help_panel=RECIPE)
    ] = None,
    clip: Annotated[
        float | None, typer.Option(min=0.0, help="Largest norm of the gradient.", rich_help_panel=RECIPE)
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(
            metavar="DECAY", help="Judge and keep a moving average of the weights (0.999).", rich_help_panel=RECIPE
        ),
    ] = None,
    pooling: Annotated[
        PoolingChoice | None, typer.Option(help="Of the scores at all positions.", rich_help_panel=RECIPE)
    ] = None,
    freeze_norm: Annotated[
        bool | None,
        typer.Option("--freeze-norm/--train-norm", help="Batch norms keep their statistics.", rich_help_panel=RECIPE),
    ] = None,
    freeze: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Modules that do not learn (conv1,layer1).", rich_help_panel=RECIPE),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, rich_help_panel=RECIPE)] = None,
    resize: Annotated[
        str | None,
        typer.Option(metavar="N|native", help="Longer side of a photo before it is varied.", rich_help_panel=PHOTOS),
    ] = None,
    scale_range: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Random factor on that size.", rich_help_panel=PHOTOS)
    ] = None,
    long_side: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Random longer side, instead.", rich_help_panel=PHOTOS)
    ] = None,
    crop: Annotated[
        str | None, typer.Option(metavar="N|none", help="Side of a random square of it.", rich_help_panel=PHOTOS)
    ] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror every other photo.", rich_help_panel=PHOTOS)
    ] = None,
    jitter: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="How much colours vary.", rich_help_panel=PHOTOS)
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Longer side at which cam and the others are to see photos. Default: as in training.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    device: o.Device = "auto",
    precision: o.Precision = PrecisionChoice.auto,
    workers: o.Workers = WORKERS,
    on_error: o.OnError = OnErrorChoice.skip,
    save_every: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.0, help="Save, so as to continue from there.", rich_help_panel=o.RUN),
    ] = 300.0,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    debug: o.Debug = False,
) -> None:
    """Train a classifier on image-level labels, from ImageNet weights, a published one, or nothing.

    Writes the checkpoint of the best epoch, and beside it the last one (NAME.last.safetensors) and the learning curve
    (NAME.curve.csv, NAME.curve.png). Run again to continue an interrupted training: it ends with the same weights.

    camkit classify-train --images VOC2012/ --list train_aug --val val --init resnet50.pth --out mine.safetensors

    camkit classify-train --images photos/ --labels tags.csv --arch resnet18 --epochs 40 --out mine.safetensors
    """
    from camkit.cli.console import raise_for
    from camkit.cli.parse import numbers, side
    from camkit.pipeline.output import Runtime
    from camkit.pipeline.select import Inputs
    from camkit.stages.classify_train import Start, classify_train, recipe_of

    given = {
        "epochs": epochs, "batch_size": batch_size, "rate": rate, "head_factor": head_factor, "momentum": momentum,
        "weight_decay": weight_decay, "power": power, "warmup": warmup, "clip": clip, "ema": ema, "seed": seed,
        "freeze_norm": freeze_norm, "flip": flip, "jitter": jitter,
        "optimiser": optimiser and optimiser.value, "schedule": schedule and schedule.value,
        "pooling": pooling and pooling.value,
        "freeze": None if freeze is None else tuple(name.strip() for name in freeze.split(",") if name.strip()),
        "scale_range": scale_range and tuple(numbers("--scale-range", scale_range, low=0.01, high=16, count=2)),
        "long_side": long_side and tuple(map(int, numbers("--long-side", long_side, low=16, high=10_000, count=2))),
    }  # fmt: skip
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    changes |= {} if resize is None else {"resize": side("--resize", resize, "native")}
    changes |= {} if crop is None else {"crop": side("--crop", crop, "none")}
    start = Start(init, arch, width, output_stride)
    judged = None
    if val is not None or val_images is not None:
        judged = Inputs(val_images or images, val, val_labels or (None if val_images else labels))
    trained = classify_train(
        Inputs(images, list, labels, classes, limit),
        start,
        out,
        recipe_of(preset and preset.value, start, changes),
        Runtime(device, precision.value, None, workers, on_error.value),
        validation=judged,
        patches=patches,
        input_size=input_size,
        overwrite=overwrite,
        seconds_between_saves=save_every,
    )
    log.info("%s: %s", out, sentence(trained))
    raise_for(trained.summary.failures, trained.summary.images, "they were left out of the training")


def sentence(trained: Trained) -> str:
    from camkit.pipeline.progress import duration

    if trained.best is None:
        return "already trained"
    precision = trained.best.get("mean_average_precision")
    epochs = f"{len(trained.history)} epoch" + ("s" if len(trained.history) > 1 else "")
    best = f", best epoch {trained.best['epoch']:.0f}, mAP {100 * precision:.1f}" if precision is not None else ""
    return f"{epochs} in {duration(trained.summary.seconds)}{best}"

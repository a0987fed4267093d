from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camkit.cli import options as o
from camkit.cli import training_options as t

if TYPE_CHECKING:
    from camkit.stages.training import Trained

log = logging.getLogger("camkit")


def command(
    *,
    images: o.Images,
    out: t.Out,
    list: o.List = None,
    labels: t.Labels = None,
    classes: t.Classes = None,
    limit: o.Limit = None,
    val: t.Val = None,
    val_images: t.ValImages = None,
    val_labels: t.ValLabels = None,
    patches: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Maps of the training photos (camkit cam): the patches around their centres train too, as InferCam's "
            "split & unite has it.",
            rich_help_panel=o.IMAGES,
        ),
    ] = None,
    init: t.Init = None,
    arch: t.Arch = None,
    model: t.Model = None,
    width: t.Width = None,
    output_stride: o.OutputStride = None,
    preset: t.Preset = None,
    changes: t.Changes,
    input_size: t.InputSize = None,
    overwrite: o.Overwrite = False,
    runtime: t.Runtime,
    save_every: t.SaveEvery = 300.0,
) -> None:
    """Train a classifier on image-level labels, from ImageNet weights, a published one, or nothing.

    Writes the checkpoint of the best epoch, and beside it the last one (NAME.last.safetensors) and the learning curve
    (NAME.curve.csv, NAME.curve.png). Run again to continue an interrupted training: it ends with the same weights.

    camkit classify-train --images VOC2012/ --list train_aug --val val --init resnet50.pth --out mine.safetensors

    camkit classify-train --images photos/ --labels tags.csv --init efficientnet-lite0 --out mine.safetensors

    camkit classify-train --images photos/ --labels tags.csv --arch resnet18 --epochs 40 --out mine.safetensors
    """
    from camkit.cli.console import raise_for
    from camkit.pipeline.select import Inputs
    from camkit.stages.classify_train import classify_train
    from camkit.stages.training import Start, recipe_of

    start = Start(init, arch, width, output_stride, model)
    trained = classify_train(
        Inputs(images, list, labels, classes, limit),
        start,
        out,
        recipe_of(preset, start, changes),
        runtime,
        validation=t.photos_to_judge(images, labels, val, val_images, val_labels),
        patches=patches,
        input_size=input_size,
        overwrite=overwrite,
        seconds_between_saves=save_every,
    )
    log.info("%s: %s", out, sentence(trained))
    raise_for(trained.summary.failures, trained.summary.images, "they were left out of the training")


def sentence(trained: Trained) -> str:
    best = trained.best or {}
    precision = best.get("mean_average_precision")
    told = f", best epoch {best['epoch']:.0f}, mAP {100 * precision:.1f}" if precision is not None else ""
    return t.course(trained) + told

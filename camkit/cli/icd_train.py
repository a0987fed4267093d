from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camkit.cli import options as o
from camkit.cli import training_options as t
from camkit.cli.groups import Settings
from camkit.settings.icd import IcdRecipe

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
    superpixels: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Superpixels of the training photos (camkit superpixels): scores are averaged in them.",
            rich_help_panel=o.IMAGES,
        ),
    ] = None,
    val: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|SPLIT",
            help="Tell after every epoch how the classifier fares on these of the images.",
            rich_help_panel=o.IMAGES,
        ),
    ] = None,
    val_images: t.ValImages = None,
    val_labels: t.ValLabels = None,
    init: t.Init = None,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            "--backbone",
            metavar="NAME",
            help="vgg16, resnet18, resnet50, resnet38, efficientnet-lite0, toy, … from random weights; with --init: "
            "what that holds.",
            rich_help_panel=t.START,
        ),
    ] = None,
    model: t.Model = None,
    width: t.Width = None,
    output_stride: o.OutputStride = None,
    icd: Annotated[dict[str, Any], Settings({"paper": IcdRecipe()}, o.METHOD)],
    preset: Annotated[
        t.PresetChoice, typer.Option(help="Where the defaults of all below come from.", rich_help_panel=t.RECIPE)
    ] = "icd",
    changes: t.Changes,
    input_size: t.InputSize = None,
    overwrite: o.Overwrite = False,
    runtime: t.Runtime,
    save_every: t.SaveEvery = 300.0,
) -> None:
    """Train ICD: a classifier, and scores that tell the pixels of a class from the background of its photos.

    Starts from ImageNet weights or a classifier. Writes the checkpoint of the last epoch, of which camkit cam reads the
    classifier, and its learning curve (NAME.curve.csv, NAME.curve.png).
    Run again to continue an interrupted training: it ends with the same weights.

    camkit icd-train --images VOC2012/ --list train_aug --init vgg16.pth --superpixels sp.h5 --out icd.safetensors

    camkit icd-train --images photos/ --labels tags.csv --init mine.safetensors --out icd.safetensors
    """
    from camkit.cli.console import raise_for
    from camkit.pipeline.select import Inputs
    from camkit.stages.icd_train import icd_train
    from camkit.stages.training import Start, recipe_of

    start = Start(init, arch, width, output_stride, model)
    trained = icd_train(
        Inputs(images, list, labels, classes, limit),
        start,
        out,
        recipe_of(preset, start, changes),
        runtime,
        icd=IcdRecipe(**icd),
        superpixels=superpixels,
        validation=t.photos_to_judge(images, labels, val, val_images, val_labels),
        input_size=input_size,
        overwrite=overwrite,
        seconds_between_saves=save_every,
    )  # fmt: skip
    log.info("%s: %s", out, sentence(trained))
    raise_for(trained.summary.failures, trained.summary.images, "they were left out of the training")


def sentence(trained: Trained) -> str:
    precision = (trained.best or {}).get("mean_average_precision")
    return t.course(trained) + (f", mAP of the classifier {100 * precision:.1f}" if precision is not None else "")

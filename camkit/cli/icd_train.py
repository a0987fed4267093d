from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from camkit.cli import options as o
from camkit.cli import training_options as t
from camkit.cli.groups import Group, Settings
from camkit.settings.icd import IcdRecipe
from camkit.settings.recipe import Preset

if TYPE_CHECKING:
    from camkit.stages.training import Trained

Arch = Annotated[
    str | None,
    t.START(
        "vgg16, resnet18, resnet50, resnet38, efficientnet-lite0, toy, … from random weights; with --init: what that "
        "holds.",
        "--arch",
        "--backbone",
        metavar="NAME",
    ),
]
RESTING = {"freeze": "Modules that do not learn (conv1,heads)."}
JUDGED = {"val": "Tell after every epoch how the classifier fares on these of the images."}


def start(
    init: t.Init = None,
    arch: Arch = None,
    model: t.Model = None,
    width: t.Width = None,
    output_stride: o.OutputStride = None,
) -> t.Start:
    return t.start(init, arch, model, width, output_stride)


def command(
    *,
    inputs: t.Learned,
    out: t.Out,
    superpixels: Annotated[
        Path | None,
        o.IMAGES(
            "Superpixels of the training photos (camkit superpixels): scores are averaged in them.", metavar="STORE"
        ),
    ] = None,
    validation: Annotated[Any, Group(t.validation, JUDGED)],
    start: Annotated[Any, Group(start)],
    icd: Annotated[dict[str, Any], Settings({"paper": IcdRecipe()}, o.METHOD)],
    preset: Annotated[Preset, t.RECIPE("Where the defaults of all below come from.")] = "icd",
    changes: Annotated[dict[str, Any], Group(t.changes, RESTING)],
    show_recipe: t.ShowRecipe = False,
    saving: t.Saving,
    runtime: t.Runtime,
) -> None:
    """Train ICD: a classifier, and scores that tell the pixels of a class from the background of its photos.

    Starts from ImageNet weights or a classifier. Writes the checkpoint of the last epoch, of which camkit cam reads the
    classifier, and its learning curve (NAME.curve.csv, NAME.curve.png).
    Run again to continue an interrupted training: it ends with the same weights.

    camkit icd-train --images VOC2012/ --list train_aug --init vgg16.pth --superpixels sp.h5 --out icd.safetensors

    camkit icd-train --images photos/ --labels tags.csv --init mine.safetensors --out icd.safetensors
    """
    from camkit.stages.icd_train import icd_train
    from camkit.stages.training import recipe_of

    recipe = recipe_of(preset, start, changes)
    if show_recipe:
        t.print_recipe(recipe)
        return
    trained = icd_train(
        inputs, start, out, recipe, runtime,
        icd=IcdRecipe(**icd), superpixels=superpixels, validation=validation(inputs), **saving,
    )  # fmt: skip
    t.close_with(trained, out, of_classifier(trained))


def of_classifier(trained: Trained) -> str:
    precision = (trained.best or {}).get("mean_average_precision")
    return f", mAP of the classifier {100 * precision:.1f}" if precision is not None else ""

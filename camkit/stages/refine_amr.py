"""`camkit refine amr`: pseudo masks refined by a network that learns from them and from saliency."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from camkit.errors import UsageError
from camkit.pipeline.output import STANDARD_OUTPUT, Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.pipeline.upstream import STANDARD_INPUT, Sources, paths_of
from camkit.settings.recipe import Recipe
from camkit.settings.segmentation import Preset, Resizing, Teaching
from camkit.stages.judge_masks import Validation
from camkit.stages.predictions import open_predictions
from camkit.stages.pseudo_masks import Photos, find_labelled
from camkit.stages.segment import segment
from camkit.stages.segment_train import segment_train
from camkit.stages.training import Start
from camkit.types import Resolution

log = logging.getLogger("camkit")


@dataclass(frozen=True)
class Kept:
    """What becomes of the training photos."""

    crf: bool = False
    masks: bool = False
    size: Resolution | None = None


PROBS = Kept()
PLAIN = Teaching()
EVERYTHING = Photos()


def refine_amr(
    sources: Sources,
    saliency: Path | str,
    start: Start,
    output: Output,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    trunk: str | None = None,
    preset: Preset = "light",
    resizing: Resizing = "bilinear",
    teaching: Teaching = PLAIN,
    photos: Photos = EVERYTHING,
    validation: Validation | None = None,
    input_size: int | None = None,
    seconds_between_saves: float,
    kept: Kept = PROBS,
) -> Summary:
    """`segment_train` with saliency, its checkpoint kept beside `output.out`, then `segment` on the photos learned."""
    paths = paths_of(sources)
    if output.out is None or output.out == STANDARD_OUTPUT:
        raise UsageError("where to? give --out FILE: the network is kept beside it")
    if not paths or STANDARD_INPUT in paths:
        raise UsageError("name the pseudo masks: they are read twice, which a pipe cannot be")
    ckpt = checkpoint_of(output.out)
    trained = segment_train(
        paths, start, ckpt, recipe, runtime, trunk=trunk, teaching=teaching, resizing=resizing, photos=photos,
        saliency=saliency, validation=validation, input_size=input_size, overwrite=output.overwrite,
        seconds_between_saves=seconds_between_saves,
    )  # fmt: skip
    log.info("the network: %s; now it sees the photos it has learned from", ckpt)
    with open_predictions(paths, photos.classes) as source:
        found = find_labelled(source, photos)
    root = photos.images or (found.voc.root if found.voc else found.root)
    summary = segment(
        Inputs(root),
        ckpt,
        output,
        runtime,
        preset=preset,
        crf=kept.crf,
        masks=kept.masks,
        size=kept.size,
        only=found.paths,
    )
    return replace(summary, failures={**trained.summary.failures, **summary.failures})


def checkpoint_of(out: Path) -> Path:
    return out.with_name(f"{out.name.removesuffix(out.suffix)}.segmenter.safetensors")

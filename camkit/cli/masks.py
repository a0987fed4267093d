from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from camkit import types
from camkit.cli import options as o
from camkit.cli.groups import Settings
from camkit.settings.masks import MasksPlan

log = logging.getLogger("camkit")

PLAN = Settings({"usual": MasksPlan()}, o.METHOD)


def command(
    *,
    photos: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTOS", help="Folder of photos, VOC root, a 'pattern*.jpg', or a text file naming photos."
        ),
    ],
    labels: o.Labels = None,
    list: o.List = None,
    classes: o.Classes = None,
    unlabelled: Annotated[
        types.Unlabelled,
        o.IMAGES(
            "Photos that the labels do not speak of: stop, skip them, or predict: learn from the others, and take what "
            "the classifier then sees."
        ),
    ] = "stop",
    limit: o.Limit = None,
    ckpt: Annotated[Path | None, o.NETWORK("A classifier of these classes. Default: one learns from the tags.")] = None,
    truth: Annotated[
        Path | None, o.IMAGES("Ground truth masks, if there are any: only to judge the result by.", "--gt")
    ] = None,
    plan: Annotated[dict[str, Any], PLAN],
    saliency: Annotated[
        Path | None,
        o.METHOD("With --segment: grey pictures of how salient each pixel is, to learn from too.", metavar="FOLDER"),
    ] = None,
    out: Annotated[Path, o.OUTPUT("Folder for everything that is made.", "--out", "-o", metavar="DIR")],
    commands: Annotated[bool, o.OUTPUT("Only print the commands that would run, one a line.", "--plan")] = False,
    overwrite: o.Overwrite = False,
    device: o.Device = "auto",
) -> None:
    """From tagged photos to masks: trains a classifier on the tags, maps where it looks, and follows the edges.

    Needs no masks and no GPU. DIR gets masks/ (palette PNGs), report.html, the classifier, and the store of every
    step. Each step is a camkit command (--plan prints them). Run again to continue an interrupted run. With --segment
    a network learns from the masks, and DIR/segmenter.safetensors segments other photos, without tags.

    camkit masks photos/ --labels tags.csv --out result/

    camkit masks photos/ --labels tags.csv --segment --saliency saliency/ --out result/

    camkit masks photos/ --labels tags.csv --ckpt mine.safetensors --out result/ --plan
    """
    from camkit.cli.console import print_lines
    from camkit.pipeline.output import Runtime
    from camkit.pipeline.select import Inputs
    from camkit.stages.masks import Brought, masks, steps_of

    inputs = Inputs(photos, list, labels, classes, limit, unlabelled=unlabelled)
    runtime = Runtime(device)
    chosen, brought = MasksPlan(**plan), Brought(ckpt, truth, saliency)
    if commands:
        steps = steps_of(inputs, out, runtime, plan=chosen, brought=brought, overwrite=overwrite)
        print_lines(step.line for step in steps)
        return
    made = masks(inputs, out, runtime, plan=chosen, brought=brought, overwrite=overwrite)
    log.info("masks: %s   page: %s", made, out / "report.html")

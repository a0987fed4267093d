from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from camkit.cli import options as o
from camkit.cli.groups import Settings
from camkit.settings.masks import MasksPlan

log = logging.getLogger("camkit")

PLAN = Settings({"default": MasksPlan()}, o.METHOD)


def command(
    *,
    photos: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTOS", help="Folder of photos, VOC root, or a text file naming photos.", show_default=False
        ),
    ],
    labels: o.Labels = None,
    list: o.List = None,
    classes: o.Classes = None,
    limit: o.Limit = None,
    ckpt: Annotated[
        Path | None,
        typer.Option(
            "--ckpt",
            help="A classifier of these classes. Default: one learns from the tags.",
            rich_help_panel=o.NETWORK,
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--gt",
            metavar="FOLDER",
            help="Ground truth masks, if there are any: what came of it is judged by them, and made without them.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    plan: Annotated[dict[str, Any], PLAN],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Folder for everything that is made.", rich_help_panel=o.OUTPUT
        ),
    ],
    show_plan: Annotated[
        bool,
        typer.Option("--plan", help="Only print the commands that would run, one a line.", rich_help_panel=o.OUTPUT),
    ] = False,
    overwrite: o.Overwrite = False,
    device: o.Device = "auto",
) -> None:
    """From tagged photos to masks: trains a classifier on the tags, maps where it looks, and follows the edges.

    Needs no masks and no GPU: 200 photos take about a quarter of an hour on two cores. DIR gets masks/ (palette PNGs),
    report.html, the classifier, and the store of every step. Each step is a camkit command (--plan prints them).
    Run again to continue an interrupted run.

    camkit masks photos/ --labels tags.csv --out result/

    camkit masks photos/ --labels tags.csv --ckpt mine.safetensors --out result/ --plan
    """
    from camkit.cli.console import print_lines
    from camkit.pipeline.output import Runtime
    from camkit.pipeline.select import Inputs
    from camkit.stages.masks import Brought, masks, steps_of

    inputs, runtime = Inputs(photos, list, labels, classes, limit), Runtime(device)
    chosen, brought = MasksPlan(**plan), Brought(ckpt, truth)
    if show_plan:
        print_lines(
            step.line for step in steps_of(inputs, out, runtime, plan=chosen, brought=brought, overwrite=overwrite)
        )
        return
    made = masks(inputs, out, runtime, plan=chosen, brought=brought, overwrite=overwrite)
    log.info("masks: %s   page: %s", made, out / "report.html")

from __future__ import annotations

from typing import Annotated

import typer

from camkit.cli import options as o


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    prototypes: o.Prototypes = None,
    output: o.Output,
    foreground_score: o.ForegroundScore = None,
    context_score: o.ContextScore = None,
    context_low: o.ContextLow = None,
    foreground_only: Annotated[
        bool,
        typer.Option(
            "--foreground-only", help="Subtract no context: LPCAM-F of the paper.", rich_help_panel=o.PROTOTYPES
        ),
    ] = False,
    resize: o.Resize = None,
    scales: o.Scales = o.DEFAULT_SCALES,
    flip: o.Flip = True,
    size: o.MapSize = "4",
    runtime: o.Runtime,
) -> None:
    """LPCAM, second step: where an image is like the prototypes of a class, and not like those of its context.

    Writes a maps store as camkit cam does, in about the same time. Which centres are prototypes can be changed here,
    without clustering again. A class without prototypes has its class activation map.

    camkit lpcam-apply --prototypes prototypes.h5 --ckpt resnet50.pth --images VOC2012/ --list train --out lpcams.h5

    camkit lpcam-apply --prototypes prototypes.h5 --ckpt resnet50.pth --images photos/ | camkit mask --png masks/
    """
    from camkit.cli.console import close_with
    from camkit.cli.parse import numbers
    from camkit.stages.lpcam_apply import lpcam_apply
    from camkit.stages.prototypes import Thresholds

    summary = lpcam_apply(
        prototypes,
        inputs,
        network,
        output,
        runtime,
        thresholds=Thresholds(foreground_score, context_score, context_low, foreground_only),
        scales=numbers("--scales", scales, low=0.01, high=16),
        flip=flip,
        resize=resize,
        size=size,
    )
    close_with(summary, output.out)

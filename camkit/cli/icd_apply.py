from __future__ import annotations

from typing import Annotated, Literal

import typer

from camkit.cli import options as o

BranchChoice = Literal["top-down", "bottom-up", "cam"]


def command(
    *,
    inputs: o.Inputs,
    ckpt: o.Ckpt,
    output: o.Output,
    model: o.Model = None,
    output_stride: o.OutputStride = None,
    branch: Annotated[
        BranchChoice,
        typer.Option(
            help="top-down: the final scores. bottom-up: those that they were taught by. cam: the classifier's maps.",
            rich_help_panel=o.METHOD,
        ),
    ] = "top-down",
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Scores as the network gives them, instead of each class's divided by its largest of either sign.",
            rich_help_panel=o.METHOD,
        ),
    ] = False,
    resize: o.Resize = None,
    scales: Annotated[
        str, typer.Option(metavar="S,S,…", help="Scales whose scores are averaged.", rich_help_panel=o.METHOD)
    ] = "1",
    flip: o.Flip = False,
    size: o.MapSize = "4",
    runtime: o.Runtime,
) -> None:
    """ICD: signed scores of every class that an image has, above 0 where it is and below 0 where it is not.

    Takes a checkpoint of camkit icd-train; writes a store of signed scores, or with --branch cam one of the maps that
    camkit mask --rule icd asks where several classes claim a pixel. camkit refine superpixel averages scores.

    camkit icd-apply --ckpt icd.safetensors --images VOC2012/ --list train --out scores.h5

    camkit icd-apply --ckpt icd.safetensors --images VOC2012/ --list train --branch cam --out cams.h5

    camkit mask scores.h5 --rule icd --cams cams.h5 --png seeds/
    """
    from camkit.cli.console import close_with
    from camkit.cli.parse import numbers
    from camkit.stages.icd_apply import icd_apply
    from camkit.stages.network import Network

    summary = icd_apply(
        inputs,
        Network(ckpt, model=model, output_stride=output_stride),
        output,
        runtime,
        branch=branch,
        scales=numbers("--scales", scales, low=0.01, high=16),
        flip=flip,
        raw=raw,
        resize=resize,
        size=size,
    )
    close_with(summary, output.out)

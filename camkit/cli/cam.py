from __future__ import annotations

from typing import Annotated

import typer

from camkit.cli import options as o


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    output: o.Output,
    resize: o.Resize = None,
    scales: o.Scales = o.DEFAULT_SCALES,
    flip: o.Flip = True,
    refined: o.Refined = None,
    signed: Annotated[
        bool,
        typer.Option(
            "--signed",
            help="Without the ReLU, the mean over scales and mirror images: signed scores, judged as ICD's are.",
            rich_help_panel=o.METHOD,
        ),
    ] = False,
    raw: o.Raw = False,
    size: o.MapSize = "4",
    runtime: o.Runtime,
) -> None:
    """Class activation maps: where the classifier sees each class that an image has.

    Writes a maps store: values in [0, 1], one map per present class. Run again to continue an interrupted run.

    camkit cam --ckpt resnet38.pth --images VOC2012/ --list train --out cams.h5

    camkit cam --ckpt mine.safetensors --images photos/ --labels tags.csv | camkit mask --png masks/

    camkit cam --signed --ckpt icd.safetensors --images VOC2012/ --list train | camkit evaluate --gt VOC2012/
    """
    from camkit.cli.console import close_with
    from camkit.cli.parse import numbers
    from camkit.stages.cam import cam

    summary = cam(
        inputs,
        network,
        output,
        runtime,
        scales=numbers("--scales", scales, low=0.01, high=16),
        flip=flip,
        refined=refined,
        signed=signed,
        raw=raw,
        resize=resize,
        size=size,
    )
    close_with(summary, output.out)

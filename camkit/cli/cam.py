from __future__ import annotations

from typing import Annotated

from camkit.cli import options as o


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    output: o.Output,
    resize: o.Resize,
    pyramid: o.Pyramid,
    refined: o.Refined = None,
    signed: Annotated[
        bool,
        o.METHOD("Without the ReLU, the mean over scales and mirror images: signed scores, as ICD's are.", "--signed"),
    ] = False,
    raw: o.Raw = False,
    size: o.Size,
    runtime: o.Runtime,
) -> None:
    """Class activation maps: where the classifier sees each class that an image has.

    Writes a maps store: values in [0, 1], one map per present class. Run again to continue an interrupted run.

    camkit cam --ckpt resnet38.pth --images VOC2012/ --list train --out cams.h5

    camkit cam --ckpt mine.safetensors --images photos/ --labels tags.csv | camkit mask --png masks/

    camkit cam --signed --ckpt icd.safetensors --images VOC2012/ --list train | camkit evaluate --gt VOC2012/
    """
    from camkit.cli.console import close_with
    from camkit.stages.cam import cam

    summary = cam(
        inputs, network, output, runtime, refined=refined, signed=signed, raw=raw, resize=resize, size=size, **pyramid
    )
    close_with(summary, output.out)

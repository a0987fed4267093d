from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Settings
from camkit.settings.lpcam import AS_STORED, PRESETS, Thresholds

CLUSTERED = ("clusters", "threshold", "take_best")


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    prototypes: Annotated[
        Path | None,
        o.PROTOTYPES(
            "Prototypes store of camkit lpcam-cluster; - or nothing in a pipe: standard input.", metavar="FILE|-"
        ),
    ] = None,
    output: o.Output,
    scores: Annotated[dict[str, Any], Settings(PRESETS, o.PROTOTYPES, but=CLUSTERED)],
    use: Annotated[dict[str, Any], Settings({"stored": AS_STORED}, o.PROTOTYPES)],
    resize: o.Resize,
    pyramid: o.Pyramid,
    size: o.Size,
    runtime: o.Runtime,
) -> None:
    """LPCAM, second step: where an image is like the prototypes of a class, and not like those of its context.

    Writes a maps store as camkit cam does, in about the same time. Which centres are prototypes can be changed here,
    without clustering again. A class without prototypes has its class activation map.

    camkit lpcam-apply --prototypes prototypes.h5 --ckpt resnet50.pth --images VOC2012/ --list train --out lpcams.h5

    camkit lpcam-apply --prototypes prototypes.h5 --ckpt resnet50.pth --images photos/ | camkit mask --png masks/
    """
    from camkit.cli.console import close_with
    from camkit.stages.lpcam_apply import lpcam_apply

    thresholds = Thresholds(**scores, **use)
    summary = lpcam_apply(
        prototypes, inputs, network, output, runtime, thresholds=thresholds, resize=resize, size=size, **pyramid
    )
    close_with(summary, output.out)

from __future__ import annotations

from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Settings
from camkit.settings.icd import Branch
from camkit.settings.views import ONE_SCALE

AVERAGED = {"scales": "Scales whose scores are averaged."}


def command(
    *,
    inputs: o.Inputs,
    network: o.OwnNetwork,
    output: o.Output,
    branch: Annotated[
        Branch,
        o.METHOD(
            "top-down: the final scores. bottom-up: those that they were taught by. cam: the classifier's maps, with "
            "--raw signed."
        ),
    ] = "top-down",
    raw: o.Raw = False,
    resize: o.Resize,
    pyramid: Annotated[dict[str, Any], Settings({"one": ONE_SCALE}, o.METHOD, told=AVERAGED)],
    size: o.Size,
    runtime: o.Runtime,
) -> None:
    """ICD: signed scores of every class that an image has, above 0 where it is and below 0 where it is not.

    Takes a checkpoint of camkit icd-train; writes a store of signed scores. Those of --branch cam --raw are what camkit
    mask --rule icd asks where several classes claim a pixel. camkit refine superpixel averages scores.

    camkit icd-apply --ckpt icd.safetensors --images VOC2012/ --list train --out scores.h5

    camkit icd-apply --ckpt icd.safetensors --images VOC2012/ --list train --branch cam --raw --out cams.h5

    camkit mask scores.h5 --rule icd --cams cams.h5 --png seeds/
    """
    from camkit.cli.console import close_with
    from camkit.stages.icd_apply import icd_apply

    summary = icd_apply(inputs, network, output, runtime, branch=branch, raw=raw, resize=resize, size=size, **pyramid)
    close_with(summary, output.out)

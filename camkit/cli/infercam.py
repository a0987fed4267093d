from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Panel, Settings
from camkit.settings.infercam import FAST, FAST_WORDS, PRESETS, Inference, Preset, Response, Views, settings_of

INFERENCE = Panel("Inference (defaults: the preset's)")
SUMMED = {"scales": "Scales whose maps are summed: {default}."}


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    output: o.Output,
    response: Annotated[
        Response, INFERENCE("Whose maps of each part are united. icd: --ckpt is one of camkit icd-train.")
    ] = "cam",
    prototypes: Annotated[
        Path | None,
        INFERENCE("For --response lpcam: the prototypes store of camkit lpcam-cluster.", metavar="FILE|-"),
    ] = None,
    preset: Annotated[
        Preset, INFERENCE("With a wider margin, as the paper says, or as the authors' program does.")
    ] = "camkit",
    fast: Annotated[bool, INFERENCE(f"A fifth of the time, for some of the gain: {FAST_WORDS}.", "--fast")] = False,
    changes: Annotated[dict[str, Any], Settings(PRESETS, INFERENCE, of=Inference)],
    iterate: Annotated[bool, INFERENCE("Hide what was found and infer again.", "--iterate/--no-iterate")] = True,
    views: Annotated[dict[str, Any], Settings(PRESETS, o.METHOD, of=Views, told=SUMMED)],
    refined: o.Refined = None,
    resize: o.Resize,
    size: o.Size,
    runtime: o.Runtime,
) -> None:
    """InferCam: class activation maps of more of the object, from the same classifier, without training it again.

    Splits every image around what was seen in it, hides what was found in each part, looks again, and unites what it
    saw. Writes a maps store as camkit cam does; what was done to each image is in its notes (camkit info, camkit show).

    camkit infercam --ckpt resnet38.pth --images VOC2012/ --list train --out infercams.h5

    camkit infercam --ckpt mine.safetensors --images photos/ --labels tags.csv --fast | camkit mask --png masks/

    camkit infercam --ckpt mine.safetensors --images photos/ --response lpcam --prototypes prototypes.h5 --out maps.h5
    """
    from camkit.cli.console import close_with
    from camkit.stages.infercam import infercam

    once = {} if iterate else {"rounds": 1}
    settings = settings_of(preset, {**(FAST if fast else {}), **changes, **once, **views})
    summary = infercam(
        inputs, network, output, runtime, settings=settings, response=response, prototypes=prototypes,
        refined=refined, resize=resize, size=size,
    )  # fmt: skip
    close_with(summary, output.out)

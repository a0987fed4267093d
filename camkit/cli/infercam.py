from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from camkit.cli import options as o
from camkit.cli.groups import Settings
from camkit.settings.infercam import FAST, FAST_WORDS, PRESETS, Inference, Preset, Views, settings_of

INFERENCE = "Inference (defaults: the preset's)"


ResponseChoice = Literal["cam", "lpcam", "dcsm", "icd"]


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    output: o.Output,
    response: Annotated[
        ResponseChoice,
        typer.Option(
            help="Whose maps of each part are united. icd: --ckpt is one of camkit icd-train.",
            rich_help_panel=INFERENCE,
        ),
    ] = "cam",
    prototypes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|-",
            help="For --response lpcam: the prototypes store of camkit lpcam-cluster.",
            rich_help_panel=INFERENCE,
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        Preset,
        typer.Option(
            help="With a wider margin, as the paper says, or as the authors' program does.", rich_help_panel=INFERENCE
        ),
    ] = "camkit",
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help=f"A fifth of the time, for some of the gain: {FAST_WORDS}.",
            rich_help_panel=INFERENCE,
        ),
    ] = False,
    changes: Annotated[dict[str, Any], Settings(PRESETS, INFERENCE, of=Inference)],
    iterate: Annotated[
        bool,
        typer.Option("--iterate/--no-iterate", help="Hide what was found and infer again.", rich_help_panel=INFERENCE),
    ] = True,
    views: Annotated[dict[str, Any], Settings(PRESETS, o.METHOD, of=Views)],
    resize: o.Resize = None,
    size: o.MapSize = "4",
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
    summary = infercam(
        inputs,
        network,
        output,
        runtime,
        response=response,
        prototypes=prototypes,
        settings=settings_of(preset, {**(FAST if fast else {}), **changes, **once, **views}),
        resize=resize,
        size=size,
    )
    close_with(summary, output.out)

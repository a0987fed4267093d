from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from camkit.cli import options as o

INFERENCE = "Inference (defaults: the preset's)"


PresetChoice = Literal["paper", "published"]
ResponseChoice = Literal["cam", "lpcam", "dcsm", "icd"]
FillChoice = Literal["mean", "zero", "dataset"]
ManyClassesChoice = Literal["per-class", "whole"]


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
        PresetChoice,
        typer.Option(help="As the paper says, or as the authors' program does.", rich_help_panel=INFERENCE),
    ] = "paper",
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="A fifth of the time, for some of the gain: scales 1,0.5,1.5, of which 0.5 finds centres and 1 looks "
            "again, in 3 rounds.",
            rich_help_panel=INFERENCE,
        ),
    ] = False,
    split: Annotated[
        bool | None,
        typer.Option("--split/--no-split", help="Into four patches around the centres.", rich_help_panel=INFERENCE),
    ] = None,
    iterate: Annotated[
        bool,
        typer.Option("--iterate/--no-iterate", help="Hide what was found and infer again.", rich_help_panel=INFERENCE),
    ] = True,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Hide where a class's map is above: 0.7.",
            rich_help_panel=INFERENCE,
            show_default=False,
        ),
    ] = None,
    stop: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Stop when less than this share of a patch is new: paper 0.01, published 0.02.",
            rich_help_panel=INFERENCE,
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="At most so many: 5.", rich_help_panel=INFERENCE, show_default=False),
    ] = None,
    fill: Annotated[
        FillChoice | None,
        typer.Option(
            help="What is hidden gets the patch's mean colour, black, or the data set's mean colour.",
            rich_help_panel=INFERENCE,
            show_default=False,
        ),
    ] = None,
    margin: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            min=0,
            help="Of the patches around the centres: 10 for one class, 20 for two.",
            rich_help_panel=INFERENCE,
            show_default=False,
        ),
    ] = None,
    many_classes: Annotated[
        ManyClassesChoice | None,
        typer.Option(
            help="Three and more: four patches for each class (paper), or the whole image (published).",
            rich_help_panel=INFERENCE,
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            min=0,
            help="The network sees so much of the image around a patch too: 0.",
            rich_help_panel=INFERENCE,
            show_default=False,
        ),
    ] = None,
    hiding_scales: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,…", help="Scales once something is hidden. Default: --scales.", rich_help_panel=INFERENCE
        ),
    ] = None,
    centre_scales: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,…",
            help="Scales of the maps that say where to split. Default: --scales.",
            rich_help_panel=INFERENCE,
        ),
    ] = None,
    resize: o.Resize = None,
    scales: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,…",
            help=f"Scales whose maps are summed: {o.DEFAULT_SCALES}.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    flip: o.Flip = True,
    refined: o.Refined = None,
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
    from camkit.cli.parse import numbers
    from camkit.stages.infercam import FAST, infercam, settings_of

    asked = {"scales": scales, "hiding_scales": hiding_scales, "centre_scales": centre_scales}
    given: dict[str, Any] = {
        "split": split, "rounds": rounds if iterate else 1, "threshold": threshold, "stop": stop, "margin": margin,
        "context": context, "fill": fill, "many_classes": many_classes,
        "flip": flip,
        **{
            name: None if text is None else tuple(numbers(f"--{name.replace('_', '-')}", text, low=0.01, high=16))
            for name, text in asked.items()
        },
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    summary = infercam(
        inputs,
        network,
        output,
        runtime,
        response=response,
        prototypes=prototypes,
        settings=settings_of(preset, {**(FAST if fast else {}), **changes}),
        refined=refined,
        resize=resize,
        size=size,
    )
    close_with(summary, output.out)

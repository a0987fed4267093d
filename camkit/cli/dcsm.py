from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from camkit.cli import options as o

SALIENCY = "Saliency (defaults: the paper's)"


BackpropChoice = Literal["guided", "plain", "input"]


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    output: o.Output,
    backprop: Annotated[
        BackpropChoice,
        typer.Option(
            help="guided: only what is positive passes a ReLU; plain; input: Simonyan's baseline, plain gradients of "
            "the photo, nothing subtracted, one size, alpha 8.",
            rich_help_panel=SALIENCY,
        ),
    ] = "guided",
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Whose gradients count: of those that camkit info --layers CKPT lists, or parts of them "
            "(layer3.0.conv1), or input. Default: listed there too.",
            rich_help_panel=SALIENCY,
            show_default=False,
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="So many classes compete at least, the highest scores. 0: nothing is subtracted. 3.",
            rich_help_panel=SALIENCY,
            show_default=False,
        ),
    ] = None,
    candidate_threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Classes that score above compete too: 0.5.",
            rich_help_panel=SALIENCY,
            show_default=False,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(min=0.01, max=1000, help="Of tanh: 3.", rich_help_panel=SALIENCY, show_default=False),
    ] = None,
    normalise: Annotated[
        bool | None,
        typer.Option("--normalise/--no-normalise", help="Divide by the maximum before tanh.", rich_help_panel=SALIENCY),
    ] = None,
    upsample_channels: Annotated[
        bool | None,
        typer.Option(
            "--upsample-channels",
            help="Upsample every channel, then take the maximum: the paper's formula, slower by far.",
            rich_help_panel=SALIENCY,
            show_default=False,
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…",
            help="Longer sides of the photo, instead of --resize and --scales; the middle one says who competes.",
            rich_help_panel=o.METHOD,
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            metavar="N|native",
            help="Longer side of a photo at scale 1. Default: the checkpoint's, else 500.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,…",
            help="Scales whose maps are averaged: 0.8,1,1.2.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    size: o.MapSize = "4",
    runtime: o.Runtime,
) -> None:
    """DCSM: where a class makes the classifier's inner layers react, and the other candidate classes do not.

    Back-propagates every candidate class to several layers, subtracts the classes' maps from each other, and averages
    over layers and sizes. Writes a maps store as camkit cam does; a map's maximum may lie below 1. Who competed in an
    image is in its notes (camkit info --id).

    camkit dcsm --ckpt vgg16.pth --images VOC2012/ --list val | camkit crf --preset dcsm --masks --out masks.h5

    camkit dcsm --ckpt mine.safetensors --images photos/ --labels tags.csv --layers layer2,layer3 --out dcsms.h5
    """
    from camkit.cli.console import close_with
    from camkit.cli.parse import numbers
    from camkit.errors import UsageError
    from camkit.stages.dcsm import dcsm, scales_of, settings_of

    given: dict[str, Any] = {
        "layers": None if layers is None else tuple(name.strip() for name in layers.split(",")),
        "candidates": candidates, "alpha": alpha,
        "candidate_threshold": candidate_threshold, "normalise": normalise, "upsample_channels": upsample_channels,
        "scales": None if scales is None else tuple(numbers("--scales", scales, low=0.01, high=16)),
    }  # fmt: skip
    if sizes is not None:
        if resize is not None or scales is not None:
            raise UsageError("--sizes says at which sizes photos are seen; leave out --resize and --scales")
        resize, given["scales"] = scales_of(numbers("--sizes", sizes, low=16, high=10_000))
    summary = dcsm(
        inputs,
        network,
        output,
        runtime,
        settings=settings_of(backprop, {name: value for name, value in given.items() if value is not None}),
        resize=resize,
        size=size,
    )
    close_with(summary, output.out)

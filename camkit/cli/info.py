from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camkit.cli import options as o


def command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="A store (or its shards), a checkpoint, or a folder (photos, masks, NAME.parts); - or nothing in a "
            "pipe: the store on standard input.",
        ),
    ] = None,
    failures: Annotated[bool, o.UNTITLED("Only the ids that failed, and why, one a line.", "--failures")] = False,
    id: Annotated[
        str | None,
        o.UNTITLED("Only this image: its classes, size, and what a method noted of it.", "--id", metavar="ID"),
    ] = None,
    layers: Annotated[
        bool, o.UNTITLED("Only the checkpoint's named layers, as camkit dcsm --layers takes them.", "--layers")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="PACKAGE.MODULE:FACTORY", help="The checkpoint is of this network of your own."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Look inside a store (what it holds, of which images, how it was made), a checkpoint, or an unfinished run.

    camkit info cams.h5

    camkit info infercams.h5 --id 2007_000032

    camkit info resnet38.pth

    camkit info --layers vgg16.pth

    camkit info --layers mine.safetensors --model networks:make
    """
    from json import dumps

    from camkit.cli.console import print_lines
    from camkit.stages.gradient_layers import describe_layers, layer_lines
    from camkit.stages.info import describe_file, describe_image, failure_lines, image_lines, lines_of

    if id is not None:
        facts = describe_image(files or [], id)
        print_lines([dumps(facts, indent=2, ensure_ascii=False)] if json else image_lines(facts))
        return
    if layers:
        named = describe_layers(files or [], model)
        print_lines([dumps(named, indent=2, ensure_ascii=False)] if json else layer_lines(named))
        return
    description = describe_file(files or [], model)
    if failures:
        print_lines(failure_lines(description))
    elif json:
        print_lines([dumps(description, indent=2, ensure_ascii=False)])
    else:
        print_lines(lines_of(description))

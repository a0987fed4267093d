from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.defaults import WORKERS


def command(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to draw into.")],
    train: Annotated[int, o.UNTITLED("Scenes of the split train.", metavar="N", low=0)] = 200,
    val: Annotated[int, o.UNTITLED("Scenes of the split val.", metavar="N", low=0)] = 60,
    seed: Annotated[int, o.UNTITLED("Another seed, another world.", metavar="N", low=0)] = 0,
    overwrite: o.Overwrite = False,
    workers: Annotated[int, o.RUN("Processes that draw.", metavar="N", low=0)] = WORKERS,
) -> None:
    """Draw a small world to try camkit on: a VOC root of toy-like scenes, with exact masks, parts and saliency.

    Ten classes in pairs: lynx and hound, finch and heron, bus and van, train and tram, sloop and dhow.
    The two of a pair differ by the head or front alone, which is what makes class activation maps hard.

    camkit toy-world toy/ --train 200 --val 60
    """
    from camkit.cli.console import close_with
    from camkit.stages.toy_world import toy_world

    close_with(toy_world(root, train=train, val=val, seed=seed, workers=workers, overwrite=overwrite), root)

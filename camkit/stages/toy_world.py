"""`camkit toy-world`: a drawn data set with exact masks, to try everything on."""

from __future__ import annotations

import time
from pathlib import Path

from camkit.data.toy.writing import write_world
from camkit.defaults import WORKERS
from camkit.pipeline.output import Summary
from camkit.pipeline.progress import show_progress


def toy_world(
    root: Path, *, train: int = 200, val: int = 60, seed: int = 0, workers: int = WORKERS, overwrite: bool = False
) -> Summary:
    """Draw a VOC root of ten classes that are hard to tell apart, in `workers` processes."""
    begun = time.monotonic()
    with show_progress("toy-world", train + val) as progress:
        drawn = write_world(
            root,
            train=train,
            val=val,
            seed=seed,
            processes=workers,
            overwrite=overwrite,
            advance=progress.advance,
        )
    return Summary(train + val, already=train + val - drawn, seconds=time.monotonic() - begun)

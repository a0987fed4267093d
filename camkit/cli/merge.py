from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camkit.cli import options as o


def command(
    *,
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="The stores to join.")],
    output: o.Store,
) -> None:
    """Join the stores that the shards of one run wrote, or stores of different images made the same way.

    camkit merge cams-1.h5 cams-2.h5 cams-3.h5 --out cams.h5
    """
    from camkit.cli.console import log
    from camkit.pipeline.output import at_a_path
    from camkit.stages.merge import merge_stores

    with at_a_path(output) as (path, replace):
        written = merge_stores(stores, path, overwrite=replace)
    log.info("%s: %s", output.out or "-", f"joined {len(stores)} stores" if written else "already done")

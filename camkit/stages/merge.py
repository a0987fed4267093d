"""`camkit merge`: the stores of several shards as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from camkit.pipeline.output import check_inputs_stay
from camkit.store import merge as store


def merge_stores(paths: Sequence[Path | str], out: Path | str, *, overwrite: bool = False) -> bool:
    """Join stores by copying their records as they are. False: `out` was there already and holds just this."""
    check_inputs_stay(out, paths)
    return store.merge_stores(paths, out, overwrite=overwrite)

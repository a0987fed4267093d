"""Shards of one run, or stores of disjoint images made the same way, joined into one store; and what a store holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from camkit.errors import OutputError, StoreError, UsageError
from camkit.store.join import join_files
from camkit.store.parts import Parts
from camkit.store.reader import Reader, different_run, open_store
from camkit.store.runs import check_target


def merge_stores(paths: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> bool:
    """Join stores by copying their records as they are. False: `out` was there already and holds just this."""
    target = Path(out).resolve()
    check_target(target)
    with open_store(*paths) as reader:
        if target.exists() and not overwrite and _is_merged(target, reader):
            return False
        for id in reader.ids:
            reader.inspect(id)
        parts = Parts(target)
        with parts.gate():
            _write(reader, parts, overwrite)
    return True


def _is_merged(target: Path, reader: Reader) -> bool:
    """True if the store at `target` is what the merge would give; UsageError if it is anything else."""
    try:
        with open_store(target) as old:
            found = different_run(old.header, reader.header)
            same = old.ids == reader.ids and old.failures == reader.failures
    except StoreError as error:
        raise UsageError(f"{error}\nIt is not replaced without --overwrite; or choose another --out.") from error
    if found or not same:
        reason = found or "it holds other images"
        raise UsageError(f"{target} exists: {reason}.\nChoose another --out, or replace it with --overwrite.")
    return True


def _write(reader: Reader, parts: Parts, overwrite: bool) -> None:
    writers = parts.writers()
    if writers:
        raise OutputError(f"{parts.out} is being written by {writers[0]}; wait for it to end.")
    if parts.files() and not overwrite:
        raise UsageError(
            f"{parts.path} holds the parts of an unfinished run.\n"
            "Run that command to its end, choose another --out, or use --overwrite."
        )
    try:
        records = {id: reader.path_of(id) for id in reader.ids}
        failures = {id: reader.path_of_failure(id) for id in reader.failures}
        join_files(records, failures, reader.header, parts.path / "join.tmp", parts.out)
    except BaseException:
        parts.remove_if_unused()
        raise
    parts.remove()

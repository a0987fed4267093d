"""Shards of one run, or stores of disjoint images made the same way, joined into one store; and what a store holds."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from camkit.errors import StoreError, UsageError
from camkit.store.join import join_files
from camkit.store.parts import Parts
from camkit.store.reader import Reader, different_run, open_store
from camkit.store.runs import check_target

log = logging.getLogger("camkit")

SHOWN = 8


def merge_stores(paths: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> bool:
    """Join stores by copying their records as they are. False: `out` was there already and holds just this."""
    target = Path(out).resolve()
    check_target(target)
    with open_store(*paths) as reader:
        missing = missing_shards(reader.header.shard)
        if missing:
            log.warning("the stores are not the whole run; missing: %s", missing)
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
            found = different_run(old.header, reader.header, names=(target.name, "what is to be merged"))
            same = old.ids == reader.ids and old.failures == reader.failures
    except StoreError as error:
        raise UsageError(f"{error}\nit is not replaced without --overwrite; or choose another --out") from error
    if found or not same:
        reason = found or "it holds other images"
        raise UsageError(f"{target} exists: {reason}\nchoose another --out, or replace it with --overwrite")
    return True


def _write(reader: Reader, parts: Parts, overwrite: bool) -> None:
    parts.check_nobody_writes()
    if parts.files() and not overwrite:
        raise UsageError(
            f"{parts.path} holds the parts of an unfinished run\n"
            "run that command to its end, choose another --out, or use --overwrite"
        )
    try:
        records = {id: reader.path_of(id) for id in reader.ids}
        failures = {id: reader.path_of_failure(id) for id in reader.failures}
        join_files(records, failures, reader.header, parts.path / "join.tmp", parts.out)
    except BaseException:
        parts.remove_if_unused()
        raise
    parts.remove()


def shard_words(shard: str) -> str:
    """A header's shard for people: "1/3" is "shard 1 of 3", and "0/3" is "shard 3 of 3".

    They count from 1, and a number said here must be good for `--shard`, where 3/3 is 0/3.
    """
    return "; ".join(_words(sorted(held), count) for count, held in _shards_held(shard).items()) or f"shard {shard}"


def missing_shards(shard: str) -> str:
    """The shards that a header's shard lacks, in the same words; "" if the store is a whole run."""
    words = (
        _words((number for number in range(1, count + 1) if number not in held), count)
        for count, held in _shards_held(shard).items()
    )
    return "; ".join(filter(None, words))


def _shards_held(shard: str) -> dict[int, set[int]]:
    """ "0/3,2/3" → {3: {3, 2}}, counted from 1."""
    held: dict[int, set[int]] = {}
    for number, count in re.findall(r"\b(\d{1,9})/(\d{1,9})\b", shard):
        held.setdefault(int(count), set()).add(int(number) or int(count))
    return held


def _words(numbers: Iterable[int], count: int) -> str:
    first = [str(number) for number in islice(numbers, SHOWN + 1)]
    if not first:
        return ""
    more = ", …" if len(first) > SHOWN else ""
    return f"shard{'s' if len(first) > 1 else ''} {', '.join(first[:SHOWN])}{more} of {count}"

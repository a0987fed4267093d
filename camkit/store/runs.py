"""Is what lies at `out`, or in its parts folder, of the run that is about to begin?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from camkit.errors import OutputError, StoreError, UsageError
from camkit.store.files import SIGNATURE
from camkit.store.parts import Parts
from camkit.store.provenance import check_chain, plain, to_json
from camkit.store.reader import Reader, different_run, open_store
from camkit.store.schema import Header


def check_target(out: Path) -> None:
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent} is no folder; make it first, or choose another --out")
    if out.exists() and not out.is_file():
        raise UsageError(f"{out} is not a regular file; choose another --out")


def check_replaceable(out: Path) -> None:
    """UsageError unless what lies at `out` is HDF5: a typo must not cost a checkpoint or a photo."""
    if not out.is_file():
        return
    with out.open("rb") as stream:
        head = stream.read(len(SIGNATURE))
    if head and head != SIGNATURE:
        raise UsageError(f"{out} is no store, and --overwrite replaces stores only\nchoose another --out")


def existing_store(out: Path, header: Header, ids: Sequence[str]) -> Reader | None:
    """The store at `out`, None if nothing is there; UsageError if it is no store, or of another run."""
    if not out.exists():
        return None
    try:
        store = open_store(out)
    except StoreError as error:
        raise UsageError(f"{error}\nit is not replaced without --overwrite; or choose another --out") from error
    found = different_run(store.header, header) or _strangers(store, ids)
    if found is None:
        return store
    store.close()
    raise UsageError(f"{out} was made by another run: {found}\nchoose another --out, or replace it with --overwrite")


def _strangers(store: Reader, ids: Sequence[str]) -> str | None:
    strange = sorted((set(store.ids) | set(store.failures)) - set(ids))
    if not strange:
        return None
    return f"it holds {len(strange)} images that are not among those chosen now ({strange[0]!r})"


def shares_store(out: Path, header: Header, ids: Sequence[str]) -> bool:
    """True if the store at `out` is of this very run."""
    try:
        store = existing_store(out, header, ids)
    except UsageError:
        return False
    if store is not None:
        store.close()
    return store is not None


def facts(header: Header, ids: Sequence[str]) -> dict[str, Any]:
    """What `run.json` in the parts folder says about the run the parts are of."""
    digest = hashlib.sha256(to_json(list(ids)).encode()).hexdigest()
    return {"header": plain(asdict(header)), "count": len(ids), "ids": digest}


def check_parts(parts: Parts, header: Header, ids: Sequence[str]) -> None:
    """Begin a run in an empty folder; UsageError if the folder holds another run's parts."""
    run = parts.run()
    if run is None:
        parts.write_run(facts(header, ids))
        return
    found = _run_difference(run, header, ids)
    if found:
        raise UsageError(
            f"{parts.path} holds the parts of another run: {found}\n"
            "run that command to its end, choose another --out, or begin anew with --overwrite"
        )


def shares_parts(parts: Parts, header: Header, ids: Sequence[str]) -> bool:
    """True if the parts are of this very run."""
    try:
        run = parts.run()
    except UsageError:
        return False
    return run is not None and _run_difference(run, header, ids) is None


def _run_difference(run: Mapping[str, Any], header: Header, ids: Sequence[str]) -> str | None:
    try:
        old = Header(**run["header"])
        old = replace(old, classes=tuple(old.classes))
        check_chain(old.provenance)
        found = different_run(old, header)
        if found is None and run["ids"] != facts(header, ids)["ids"]:
            found = f"the images changed ({run['count']} then, {len(ids)} now)"
    except (TypeError, KeyError, AttributeError, StoreError):
        return "its run.json cannot be read"
    return found

"""What lies on disk while a network trains, in `<out>.training`, and how it becomes the result.

run.json          which run this is
state.pt          all that the next step depends on
best, last        checkpoints (`best.safetensors`, `last.safetensors`)
curve.csv, .png   what was measured after each epoch

At the end the best checkpoint becomes `out`; the last one, and the curve, lie beside it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

from camkit.errors import CheckpointError, OutputError, StoreError, UsageError
from camkit.models.tensors import read_tensors
from camkit.store.locks import Lock, hint_of
from camkit.store.own import OwnFolder
from camkit.store.parts import write_atomically, writing
from camkit.store.provenance import check_chain, difference, plain

History = list[dict[str, float | None]]
SUFFIX = ".safetensors"
LOCK = "lock"
OWN = re.compile(
    r"state\.(?:pt|tmp)|(?:best|last)\.safetensors(?:\.tmp)?|curve\.(?:csv|png)(?:\.tmp)?|run\.json(?:\.tmp)?"
    r"|\.[0-9a-f]{32}\.tmp"
)
"""The files that a training writes there, besides the lock."""


class TrainingFolder:
    def __init__(self, out: Path) -> None:
        if out.suffix != SUFFIX:
            raise UsageError(f"--out {out}: checkpoints are written as {SUFFIX}; give a name that ends so")
        if not out.parent.is_dir():
            raise OutputError(f"{out.parent} is no folder; make it first, or choose another --out")
        self.out = out
        self.path = out.with_name(out.name + ".training")
        self._folder = OwnFolder(self.path, LOCK, OWN)
        self.best, self.last = self.path / f"best{SUFFIX}", self.path / f"last{SUFFIX}"
        self._state = self.path / "state.pt"
        self._lock: Lock | None = None

    @property
    def results(self) -> dict[Path, Path]:
        """What becomes of what, the checkpoint last: where it is, all is done."""
        beside = self.out.with_suffix("")
        return {
            self.path / "curve.csv": beside.with_name(beside.name + ".curve.csv"),
            self.path / "curve.png": beside.with_name(beside.name + ".curve.png"),
            self.last: beside.with_name(beside.name + f".last{SUFFIX}"),
            self.best: self.out,
        }

    def is_finished(self, run: Mapping[str, Any], *, overwrite: bool) -> bool:
        """True if `out` is the result of this very run and stays; UsageError if it is anything else and would stay."""
        if not self.out.exists():
            return False
        written = _provenance_of(self.out)
        if written is None:
            raise UsageError(
                f"{self.out} is no checkpoint that camkit trained, and is not replaced: choose another --out"
            )
        try:
            check_chain(written)
            found = difference(written, run)
        except (StoreError, TypeError, AttributeError, RecursionError):
            found = "its provenance cannot be read"
        if overwrite:
            return False
        if found is None:
            return True
        raise UsageError(
            f"{self.out} was made by another run: {found}\nchoose another --out, or replace it with --overwrite"
        )

    def remove_leftovers(self, run: Mapping[str, Any]) -> None:
        """What a kill left after `out` was made by this very run. Another run's training, or one on its way, stays."""
        if not self._folder.is_own() or self._other_run(run) is not None:
            return
        try:
            self._lock = Lock(self.path / LOCK, wait=False)
        except OSError:  # there is none, or another process has it
            return
        self.remove()

    def begin(self, run: Mapping[str, Any], *, overwrite: bool) -> None:
        """Make the folder, or enter the one of this very run that was interrupted. Only one process may."""
        with writing(self.path):
            self._folder.make()
            try:
                self._lock = Lock(self.path / LOCK, wait=False)
            except BlockingIOError:
                raise OutputError(
                    f"{self.out} is being trained by another process; wait for it to end{hint_of(self.path / LOCK)}"
                ) from None
            self._folder.mark(self._lock.number)
        try:
            self._enter(run, overwrite)
        except BaseException:
            self.release()
            raise

    def _enter(self, run: Mapping[str, Any], overwrite: bool) -> None:
        found = self._other_run(run)
        if found and not overwrite:
            raise UsageError(
                f"{self.path} holds an unfinished training: {found}\n"
                "run that command to its end, choose another --out, or begin anew with --overwrite"
            )
        with writing(self.path):
            if found or not self._state.exists():
                self._folder.clear()
            write_atomically(self.path / "run.json", json.dumps(plain(run), sort_keys=True).encode())

    def _other_run(self, run: Mapping[str, Any]) -> str | None:
        """In words, what was begun here if not this run. Where nothing was saved there is nothing to lose."""
        if not self._state.exists():
            return None
        try:
            before = json.loads((self.path / "run.json").read_bytes())
            check_chain(before)
            return difference(before, run)
        except FileNotFoundError:
            return "of unknown origin"
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, StoreError):
            return "its run.json cannot be read"

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` saved last, None at the beginning."""
        if not self._state.exists():
            return None
        try:
            return torch.load(self._state, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises anything for a damaged file
            raise CheckpointError(
                f"{self._state}: cannot be read: {str(error).splitlines()[0]}\nbegin anew with --overwrite"
            ) from error

    def save_state(self, state: Mapping[str, Any]) -> None:
        unfinished = self._state.with_suffix(".tmp")
        try:
            with writing(self._state):
                unfinished.unlink(missing_ok=True)
                with unfinished.open("xb") as stream:
                    _write_state(state, stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                unfinished.replace(self._state)
        finally:
            unfinished.unlink(missing_ok=True)  # it is there only when the above failed

    def write_history(self, history: History) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(history[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        path = self.path / "curve.csv"
        with writing(path):
            write_atomically(path, text.getvalue().encode())

    def publish(self) -> None:
        """Copy, not move: after a kill in between it is done again."""
        for made, result in self.results.items():
            with writing(result):
                if made.exists():
                    write_atomically(result, made.read_bytes())
        self.remove()

    def remove(self) -> None:
        self._state.unlink(missing_ok=True)  # first: what a kill then leaves is nobody's training
        self.release()

    def release(self) -> None:
        """Let others in. A folder in which nothing was saved goes."""
        if self._lock is None:
            return
        if not self._state.exists():
            with suppress(OSError):
                self._folder.remove()
        self._lock.release()
        self._lock = None


def _write_state(state: Mapping[str, Any], stream: BinaryIO) -> None:
    try:
        torch.save(dict(state), stream)
    except RuntimeError as error:  # torch closes its archive over the error that a full disk has caused
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _provenance_of(checkpoint: Path) -> Mapping[str, Any] | None:
    try:
        _, own = read_tensors(checkpoint)
    except CheckpointError:
        return None
    extra = (own or {}).get("extra")
    provenance = extra.get("provenance") if isinstance(extra, dict) else None
    return provenance if isinstance(provenance, dict) else None

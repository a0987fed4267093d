"""A folder of another program's files as a sink: each written whole, so that a run can be continued."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from camkit.data.exchange.source import MEMO
from camkit.data.exchange.writing import Target
from camkit.data.reading import examples, reason
from camkit.data.writing import write_whole
from camkit.errors import OutputError, UsageError
from camkit.store.provenance import difference
from camkit.store.schema import Header, check_id
from camkit.types import Activation

FORMAT = "camkit export"


class ExportFolder:
    """The files of a target, and `camkit.json`, which says what run they come from and which they are."""

    def __init__(
        self, folder: Path, target: Target, header: Header, ids: Sequence[str], *, overwrite: bool = False
    ) -> None:
        self.folder, self.target, self.header, self.ids = folder, target, header, tuple(map(check_id, ids))
        self.failures: dict[str, str] = {}
        self.finished = False
        self.done: frozenset[str] = frozenset()
        self._written: set[str] = set()
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; the format is a folder")
        memo = self._read_memo()
        if memo is None:
            self._check_empty(overwrite)
        self._old_files = memo["files"] if memo is not None and overwrite else []
        if memo is not None and not overwrite:
            self._take_stock(memo)

    def _take_stock(self, memo: Mapping[str, Any]) -> None:
        changed = difference(memo["provenance"], self.header.provenance)
        if changed:
            raise UsageError(
                f"{self.folder} holds an export of another run: {changed}\n"
                "give --overwrite to replace it, or another folder"
            )
        self.done = frozenset(id for id in self.ids if self._all_there(self.target.files(id)))
        kept = self.target.temporary or len(self.done) == len(self.ids)
        self.finished = memo["complete"] is True and kept and self._all_there(self.target.endings)

    def __enter__(self) -> Self:
        if self.finished:
            return self
        self._remove(self._old_files)
        self._write_memo(complete=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every file is whole already."""

    def write(self, activation: Activation) -> None:
        self.target.write(self.folder, activation)
        self._written.add(activation.id)

    def fail(self, id: str, message: str) -> None:
        self.failures[id] = message

    def finish(self) -> bool:
        there = tuple(id for id in self.ids if id in self.done or id in self._written)
        complete = len(there) == len(self.ids)
        self.target.finish(self.folder, there, complete)
        self._write_memo(complete=complete)
        return True

    def _all_there(self, names: Iterable[str]) -> bool:
        return all((self.folder / name).is_file() for name in names)

    def _check_empty(self, overwrite: bool) -> None:
        """Nothing of the user's is written over; endings may lie outside the folder."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.exists() else []
        strangers = [name for name in names if not name.startswith(".")]  # a hidden one may be left of a kill
        if strangers:
            raise UsageError(
                f"{self.folder} holds files that camkit export did not write ({examples(sorted(strangers))}); "
                "choose another folder"
            )
        for name in self.target.endings:
            if not overwrite and (self.folder / name).exists():
                raise UsageError(f"{self.folder / name} is there already; choose another name, or give --overwrite")

    def _remove(self, names: Iterable[str]) -> None:
        """What the run before has left; the memo, which names it, goes last."""
        for name in names:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot remove {self.folder / name}: {reason(error)}") from error

    def _write_memo(self, *, complete: bool) -> None:
        files = [*self.target.endings, *(name for id in self.ids for name in self.target.files(id))]
        memo = {
            "format": FORMAT,
            "classes": self.header.classes,
            "complete": complete,
            "provenance": self.header.provenance,
            "files": [name for name in files if _is_below(PurePosixPath(name))],
        }
        text = json.dumps(memo, indent=1) + "\n"
        write_whole(self.folder / MEMO, lambda file: file.write(text.encode()))

    def _read_memo(self) -> dict[str, Any] | None:
        try:
            memo = json.loads((self.folder / MEMO).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{self.folder / MEMO} cannot be read: {error}; choose another folder") from error
        if not isinstance(memo, dict) or memo.get("format") != FORMAT or not _is_sound(memo):
            raise UsageError(f"{self.folder / MEMO} is not from camkit export; choose another folder")
        return memo


def _is_sound(memo: Mapping[str, Any]) -> bool:
    """Its files will be removed: none may lie elsewhere."""
    files = memo.get("files")
    return (
        isinstance(memo.get("provenance"), dict)
        and isinstance(memo.get("complete"), bool)
        and isinstance(files, list)
        and all(isinstance(name, str) and _is_below(PurePosixPath(name)) for name in files)
    )


def _is_below(path: PurePosixPath) -> bool:
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)

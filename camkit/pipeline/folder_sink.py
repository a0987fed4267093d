"""A folder of files as a sink: each is written whole, so that a run can go on; a memo says which, and of what run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from camkit.data.exchange.source import MEMO
from camkit.data.exchange.writing import Target
from camkit.data.reading import examples, reason
from camkit.data.writing import write_whole
from camkit.errors import OutputError, StoreError, UsageError
from camkit.store.parts import FolderLock, writing
from camkit.store.provenance import check_chain, difference
from camkit.store.schema import Header, check_id
from camkit.types import Activation

LOCK = ".camkit.lock"


@dataclass(frozen=True)
class Maker:
    """The command that fills a folder: its name, how its memos begin, and what it makes."""

    command: str
    format: str
    makes: str


class FolderSink:
    """The files of a target, and `camkit.json`, which says what run they come from and which they are.

    `ids` are all ids of the run; `own` those that this process writes, None: all.
    """

    def __init__(
        self,
        folder: Path,
        target: Target,
        header: Header,
        ids: Sequence[str],
        maker: Maker,
        *,
        own: Sequence[str] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.folder, self.target, self.header, self.maker = folder, target, header, maker
        self.ids = tuple(map(check_id, ids))
        self.own = self.ids if own is None else tuple(own)
        self.failures: dict[str, str] = {}
        self.finished = False
        self.done: frozenset[str] = frozenset()
        self._written: set[str] = set()
        self._old_files: frozenset[str] = frozenset()
        self._lock: FolderLock | None = None
        self._overwrite = overwrite
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; give {maker.command} a folder")
        memo = self._read_memo()
        if memo is None:
            self._check_empty(overwrite)
        elif overwrite:
            self._old_files = self._files_to_remove(memo)
        else:
            self._take_stock(memo)

    def _take_stock(self, memo: Mapping[str, Any]) -> None:
        changed = difference(memo["provenance"], self.header.provenance)
        if changed:
            raise UsageError(
                f"{self.folder} holds {self.maker.makes} of another run: {changed}\n"
                "give --overwrite to replace what it holds, or another folder"
            )
        self.done = frozenset(id for id in self.own if self._all_there(self.target.files(id)))
        kept = self.target.temporary or self._whole(self.done)
        self.finished = memo["complete"] and kept and self._all_there(self.target.endings)

    def __enter__(self) -> Self:
        if self.finished:
            return self
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.folder / LOCK, self.maker.command, alone=len(self.own) == len(self.ids))
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _begin(self) -> None:
        memo = self._read_memo()  # once more: another process may have been here until now
        if memo is None:
            self._check_empty(overwrite=True)
        elif not self._overwrite:
            self._take_stock(memo)
        if self.finished:
            return
        self._remove(self._old_files)
        self._write_memo(complete=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every file is whole already."""
        if self._lock is not None:
            self._lock.release()

    def write(self, activation: Activation) -> None:
        self.target.write(self.folder, activation)
        self._written.add(activation.id)

    def fail(self, id: str, message: str) -> None:
        self.failures[id] = message

    def finish(self) -> bool:
        there = tuple(id for id in self.own if id in self.done or id in self._written)
        complete = self._whole(frozenset(there))
        self.target.finish(self.folder, there, complete)
        self._write_memo(complete=complete)
        return True

    def _whole(self, there: frozenset[str]) -> bool:
        """Whether these are all of this process's images, and the files of all others are there too."""
        own = frozenset(self.own)
        return own <= there and all(self._all_there(self.target.files(id)) for id in self.ids if id not in own)

    def _all_there(self, names: Iterable[str]) -> bool:
        return all((self.folder / name).is_file() for name in names)

    def _check_empty(self, overwrite: bool) -> None:
        """Nothing of the user's is written over; endings may lie outside the folder."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.exists() else []
        strangers = [name for name in names if not name.startswith(".")]  # a hidden one may be left of a kill
        if strangers:
            raise UsageError(
                f"{self.folder} holds files that {self.maker.command} did not write ({examples(sorted(strangers))}); "
                "choose another folder"
            )
        for name in self.target.endings:
            if not overwrite and (self.folder / name).exists():
                raise UsageError(f"{self.folder / name} is there already; choose another name, or give --overwrite")

    def _files_to_remove(self, memo: Mapping[str, Any]) -> frozenset[str]:
        """Those of the run before; UsageError for files of which it is not known that they are."""
        own = self._files(self.ids)
        if memo["files"] is None:
            known, strangers = frozenset(own), self._others_than(own)
        else:
            known = frozenset(memo["files"])
            strangers = [name for name in own if name not in known and (self.folder / name).exists()]
        if strangers:
            raise UsageError(
                f"{self.folder} holds files that {self.maker.command} did not write, by its {MEMO} "
                f"({examples(strangers)})\nremove them, or choose another folder"
            )
        of_others = self._files(frozenset(self.ids) - frozenset(self.own))  # who may have written them by now
        return known - frozenset(of_others)

    def _others_than(self, names: Iterable[str]) -> list[str]:
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        found = {path.as_posix() for path in paths if not path.name.startswith(".") and path != Path(MEMO)}
        return sorted(found.difference(names))

    def _files(self, ids: Iterable[str]) -> list[str]:
        """Of the images, below the folder."""
        return [name for id in ids for name in self.target.files(id)]

    def _remove(self, names: Iterable[str]) -> None:
        """What the run before has left, nothing through a link; the memo, which names it, goes last."""
        own, root = set[Path](), self.folder.resolve()
        for name in names:
            parent = (self.folder / name).parent
            if parent not in own and not parent.resolve().is_relative_to(root):
                raise OutputError(f"{parent} is a link out of {self.folder}: nothing is removed there; remove the link")
            own.add(parent)
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot remove {self.folder / name}: {reason(error)}") from error

    def _write_memo(self, *, complete: bool) -> None:
        endings = [name for name in self.target.endings if _is_below(PurePosixPath(name))]
        memo = {
            "format": self.maker.format,
            "classes": self.header.classes,
            "complete": complete,
            "provenance": self.header.provenance,
            "files": [*endings, *self._files(self.ids)],
        }
        text = json.dumps(memo, indent=1) + "\n"
        write_whole(self.folder / MEMO, lambda file: file.write(text.encode()))

    def _read_memo(self) -> Mapping[str, Any] | None:
        try:
            memo = json.loads((self.folder / MEMO).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{self.folder / MEMO} cannot be read: {error}; choose another folder") from error
        if isinstance(memo, dict):  # of masks, as once written, which did not name its files
            memo = {"complete": False, "files": None, **memo}
        if not isinstance(memo, dict) or memo.get("format") != self.maker.format or not _is_sound(memo):
            raise UsageError(f"{self.folder / MEMO} is not from {self.maker.command}; choose another folder")
        return memo


def _is_sound(memo: Mapping[str, Any]) -> bool:
    """Its files will be removed: none may lie elsewhere."""
    files = [] if memo["files"] is None else memo["files"]
    try:
        check_chain(memo.get("provenance"))
    except StoreError:
        return False
    return (
        isinstance(memo["complete"], bool)
        and isinstance(files, list)
        and all(isinstance(name, str) and _is_below(PurePosixPath(name)) for name in files)
    )


def _is_below(path: PurePosixPath) -> bool:
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)

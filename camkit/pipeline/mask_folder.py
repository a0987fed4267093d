"""A folder of palette PNGs as a sink: one file per image, written whole, so that a run can be continued."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from camkit.data.masks import write_mask
from camkit.errors import OutputError, UsageError
from camkit.store.provenance import difference
from camkit.store.schema import Header, check_id
from camkit.types import Activation

MEMO = "camkit.json"


class MaskFolder:
    """`<folder>/<id>.png` for every image, and `camkit.json`, which says what run they come from."""

    def __init__(self, folder: Path, header: Header, ids: Iterable[str], *, overwrite: bool = False) -> None:
        self.folder, self.header = folder, header
        self.failures: dict[str, str] = {}
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; PNGs go into a folder")
        self.finished = False
        self.done: frozenset[str] = frozenset()
        self._replace = overwrite
        memo = self._read_memo()
        if memo is None and self._present():
            raise UsageError(f"{folder} holds PNGs that camkit mask did not write; choose another folder")
        if memo is not None and not overwrite:
            self._check_same_run(memo)
            self.done = self._present() & frozenset(ids)

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._replace:  # before the new memo: what is left of a kill belongs to the old one
                for id in self._present():
                    (self.folder / f"{id}.png").unlink()
            memo = {"format": "camkit masks", "classes": self.header.classes, "provenance": self.header.provenance}
            temporary = self.folder / f"{MEMO}.tmp"
            temporary.write_text(json.dumps(memo, indent=1) + "\n", encoding="utf-8")
            temporary.replace(self.folder / MEMO)
        except OSError as error:
            raise OutputError(f"cannot write to {self.folder}: {error.strerror}; choose another folder") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every file is whole already."""

    def write(self, activation: Activation) -> None:
        path = self.folder / f"{check_id(activation.id)}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to {path.parent}: {error.strerror}; choose another folder") from error
        write_mask(path, activation.values)

    def fail(self, id: str, message: str) -> None:
        self.failures[id] = message

    def finish(self) -> bool:
        return True

    def _check_same_run(self, memo: Mapping[str, Any]) -> None:
        changed = difference(memo, self.header.provenance)
        if changed:
            raise UsageError(
                f"{self.folder} holds masks of another run: {changed}\n"
                "give --overwrite to replace them, or another folder"
            )

    def _present(self) -> frozenset[str]:
        return frozenset(p.relative_to(self.folder).with_suffix("").as_posix() for p in self.folder.rglob("*.png"))

    def _read_memo(self) -> Mapping[str, Any] | None:
        try:
            memo = json.loads((self.folder / MEMO).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.folder / MEMO} cannot be read: {error}; choose another folder") from error
        provenance = memo.get("provenance") if isinstance(memo, dict) else None
        if not isinstance(provenance, dict):
            raise UsageError(f"{self.folder / MEMO} is not from camkit mask; choose another folder")
        return provenance

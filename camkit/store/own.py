"""Folders that camkit makes beside an output until that is whole. Others that bear their names are left alone."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from camkit.errors import OutputError
from camkit.store.locks import HELD

WORDS = b"camkit keeps unfinished work in this folder, and removes it when it is done\n"


@dataclass(frozen=True)
class OwnFolder:
    """A folder is camkit's if its marker lies in it. Only what camkit writes there is removed, and no link followed.

    marker  a file that says whose folder it is, and is locked
    names   those of the files that camkit writes there
    """

    path: Path
    marker: str
    names: re.Pattern[str]

    def is_own(self) -> bool:
        """Whether it is there, and camkit's. An empty marker is one of a process that was killed while it began."""
        marker = self.path / self.marker
        try:
            if not stat.S_ISDIR(self.path.lstat().st_mode) or not stat.S_ISREG(marker.lstat().st_mode):
                return False
            with marker.open("rb") as stream:
                return stream.read(len(WORDS)) in (b"", WORDS)
        except OSError:
            return False

    def make(self) -> None:
        """Make it, or find it as camkit's; OutputError if it is anything else."""
        self.path.mkdir(exist_ok=True)
        if self.path.is_symlink():
            raise OutputError(
                f"{self.path} is a link, and camkit works through none\nremove it, or choose another --out"
            )
        with suppress(FileNotFoundError):  # removed in the meantime: whoever locks the marker will see
            if not self.is_own() and any(True for _ in os.scandir(self.path)) and not self.is_own():
                raise OutputError(f"{self.path} is not of camkit's making; rename it, or choose another --out")

    def mark(self, number: int) -> None:
        """By the descriptor of the marker, once it is locked."""
        if not os.fstat(number).st_size:
            os.pwrite(number, WORDS, 0)

    def clear(self, *last: str) -> None:
        """Remove all but the marker, the files of these names after all others."""
        found = [path.name for path in self.path.iterdir() if self.names.fullmatch(path.name)]
        for name in [*(name for name in found if name not in last), *last]:
            (self.path / name).unlink(missing_ok=True)

    def remove(self, *last: str) -> None:
        """Remove it, with its marker. Call with the marker locked. What others have put there keeps it there."""
        self.clear(*last)
        held = self.marker + HELD
        if not {path.name for path in self.path.iterdir()} <= {self.marker, held}:
            return
        (self.path / self.marker).unlink()
        (self.path / held).unlink(missing_ok=True)
        with suppress(OSError):  # somebody made a new marker in the meantime: the folder is theirs now
            self.path.rmdir()

"""Who may write: file locks of the kernel, and where the file system has none, files that only one can create."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path

from camkit import signals

log = logging.getLogger("camkit")

HELD = ".held"
"""Ends the name of the file that stands for a lock, where there are no others."""
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
SECONDS_BETWEEN_LOOKS, SECONDS_UNTIL_TOLD = 0.2, 10.0

_locks_held: set[int] = set()


def _forget_locks() -> None:
    """A forked worker must not keep the locks of a parent that was killed."""
    for number in _locks_held:
        os.close(number)
    _locks_held.clear()


os.register_at_fork(after_in_child=_forget_locks)


class Lock:
    """A file lock the kernel lets go of when its process ends, however it ends.

    On a file system without them a second file is created, which others cannot do meanwhile. One that a killed process
    left is taken over on the same machine; on others nobody knows, and the user has to remove it.
    """

    def __init__(self, path: Path, *, wait: bool, shared: bool = False) -> None:
        self.path = path
        self._held: Path | None = None
        self.number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            self._take(wait, shared)
        except BaseException:
            os.close(self.number)
            raise
        _locks_held.add(self.number)

    def _take(self, wait: bool, shared: bool) -> None:
        try:
            fcntl.flock(self.number, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            if not shared:
                self._held = _create_held(self.path.with_name(self.path.name + HELD), wait)

    def sign(self) -> None:
        os.ftruncate(self.number, 0)
        os.pwrite(self.number, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def is_current(self) -> bool:
        """False when the file was removed, with its folder, while we waited for it."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self.number))

    def release(self) -> None:
        if self.number in _locks_held:
            _locks_held.discard(self.number)
            if self._held is not None:
                self._held.unlink(missing_ok=True)
            os.close(self.number)


def hint_of(path: Path) -> str:
    """What else a user may do who waits for the lock at this path."""
    held = path.with_name(path.name + HELD)
    return f"\nif it is gone, remove {held}" if held.exists() else ""


def _create_held(path: Path, wait: bool) -> Path:
    """BlockingIOError if another process has it, and this one is not to wait."""
    waiting_since, told = time.monotonic(), False
    while True:
        with suppress(FileExistsError):
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            os.write(number, _me().encode())
            os.close(number)
            return path
        if _take_over(path):
            continue
        if not wait:
            raise BlockingIOError(errno.EWOULDBLOCK, f"held by {_text(path)}; if that is gone, remove {path}")
        if not told and time.monotonic() - waiting_since > SECONDS_UNTIL_TOLD:
            log.warning("waiting for %s; if that is gone, remove %s", _text(path), path)
            told = True
        signals.check()
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _take_over(path: Path) -> bool:
    """Remove what a process of this machine has left that is no more."""
    text = _text(path)
    if not _is_dead(text):
        return False
    aside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with suppress(OSError):
        path.rename(aside)
        if _text(aside) != text:  # somebody else was faster, and has it now
            with suppress(FileExistsError):
                path.hardlink_to(aside)
        aside.unlink()
    return True


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}, begun {_begun(os.getpid())}"


def _is_dead(text: str) -> bool:
    words = text.replace(",", "").split()
    if len(words) != 6 or words[3] != socket.gethostname() or not words[1].isdecimal():
        return False
    return _begun(int(words[1])) != words[5]


def _begun(process: int) -> str:
    """When a process began, as the kernel counts, which tells it from a later one of the same number; - if unknown."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")[:200]
    except OSError:
        return ""

"""The folder `<out>.parts`: finished part files, one lock per shard, and a gate for what only one may do at a time."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from camkit.errors import CamkitError, OutputError, UsageError
from camkit.store.files import parts_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PART = re.compile(r"part-(\d{6,})-(?:(\d+)-of-(\d+)|store)\.h5")
LOCK = re.compile(r"lock-(\d+)-of-(\d+)")
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would be larger than the limit (ulimit -f, or the file system's)",
    errno.ENOLCK: "the file system has no file locks",
    errno.EOPNOTSUPP: "the file system has no file locks",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}

_locks_held: set[int] = set()


def _forget_locks() -> None:
    """A forked worker must not keep the locks of a parent that was killed."""
    for number in _locks_held:
        os.close(number)
    _locks_held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError within becomes an OutputError about `path`."""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(
            f"{path} cannot be written: {reason}\nwhat was written before is kept; mend this and run the command again"
        ) from error


def sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_atomically(path: Path, data: bytes) -> None:
    """Either all of `data` is durably at `path`, or nothing changed there."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class Lock:
    """A file lock the kernel lets go of when its process ends, however it ends."""

    def __init__(self, path: Path, *, wait: bool) -> None:
        if fcntl is None:
            raise OutputError(f"{path}: this system has no file locks that camkit knows; on Windows run it in WSL")
        self.path = path
        self.number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self.number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BaseException:
            os.close(self.number)
            raise
        _locks_held.add(self.number)

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
            os.close(self.number)


class Parts:
    """The parts folder of one store."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.path = parts_folder(out)

    @contextmanager
    def gate(self) -> Iterator[None]:
        """Only one process at a time is within: starting, joining and removing happen here."""
        with writing(self.path):
            lock = self._enter()
        try:
            yield
        finally:
            lock.release()

    def _enter(self) -> Lock:
        while True:
            self.path.mkdir(exist_ok=True)
            try:
                lock = Lock(self.path / "gate", wait=True)
            except FileNotFoundError:
                continue
            if lock.is_current():
                return lock
            lock.release()

    def claim(self, shard: tuple[int, int]) -> Lock:
        """The lock of a shard, held until released; OutputError naming the process that has it."""
        count = shard[1]
        path = self.lock_of(shard)
        other = self.writers(but=path.name, of_others_than=count)
        if other:
            raise OutputError(f"{self.out} is being written in another number of shards, by {other[0]}")
        try:
            lock = Lock(path, wait=False)
        except BlockingIOError:
            raise OutputError(f"{self.out} is being written by {_signature(path)}; wait for it to end") from None
        lock.sign()
        return lock

    def lock_of(self, shard: tuple[int, int]) -> Path:
        return self.path / f"lock-{shard[0]}-of-{shard[1]}"

    def check_nobody_writes(self) -> None:
        """OutputError naming who does. Call within the gate."""
        writers = self.writers()
        if writers:
            raise OutputError(f"{self.out} is being written by {writers[0]}; wait for it to end")

    def of_shard(self, path: Path, shard: tuple[int, int]) -> bool:
        """Whether a part is this shard's."""
        return path.name.endswith(_suffix(shard))

    def _names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]

    def locks(self) -> list[str]:
        return sorted(name for name in self._names() if LOCK.fullmatch(name))

    def writers(self, *, but: str = "", of_others_than: int | None = None) -> list[str]:
        """Who holds a shard's lock now. Call within the gate."""
        found = []
        for name in self.locks():
            match = LOCK.fullmatch(name)
            if name == but or (match and int(match[2]) == of_others_than):
                continue
            try:
                Lock(self.path / name, wait=False).release()
            except BlockingIOError:
                found.append(_signature(self.path / name))
        return found

    def forget_other_counts(self, count: int) -> None:
        """Locks left by runs that were cut into another number of shards."""
        for name in self.locks():
            match = LOCK.fullmatch(name)
            if match and int(match[2]) != count:
                (self.path / name).unlink()

    def files(self) -> list[Path]:
        """The part files, oldest first."""
        found = [(int(match[1]), name) for name in self._names() if (match := PART.fullmatch(name))]
        return [self.path / name for _, name in sorted(found)]

    def add(self, data: bytes, shard: tuple[int, int]) -> Path:
        path = self.path / f"part-{self._next():06d}{_suffix(shard)}"
        with writing(path):
            write_atomically(path, data)
        return path

    def add_store(self) -> None:
        """The existing store itself becomes the newest part, by a hard link where the file system has them."""
        path = self.path / f"part-{self._next():06d}-store.h5"
        with writing(path):
            if any(_same_content(old, self.out) for old in self.files()):
                return
            try:
                path.hardlink_to(self.out)
            except OSError:
                temporary = path.with_name(path.name + ".tmp")
                shutil.copy2(self.out, temporary)
                temporary.replace(path)
            sync_folder(self.path)

    def _next(self) -> int:
        files = self.files()
        match = PART.fullmatch(files[-1].name) if files else None
        return int(match[1]) + 1 if match else 0

    def run(self) -> dict[str, Any] | None:
        """What `write_run` wrote; None when no run has begun here."""
        path = self.path / "run.json"
        try:
            run = json.loads(path.read_bytes())
        except FileNotFoundError:
            if self.files():
                raise self._unknown() from None
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise self._unknown() from error
        if not isinstance(run, dict):
            raise self._unknown()
        return run

    def _unknown(self) -> CamkitError:
        return UsageError(
            f"{self.path} holds parts of an unknown run\nremove the folder, choose another --out, or use --overwrite"
        )

    def write_run(self, run: dict[str, Any]) -> None:
        path = self.path / "run.json"
        with writing(path):
            write_atomically(path, json.dumps(run, sort_keys=True).encode())

    def drop(self, shard: tuple[int, int], *, parts: bool) -> None:
        """Remove what a killed writer of this shard left half-written, with `parts` all it wrote."""
        own = _suffix(shard)
        with writing(self.path):
            for name in self._names():
                if name.endswith((own + ".tmp", "-store.h5.tmp")) or (parts and name.endswith(own)):
                    (self.path / name).unlink()

    def clear(self) -> None:
        """Remove everything but the gate; `run.json` goes last, so that parts are never without it."""
        with writing(self.path):
            names = [name for name in self._names() if name not in ("gate", "run.json")]
            for name in [*names, "run.json"]:
                (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder. Call within the gate: who waits there then finds it gone, and begins again."""
        self.clear()
        with writing(self.path):
            (self.path / "gate").unlink()
        with suppress(OSError):  # somebody made a new gate in the meantime: the folder is theirs now
            self.path.rmdir()

    def remove_if_unused(self) -> None:
        if not self.files() and not self.writers() and not (self.path / "run.json").exists():
            self.remove()


def _suffix(shard: tuple[int, int]) -> str:
    return f"-{shard[0]}-of-{shard[1]}.h5"


def _same_content(one: Path, other: Path) -> bool:
    """True for hard links, and for copies: parts and stores are never changed in place."""
    a, b = one.stat(), other.stat()
    return os.path.samestat(a, b) or (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)


def _signature(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")[:200] or "another process"
    except OSError:
        return "another process"

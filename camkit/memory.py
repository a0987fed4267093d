"""How much memory may be filled with what one file claims to hold: small files may claim gigabytes.

What is about to be unpacked is told beforehand, by what its header says. More than the budget is refused; what several
threads unpack at once shares it.
"""

from __future__ import annotations

import os
import re
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from camkit.errors import CamkitError, UsageError

SHARE = 0.5
"""Of what the machine, the batch job's cgroup or ulimit -v have."""
OPTION = "--max-memory"
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class _Budget:
    """`given` by the user; `claimed` by the threads that unpack now."""

    given: int | None = None
    claimed = 0
    changed = threading.Condition()


def set_budget(count: int | None) -> None:
    _Budget.given = count


def budget() -> int:
    return _Budget.given if _Budget.given is not None else int(SHARE * there_is())


def there_is() -> int:
    """In bytes: the least of what the machine has and what limits this process."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUPS:
        with suppress(OSError, ValueError):  # it is not there, or says "max"
            found.append(int(path.read_text()))
    limit = address_space()
    return min(found if limit is None else [*found, limit])


def address_space() -> int | None:
    """What ulimit -v allows; None: all."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def check(count: float, what: str, error: type[CamkitError]) -> None:
    """Raise if so many bytes are more than the budget."""
    most = budget()
    if count > most:
        raise error(f"{what} would take {in_words(count)} of memory, the limit is {in_words(most)} ({OPTION})")


@contextmanager
def claimed(count: float, what: str, error: type[CamkitError]) -> Iterator[None]:
    """While so many bytes are filled; other threads wait where both would be too much."""
    check(count, what, error)
    most = budget()
    with _Budget.changed:
        _Budget.changed.wait_for(lambda: not _Budget.claimed or _Budget.claimed + count <= most)
        _Budget.claimed += int(count)
    try:
        yield
    finally:
        with _Budget.changed:
            _Budget.claimed -= int(count)
            _Budget.changed.notify_all()


def parse(option: str, text: str) -> int:
    """'2G', '512M' → bytes."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([KMGT])(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise UsageError(f"{option} {text}: give a number and a unit, for example 512M or 2G")
    return int(float(found[1]) * UNITS[found[2].upper()])


def is_short_of(error: BaseException) -> bool:
    """Whether memory is what an error is about; libraries that cannot be loaded for want of it say so in words."""
    words = ("cannot allocate memory", "failed to map segment", "can't start new thread", "out of memory")
    return isinstance(error, MemoryError) or any(one in str(error).lower() for one in words)


def words_of(error: BaseException) -> str:
    """What a user is told who is short of memory."""
    limit = address_space()
    allowed = "" if limit is None else f" (ulimit -v allows {in_words(limit)})"
    reason = f": {error}" if str(error) else ""
    return f"there is not enough memory{allowed}{reason}"


def in_words(count: float) -> str:
    return f"{count / UNITS['G']:.1f} GiB" if count >= UNITS["G"] else f"{count / UNITS['M']:.0f} MiB"

"""Damaged inputs, and what becomes of a reader that is given them: it survives if it reads on or says what is wrong."""

from __future__ import annotations

import os
import random
import resource
import select
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from camkit import memory
from camkit.errors import CamkitError

SECONDS = 10
BUDGET, ROOM = 256 << 20, 3 << 30
"""In bytes: what a file may unpack to, and what its reader may take beyond what the tests have before it is lost."""

WORDS = (b"[", b"{", b'"', b"<a>", b"\0", b"\\ud800", b"-1", b"1e999", b"\x1b[2J")

Reader = Callable[[Path], object]


@dataclass
class Count:
    """How many inputs were tried, and what was lost: how, and by which seed."""

    tries: int = 0
    lost: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def survived(self) -> int:
        return self.tries - len(self.lost)


def mutated(data: bytes, seed: int) -> bytes:
    """Bytes flipped, cut, doubled, moved or set to what lengths and types dislike."""
    chance, made = random.Random(seed), bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        if not made:
            break
        end, kind = len(made) if chance.random() < 0.5 else min(len(made), 4096), chance.random()
        at = chance.randrange(end)  # large files say at their beginning what they are
        if kind < 0.5:
            made[at] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        elif kind < 0.65:
            made[at : at + 8] = chance.choice([bytes(8), b"\xff" * 8, (1 << 40).to_bytes(8, "little")])
        elif kind < 0.75:
            end = at + chance.randrange(64)
            made[at:at] = made[at:end] * chance.choice([1, 3, 500])
        elif kind < 0.85:
            del made[at : at + chance.randrange(1, 64)]
        elif kind < 0.95:
            made[at : at + 1] = chance.choice(
                [b"[", b"{", b'"', b"<a>", b"\0", b"\\ud800", b"-1", b"1e999", b"\x1b[2J"]
            )
        else:
            del made[at:]
    return bytes(made)


def attack(read: Reader, samples: list[Path], tries: int, first: int = 0) -> Count:
    """Read so many damaged copies, in a process that may crash or hang; it is begun anew behind what it died of."""
    count = Count()
    if tries > 1:
        _load_what_is_needed(read, samples)
    while count.tries < tries:
        _in_a_child(read, samples, first + count.tries, tries - count.tries, count)
    return count


def _load_what_is_needed(read: Reader, samples: list[Path]) -> None:
    """Once, not in every child."""
    for sample in samples:
        with tempfile.TemporaryDirectory() as folder, suppress(CamkitError):
            read(Path(shutil.copy(sample, folder)))


def _in_a_child(read: Reader, samples: list[Path], first: int, tries: int, count: Count) -> None:
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        with suppress(BaseException):
            _read_all(read, samples, first, tries, into)
        os._exit(0)
    os.close(into)
    ended, done = "", 0
    with os.fdopen(out, "rb", buffering=0) as stream:
        while done < tries:
            if not _tells(stream, child):
                ended = "hung"
                break
            line = _line(stream)
            if not line:
                ended = "crashed"
                break
            done, count.tries = done + 1, count.tries + 1
            count.ends[line.split(":")[0]] += 1
            if line.startswith("lost"):
                count.lost.append(f"seed {first + done - 1}: {line}")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if ended:
        count.tries += 1
        count.lost.append(f"seed {first + done}: {ended}")


def _tells(stream: object, child: int) -> bool:
    """False once it has worked for longer than it may, or waits for ever; a busy machine is no hang."""
    began, worked = time.monotonic(), _seconds_worked(child)
    while not select.select([stream], [], [], 0.5)[0]:
        if _seconds_worked(child) - worked > SECONDS or time.monotonic() - began > 20 * SECONDS:
            return False
    return True


def _seconds_worked(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _line(stream: object) -> str:
    line = b""
    while not line.endswith(b"\n"):
        one = stream.read(1)  # type: ignore[attr-defined]
        if not one:
            return ""
        line += one
    return line.decode().rstrip("\n")


def _read_all(read: Reader, samples: list[Path], first: int, tries: int, into: int) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    memory.set_budget(BUDGET)
    with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123 - no file
        there = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (there + ROOM, there + ROOM))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + tries):
            sample = samples[seed % len(samples)]
            path = Path(folder) / sample.name
            path.write_bytes(mutated(sample.read_bytes(), seed))
            os.write(into, f"{_outcome(read, path)[:300]}\n".encode())
            for left in Path(folder).rglob("*"):
                if left.is_file():
                    left.unlink()


def _outcome(read: Reader, path: Path) -> str:
    started = time.process_time()
    try:
        read(path)
    except CamkitError as error:
        told = str(error)
        if told.count("\n") > 1 or not told:
            return f"lost: {told!r}"
    except BaseException as error:
        return f"lost: {type(error).__name__} {str(error)[:200]!r}".replace("\n", " ")
    else:
        told = ""
    seconds = time.process_time() - started
    return "told" if told else "read" if seconds < SECONDS else f"lost: {seconds:.0f} s"

"""Where a stage's results go: a store at a path or on standard output; and a stage's run over its images."""

from __future__ import annotations

import logging
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from camkit.data.reading import exists
from camkit.defaults import WORKERS
from camkit.errors import UsageError
from camkit.pipeline.load import Failure
from camkit.pipeline.progress import show_progress
from camkit.pipeline.run import Sink, Step, map_records
from camkit.store.pipe import send_store
from camkit.store.schema import Header
from camkit.store.writer import Writer
from camkit.types import OnError, Precision, Record

log = logging.getLogger("camkit")

STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True)
class Output:
    """out: a path, `-` for standard output, or None: standard output if that is a pipe or a file."""

    out: Path | None = None
    overwrite: bool = False
    dtype: str | None = None

    if TYPE_CHECKING:  # a path may be given as text, and is always read as a path

        def __init__(
            self, out: Path | str | None = None, overwrite: bool = False, dtype: str | None = None
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", None if self.out is None else Path(self.out))


@dataclass(frozen=True)
class Runtime:
    """How a stage runs; nothing here changes results beyond rounding."""

    device: str = "auto"
    precision: Precision = "auto"
    batch_size: int | None = None
    workers: int = WORKERS
    on_error: OnError = "skip"


@dataclass(frozen=True)
class Summary:
    """What became of a run. `complete` is False when other shards have yet to finish."""

    images: int
    already: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    seconds: float = 0.0


class ResumableSink(Sink, Protocol):
    """What a stage needs of a store's writer, or of a folder of PNGs."""

    finished: bool

    @property
    def done(self) -> frozenset[str]: ...

    @property
    def failures(self) -> Mapping[str, str]: ...

    def finish(self) -> bool: ...


def check_inputs_stay(
    out: Path | str | None, inputs: Iterable[Path | str | None], another: str = "choose another --out"
) -> None:
    """UsageError if what is written would take the place of something that is read, by whatever name or link.

    Every command that writes asks this, be it a store, a folder, a picture or a checkpoint. `another`: what to do.
    """
    if out is None or Path(out) == STANDARD_OUTPUT or not exists(Path(out)):
        return
    there = os.path.realpath(out)
    if there in {os.path.realpath(path) for path in inputs if path is not None}:
        raise UsageError(f"{out} is both input and output; {another}")


@contextmanager
def open_output(
    output: Output,
    header: Header,
    ids: Sequence[str],
    shard: tuple[int, int] = (0, 1),
    *,
    inputs: Iterable[Path | str | None],
) -> Iterator[Writer]:
    """The writer of a stage. `inputs`: all files that the stage reads, none of which it may replace."""
    with (
        at_a_path(output, inputs) as (path, overwrite),
        Writer(path, header, ids, shard=shard, dtype=output.dtype, overwrite=overwrite) as writer,
    ):
        yield writer


@contextmanager
def at_a_path(
    output: Output, inputs: Iterable[Path | str | None] = (), *, send: bool = True
) -> Iterator[tuple[Path, bool]]:
    """Where to write, and whether over what is there, but over none of the `inputs`.

    A store for standard output is built in a temporary folder, and sent when the block has ended well, if `send`.
    """
    if output.out is not None and output.out != STANDARD_OUTPUT:
        check_store_name(output.out)
        check_inputs_stay(output.out, inputs)
        yield output.out, output.overwrite
        return
    if send:
        check_standard_output(output.out)
    with tempfile.TemporaryDirectory(prefix="camkit-") as folder:
        path = Path(folder) / "store.h5"
        yield path, False
        if send:
            send_store(path)


OTHER_FILES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".html", ".htm", ".csv", ".tsv", ".json", ".jsonl", ".npy", ".npz", ".pth",
     ".pt", ".safetensors", ".txt", ".zip", ".pdf")
)  # fmt: skip


def check_store_name(out: Path) -> None:
    """UsageError for the suffix of something else."""
    if out.suffix.lower() in OTHER_FILES:
        raise UsageError(f"--out {out}: a store is no {out.suffix} file; give a name that ends in .h5")


def check_standard_output(out: Path | None) -> None:
    """Raise unless a store can be sent there."""
    if out is None and not is_pipe_or_file(sys.stdout.fileno()):
        raise UsageError("where to? give --out FILE, or pipe the store into another camkit command")
    if sys.stdout.isatty():
        raise UsageError("a store is not for a terminal; give --out FILE, or pipe it into another camkit command")
    if "WORLD_SIZE" in os.environ:
        raise UsageError("ranks cannot share standard output; give --out FILE")


def is_pipe_or_file(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def write_activations(
    sink: ResumableSink,
    ids: Sequence[str],
    records: Callable[[Sequence[str]], Iterable[Record | Failure]],
    step: Step,
    *,
    description: str,
    runtime: Runtime,
    batch_size: int = 1,
    threads: int = 0,
    mixed: bool = False,
) -> Summary:
    """Run a step over those of the ids that the sink does not hold yet; `records` loads the ids it is given."""
    if sink.finished:
        return Summary(len(ids), already=len(ids), failures=sink.failures)
    todo = [id for id in ids if id not in sink.done]
    start = time.monotonic()
    if len(todo) < len(ids):
        log.info("continuing: %d of %d images are done", len(ids) - len(todo), len(ids))
    if todo:
        with show_progress(description, len(todo)) as progress:
            map_records(
                records(todo), step, sink,
                progress=progress, batch_size=batch_size, threads=threads, mixed=mixed, on_error=runtime.on_error,
            )  # fmt: skip
    complete = sink.finish()
    seconds = time.monotonic() - start
    return Summary(len(ids), len(ids) - len(todo), dict(sink.failures), complete, seconds)

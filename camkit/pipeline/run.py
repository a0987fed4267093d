"""The one image loop. A step goes over batches of records into a writer; a reducer is fed records one by one."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from camkit import signals
from camkit.errors import CamkitError, ImageError, StoreError
from camkit.pipeline.load import Failure, batches_by_size, load_ahead, mixed_batches
from camkit.pipeline.progress import Progress
from camkit.types import Activation, OnError, Record

log = logging.getLogger("camkit")

Step = Callable[[Sequence[Record]], Sequence[Activation]]
Result_co = TypeVar("Result_co", covariant=True)


class Sink(Protocol):
    """Where activations go: a store's writer, or a folder of PNGs."""

    def write(self, activation: Activation) -> None: ...

    def fail(self, id: str, message: str) -> None: ...


class Reducer(Protocol[Result_co]):
    """What a fold feeds: bounded state, one record at a time."""

    def update(self, record: Record) -> None: ...

    def compute(self) -> Result_co: ...


class Mergeable(Reducer[Result_co], Protocol[Result_co]):
    """Several that share the records give the same, merged, as one that is fed them all."""

    def merge(self, other: Any) -> None: ...


def map_records(
    records: Iterable[Record | Failure],
    step: Step,
    sink: Sink,
    *,
    progress: Progress,
    batch_size: int = 1,
    threads: int = 0,
    mixed: bool = False,
    on_error: OnError = "skip",
) -> None:
    """Run `step` over the records in batches of one photo size and hand every activation to the sink.

    mixed    batches are of all sizes
    threads  so many batches at once, for a step that lets go of the interpreter lock; 0: one after the other, here
    """
    room = Room()
    batches = (mixed_batches if mixed else batches_by_size)(records, batch_size)
    for results in load_ahead(batches, partial(_run_step, step, room), workers=threads):
        signals.check()
        for result in results:
            failure = _write(sink, result) if isinstance(result, Activation) else result
            if failure is not None:
                _report(failure, on_error)
                sink.fail(failure.id, str(failure.error))
            progress.advance()


def fold_records(
    records: Iterable[Record | Failure],
    reducer: Reducer[Result_co],
    *,
    progress: Progress,
    on_error: OnError = "skip",
    others: Sequence[Mergeable[Result_co]] = (),
) -> tuple[Result_co, Mapping[str, str]]:
    """Feed every record to the reducer: its result, and the failures by id.

    others  empty ones like it, for a thread each; at the end they are merged
    """
    failures: dict[str, str] = {}
    idle = deque([reducer, *others])

    def feed(item: Record | Failure) -> Failure | None:
        if isinstance(item, Failure):
            return item
        one = idle.popleft()
        try:
            return _update(one, item)
        finally:
            idle.append(one)

    for failure in load_ahead(records, feed, workers=len(others)):
        signals.check()
        if failure is not None:
            _report(failure, on_error)
            failures[failure.id] = str(failure.error)
        progress.advance()
    for other in others:
        other.merge(reducer)
        reducer = other
    return reducer.compute(), failures


@dataclass
class Room:
    """How many photos at once memory has held; None: all that came."""

    photos: int | None = None

    def shrink(self, failed: int) -> None:
        self.photos = min(self.photos or failed, max(failed // 2, 1))
        log.warning("out of memory with %d photos at once; going on with %d (see --batch-size)", failed, self.photos)
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _run_step(step: Step, room: Room, batch: Sequence[Record] | Failure) -> Sequence[Activation | Failure]:
    """The step on a batch, in parts where memory is short; if it fails, on each record, to find the one to blame."""
    if isinstance(batch, Failure):
        return [batch]
    if room.photos is not None and len(batch) > room.photos:
        return _in_parts(step, room, batch, room.photos)
    try:
        return step(batch)
    except Exception as error:
        if not isinstance(error, CamkitError | MemoryError | RuntimeError):
            error.add_note(f"while computing {', '.join(record.id for record in batch)}")
            raise
        failure = Failure(batch[0].id, _explain(error, batch[0]))
        short = _is_out_of_memory(error)
    # Outside the block: the exception holds on to the failed batch's tensors.
    if len(batch) == 1:
        return [failure]
    if short:
        room.shrink(len(batch))
    return _in_parts(step, room, batch, len(batch) // 2 if short else 1)


def _in_parts(step: Step, room: Room, batch: Sequence[Record], size: int) -> Sequence[Activation | Failure]:
    parts = [batch[start : start + size] for start in range(0, len(batch), size)]
    return [result for part in parts for result in _run_step(step, room, part)]


def _explain(error: Exception, record: Record) -> CamkitError:
    """Of the errors of torch, which sees an image it cannot work on, the first line."""
    if isinstance(error, CamkitError):
        return error
    height, width = record.size
    if _is_out_of_memory(error):
        return ImageError(
            f"out of memory on an image of {width}x{height}; use a smaller --resize, fewer --scales or fewer --workers"
        )
    first_line = (str(error) or type(error).__name__).splitlines()[0]
    return ImageError(f"the network fails on this image of {width}x{height}: {first_line}")


def _write(sink: Sink, activation: Activation) -> Failure | None:
    """A store refuses values that are not numbers: that is a failure of the image. A full disk is not."""
    try:
        sink.write(activation)
    except StoreError as error:
        return Failure(activation.id, error)
    return None


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and "memory" in str(error) and "alloc" in str(error)


def _update(reducer: Reducer[Result_co], record: Record) -> Failure | None:
    try:
        reducer.update(record)
    except CamkitError as error:
        return Failure(record.id, error)
    return None


def _report(failure: Failure, on_error: OnError) -> None:
    if on_error == "stop":
        raise type(failure.error)(f"{failure.id}: {failure.error}")
    log.warning("%s: %s", failure.id, failure.error)

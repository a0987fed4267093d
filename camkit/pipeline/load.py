"""Decoding ahead of compute, and batches of photos of one size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from camkit import signals
from camkit.defaults import MIXED_PIXELS
from camkit.errors import CamkitError
from camkit.types import Record, Size

Request = TypeVar("Request")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be loaded or computed, and why."""

    id: str
    error: CamkitError


def load_ahead(
    requests: Iterable[Request], load: Callable[[Request], Loaded], *, workers: int, ahead: int = 2
) -> Iterator[Loaded]:
    """Load in threads, in the order of the requests, at most `workers + ahead` before the consumer asks.

    Pillow and NumPy let go of the interpreter lock while they decode, so threads suffice. Requests are drawn in the
    caller's thread: that is where stores are read. An exception other than a `Failure` surfaces at its turn.
    """
    if workers <= 0:
        for request in requests:
            signals.check()
            yield load(request)
        return
    pending: deque[Future[Loaded]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="camkit-load")
    try:
        for request in requests:
            signals.check()
            pending.append(pool.submit(load, request))
            if len(pending) > workers + ahead:
                yield pending.popleft().result()
        while pending:
            signals.check()
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def batches_by_size(
    items: Iterable[Record | Failure], batch_size: int, waiting: int = 4
) -> Iterator[list[Record] | Failure]:
    """Group photos of equal size; at most `waiting` batches' worth of photos wait for others of their size."""
    buckets: dict[tuple[Size, tuple[int, ...]], list[Record]] = {}
    held = 0
    for item in items:
        if isinstance(item, Failure):
            yield item
            continue
        key = (item.size, () if item.image is None else item.image.shape)
        bucket = buckets.setdefault(key, [])
        bucket.append(item)
        held += 1
        if len(bucket) == batch_size:
            held -= batch_size
            yield buckets.pop(key)
        elif held >= waiting * batch_size:
            oldest = next(iter(buckets))
            held -= len(buckets[oldest])
            yield buckets.pop(oldest)
    yield from buckets.values()


def mixed_batches(items: Iterable[Record | Failure], batch_size: int) -> Iterator[list[Record] | Failure]:
    """Group photos as they come, as many as hold MIXED_PIXELS at most."""
    batch: list[Record] = []
    pixels = 0
    for item in items:
        if isinstance(item, Failure):
            yield item
            continue
        more = 0 if item.image is None else item.image.shape[0] * item.image.shape[1]
        if batch and (len(batch) == batch_size or pixels + more > MIXED_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(item)
        pixels += more
    if batch:
        yield batch


def usable_cores() -> int:
    """Those that this process may use, which are fewer than the machine's in a batch job."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

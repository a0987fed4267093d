"""`camkit superpixels`: every photo cut into regions of one colour, once for all who need them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib import metadata
from typing import Any

from camkit.defaults import WORKERS
from camkit.errors import ImageError, InputError
from camkit.methods.superpixels import Felzenszwalb, segment
from camkit.pipeline.load import Failure, load_ahead
from camkit.pipeline.output import Output, Runtime, Summary, open_output, write_activations
from camkit.pipeline.photos import ViewSize, load_photos
from camkit.pipeline.select import Inputs, Selection, select
from camkit.store.provenance import stage
from camkit.store.schema import Header
from camkit.types import Activation, Record, no_classes

FELZENSZWALB = Felzenszwalb()

Item = Record | Failure
Segment = Callable[[Item], Item]


def superpixels(
    inputs: Inputs,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    method: Felzenszwalb = FELZENSZWALB,
    resize: str | None = None,
) -> Summary:
    """Write the superpixels of every photo.

    resize           longer side of the photo as it is cut up: N, `native`, or None: native up to 1,000 px
    runtime.workers  processes, started anew: a script of your own needs its `if __name__ == "__main__"`. 0: none
    """
    selection = select(inputs, (), need_labels=False)
    view = ViewSize.parse(resize)
    header = Header(
        kind="superpixels",
        classes=(),
        image_root=str(selection.images.root.resolve()),
        provenance=_provenance(method, view, selection),
    )
    with open_output(output, header, selection.ids, selection.shard) as sink:
        return write_activations(
            sink,
            selection.own_ids,
            partial(segmented_photos, selection=selection, view=view, method=method, workers=runtime.workers),
            _found_in,
            description="superpixels",
            runtime=runtime,
        )


def _provenance(method: Felzenszwalb, view: ViewSize, selection: Selection) -> dict[str, Any]:
    parameters = {"scale": method.scale, "sigma": method.sigma, "min_size": method.min_size, "resize": str(view)}
    images = {name: value for name, value in selection.describe().items() if name != "labels"}  # not asked for
    provenance = stage("superpixels", parameters, selection=images)
    provenance["versions"]["scikit-image"] = metadata.version("scikit-image")
    return provenance


def segmented_photos(
    ids: Sequence[str], selection: Selection, view: ViewSize, method: Felzenszwalb, *, workers: int
) -> Iterator[Item]:
    """Records with the superpixels as what is upstream: decoded in threads, cut up in processes."""
    photos = load_photos(ids, selection, view, workers=min(workers, WORKERS))
    work = partial(segment_photo, method=method)
    if workers == 0:
        return map(work, photos)
    return in_processes(photos, work, workers)


def segment_photo(photo: Item, method: Felzenszwalb) -> Item:
    """The photo is left behind, its superpixels go on."""
    if isinstance(photo, Failure):
        return photo
    assert photo.image is not None
    try:
        found = segment(photo.image, photo.size, method)
    except MemoryError:
        height, width = photo.size
        return Failure(photo.id, ImageError(f"out of memory on an image of {width}x{height}; use a smaller --resize"))
    except Exception as error:
        error.add_note(f"while computing {photo.id}")
        raise
    return Record(photo.id, photo.size, upstream=Activation(photo.id, found, no_classes(), photo.size))


def _found_in(batch: Sequence[Record]) -> list[Activation]:
    return [record.upstream for record in batch if record.upstream is not None]


def in_processes(photos: Iterable[Item], work: Segment, workers: int) -> Iterator[Item]:
    """In the order of the photos. Felzenszwalb's method holds the interpreter lock: threads only wait for processes."""
    fresh = multiprocessing.get_context("spawn")  # a fork would share this process's locks and open files
    with ProcessPoolExecutor(workers, mp_context=fresh, initializer=_end_with_parent) as pool:
        yield from load_ahead(photos, partial(_in_process, pool=pool, work=work), workers=workers)


def _in_process(photo: Item, pool: ProcessPoolExecutor, work: Segment) -> Item:
    if isinstance(photo, Failure):
        return photo
    # A process begun by this thread inherits that Ctrl-C is not meant for it: it ends when this one has ended the pool.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(work, photo).result()
    except BrokenProcessPool:
        raise InputError(
            f"{photo.id}, or one of the next few: the process at work on it was killed, for want of memory perhaps\n"
            "run again with fewer --workers or a smaller --resize; it goes on where it stopped"
        ) from None


def _end_with_parent() -> None:
    """In a worker: a parent that is killed tells nobody, and without this its workers would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

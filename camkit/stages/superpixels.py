"""`camkit superpixels`: every photo cut into regions of one colour, once for all who need them; and their merging."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

from camkit.defaults import WORKERS
from camkit.errors import ImageError, InputError, UsageError
from camkit.methods.superpixels import Felzenszwalb, segment
from camkit.pipeline.device import Device, choose_device, inference
from camkit.pipeline.load import Failure, load_ahead
from camkit.pipeline.output import Output, Runtime, Summary, open_output, write_activations
from camkit.pipeline.photos import ViewSize, load_photos
from camkit.pipeline.run import Step
from camkit.pipeline.select import Inputs, Selection, select
from camkit.stages.network import Network, describe_checkpoint, load_network, stack_images
from camkit.store.provenance import stage
from camkit.store.schema import Header
from camkit.types import Activation, Classifier, Record, no_classes

if TYPE_CHECKING:
    from pathlib import Path

    from camkit.methods.merging import Merging, Pairs

FELZENSZWALB = Felzenszwalb()

Item = Record | Failure
Segment = Callable[[Item], Item]


@dataclass(frozen=True)
class MergeBy:
    """How superpixels are merged, and by which network's features, of which of its layers (None: the last)."""

    merging: Merging
    network: Network
    layer: str | None = None


def merge_by(
    most: int | None, ckpt: Path | None, layer: str | None, pairs: Pairs,
    arch: str | None, model: str | None, output_stride: int | None, runtime: Runtime = Runtime(),
) -> MergeBy | None:  # fmt: skip
    """Of options; UsageError for those that have no effect, or for want of another."""
    given = {
        "--ckpt": ckpt is not None, "--layer": layer is not None, "--merge-pairs": pairs != "adjacent",
        "--arch": arch is not None, "--model": model is not None, "--output-stride": output_stride is not None,
        "--device": runtime.device != "auto", "--precision": runtime.precision != "auto",
        "--batch-size": runtime.batch_size is not None,
    }  # fmt: skip
    if most is None and any(given.values()):
        raise UsageError(f"{next(name for name in given if given[name])} is for merging: give --merge N too")
    if most is None:
        return None
    if ckpt is None:
        raise UsageError(f"--merge {most} goes by a network's features: give --ckpt, any classifier checkpoint")
    from camkit.methods.merging import Merging

    return MergeBy(Merging(most, pairs), Network(ckpt, arch, model, output_stride), layer)


@dataclass(frozen=True)
class Finish:
    """What is done with a photo's superpixels in this process, and what the provenance says of it."""

    step: Step
    keep_photo: bool = False
    batch_size: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] | None = None


def superpixels(
    inputs: Inputs,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    method: Felzenszwalb = FELZENSZWALB,
    merge: MergeBy | None = None,
    resize: str | None = None,
) -> Summary:
    """Write the superpixels of every photo.

    merge            by the features of a network, which sees the photo at the size it is cut up at; None: not at all
    resize           longer side of the photo as it is cut up: N, `native`, or None: native up to 1,000 px
    runtime.workers  processes, started anew: a script of your own needs its `if __name__ == "__main__"`. 0: none
    """
    selection = select(inputs, (), need_labels=False)
    view = ViewSize.parse(resize)
    read = [*inputs.files, merge.network.ckpt if merge else None]
    finish = Finish(_found_in) if merge is None else merging_finish(merge, runtime)
    header = Header(
        kind="superpixels",
        classes=(),
        image_root=str(selection.images.root.resolve()),
        provenance=_provenance(method, view, selection, finish),
    )
    segmented = partial(
        segmented_photos, selection=selection, view=view, method=method, workers=runtime.workers,
        keep_photo=finish.keep_photo,
    )  # fmt: skip
    with open_output(output, header, selection.ids, selection.shard, inputs=read) as sink:
        return write_activations(
            sink,
            selection.own_ids,
            segmented,
            finish.step,
            description="superpixels",
            runtime=runtime,
            batch_size=finish.batch_size,
        )


def _provenance(method: Felzenszwalb, view: ViewSize, selection: Selection, finish: Finish) -> dict[str, Any]:
    parameters = {**asdict(method), "resize": str(view), **finish.parameters}
    images = {name: value for name, value in selection.describe().items() if name != "labels"}  # not asked for
    provenance = stage("superpixels", parameters, checkpoint=finish.checkpoint, selection=images)
    provenance["versions"]["scikit-image"] = metadata.version("scikit-image")
    return provenance


def merging_finish(by: MergeBy, runtime: Runtime) -> Finish:
    from camkit.methods.layers import check_layer

    device = choose_device(runtime.device, runtime.precision)
    loaded = load_network(by.network, device)
    check_layer(loaded.network, by.layer)
    parameters = {
        "merge": by.merging.most,
        "merge_pairs": by.merging.pairs,
        "layer": by.layer or "the last",
        "output_stride": loaded.output_stride,
        "precision": device.precision,
    }
    step = partial(merged_of_batch, classifier=loaded.network, device=device, layer=by.layer, merging=by.merging)
    return Finish(step, True, device.batch_size(runtime.batch_size), parameters, describe_checkpoint(loaded))


def merged_of_batch(
    batch: Sequence[Record], *, classifier: Classifier, device: Device, layer: str | None, merging: Merging
) -> list[Activation]:
    """The superpixels that records hold as upstream, merged by the features of their photos, which are of one size."""
    from camkit.methods.layers import layer_features
    from camkit.methods.merging import merge, region_features

    with inference(device):
        features = layer_features(stack_images(batch, device), classifier, layer).float().cpu().numpy()
    results = []
    for record, plane in zip(batch, features, strict=True):
        assert record.upstream is not None
        regions = record.upstream.values
        results.append(replace(record.upstream, values=merge(regions, region_features(plane, regions), merging)))
    return results


def segmented_photos(
    ids: Sequence[str], selection: Selection, view: ViewSize, method: Felzenszwalb, *, workers: int, keep_photo: bool
) -> Iterator[Item]:
    """Records with the superpixels as what is upstream: decoded in threads, cut up in processes."""
    photos = load_photos(ids, selection, view, workers=min(workers, WORKERS))
    work = partial(segment_photo, method=method, keep_photo=keep_photo)
    if workers == 0:
        return map(work, photos)
    return in_processes(photos, work, workers)


def segment_photo(photo: Item, method: Felzenszwalb, keep_photo: bool = False) -> Item:
    """The photo is left behind, unless it is to be kept; its superpixels go on."""
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
    activation = Activation(photo.id, found, no_classes(), photo.size)
    return Record(photo.id, photo.size, photo.image if keep_photo else None, upstream=activation)


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

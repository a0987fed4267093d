"""`camkit superpixels`: every photo cut into regions of one colour, once for all who need them; and their merging."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

from camkit.defaults import WORKERS
from camkit.errors import UsageError
from camkit.methods.superpixels import segment
from camkit.pipeline.device import Device, choose_device, inference
from camkit.pipeline.output import Output, Runtime, Summary, open_output, write_activations
from camkit.pipeline.photos import ViewSize, load_photos, view_size
from camkit.pipeline.run import Step
from camkit.pipeline.select import Inputs, Selection, select
from camkit.settings.superpixels import Felzenszwalb, Merging, Pairs
from camkit.stages.network import Network, describe_checkpoint, load_network, stack_images
from camkit.store.provenance import stage
from camkit.store.schema import Header
from camkit.types import Activation, Classifier, LongerSide, Record, no_classes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

FELZENSZWALB = Felzenszwalb()


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
    return MergeBy(Merging(most, pairs), Network(ckpt, arch, model, output_stride), layer)


def superpixels(
    inputs: Inputs,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    method: Felzenszwalb = FELZENSZWALB,
    merge: MergeBy | None = None,
    resize: LongerSide | None = None,
) -> Summary:
    """Write the superpixels of every photo.

    merge            by the features of a network, which sees the photo at the size it is cut up at; None: not at all
    resize           longer side of the photo as it is cut up: a number, "native", or None: native up to 1,000 px
    runtime.workers  so many photos at once
    """
    selection = select(inputs, (), need_labels=False)
    view = view_size(resize)
    read = [*inputs.files, merge.network.ckpt if merge else None]
    with ExitStack() as stack:
        plan = Plan(partial(superpixels_of_batch, method=method))
        if merge is not None:
            plan = merging_plan(merge, method, runtime, stack.enter_context(ThreadPoolExecutor(1)))
        header = Header(
            kind="superpixels",
            classes=(),
            image_root=str(selection.images.root.resolve()),
            provenance=_provenance(method, view, selection, plan),
        )
        sink = stack.enter_context(open_output(output, header, selection.ids, selection.shard, inputs=read))
        return write_activations(
            sink,
            selection.own_ids,
            partial(load_photos, selection=selection, view=view, workers=min(runtime.workers, WORKERS)),
            plan.step,
            description="superpixels",
            runtime=runtime,
            batch_size=plan.batch_size,
            threads=runtime.workers,
        )


@dataclass(frozen=True)
class Plan:
    """What is done with photos, and what the provenance says of it."""

    step: Step
    batch_size: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] | None = None


def _provenance(method: Felzenszwalb, view: ViewSize, selection: Selection, plan: Plan) -> dict[str, Any]:
    parameters = {**asdict(method), "resize": str(view), **plan.parameters}
    images = {name: value for name, value in selection.describe().items() if name != "labels"}  # not asked for
    provenance = stage("superpixels", parameters, checkpoint=plan.checkpoint, selection=images)
    provenance["versions"]["scipy"] = metadata.version("scipy")  # smooths the photos
    return provenance


def merging_plan(by: MergeBy, method: Felzenszwalb, runtime: Runtime, network_thread: Executor) -> Plan:
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
    features = partial(features_of_batch, classifier=loaded.network, device=device, layer=by.layer)
    step = partial(merged_of_batch, method=method, merging=by.merging, features=features, network_thread=network_thread)
    return Plan(step, device.batch_size(runtime.batch_size), parameters, describe_checkpoint(loaded))


def superpixels_of_batch(batch: Sequence[Record], *, method: Felzenszwalb) -> list[Activation]:
    """Felzenszwalb's method lets go of the interpreter lock: several photos are cut up at once."""
    made = []
    for record in batch:
        assert record.image is not None
        made.append(Activation(record.id, segment(record.image, record.size, method), no_classes(), record.size))
    return made


def merged_of_batch(
    batch: Sequence[Record],
    *,
    method: Felzenszwalb,
    merging: Merging,
    features: Callable[[Sequence[Record]], np.ndarray],
    network_thread: Executor,
) -> list[Activation]:
    """Superpixels of photos of one size, merged by their features.

    The network runs in a thread of its own: torch keeps a team of threads for each that calls it.
    """
    from camkit.methods.merging import merge, region_features

    found = network_thread.submit(features, batch)
    made = superpixels_of_batch(batch, method=method)
    return [
        replace(one, values=merge(one.values, region_features(plane, one.values), merging))
        for one, plane in zip(made, found.result(), strict=True)
    ]


def features_of_batch(
    batch: Sequence[Record], *, classifier: Classifier, device: Device, layer: str | None
) -> np.ndarray:
    """[B, D, h, w] of photos of one size."""
    from camkit.methods.layers import layer_features

    with inference(device):
        return layer_features(stack_images(batch, device), classifier, layer).float().cpu().numpy()

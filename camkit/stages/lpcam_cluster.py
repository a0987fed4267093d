"""`camkit lpcam-cluster`: LPCAM's prototypes, the centres of what the features of each class look like."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit import memory
from camkit.data.images import ImageSet
from camkit.data.labels import Labels
from camkit.data.reading import examples
from camkit.errors import CamkitError, ImageError, InputError, StoreError, UsageError
from camkit.methods.sampling import priorities
from camkit.pipeline.device import Device, choose_device, inference
from camkit.pipeline.load import Failure
from camkit.pipeline.output import STANDARD_OUTPUT, Output, Runtime, Summary, at_a_path, write_activations
from camkit.pipeline.photos import ViewSize, load_photos, view_size
from camkit.pipeline.select import Inputs, Selection, predicted_classes, say_predicted, select
from camkit.pipeline.upstream import Sources, history_of, name_of_input, open_input, paths_of
from camkit.settings.lpcam import PRESETS, Clustering, Hyperparameters, check_context
from camkit.stages.lpcam_centres import cluster_sample
from camkit.stages.lpcam_gather import SampleWriter
from camkit.stages.lpcam_sample import Budget, memory_text
from camkit.stages.network import Network, classes_of, describe_checkpoint, load_network, stack_images
from camkit.stages.prototypes import class_difference
from camkit.store.prototypes import PrototypeStore
from camkit.store.provenance import stage
from camkit.store.reader import Reader
from camkit.store.schema import Header
from camkit.types import Activation, Classifier, LongerSide, Record

if TYPE_CHECKING:
    import torch

    from camkit.models.classifier import LoadedClassifier

log = logging.getLogger("camkit")


def lpcam_cluster(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    settings: Hyperparameters = PRESETS["voc"],
    clustering: Clustering = Clustering(),
    maps: Sources | None = None,
    resize: LongerSide | None = None,
) -> Summary:
    """Cluster the local features of each class: a prototypes store.

    maps      a store whose maps say what is foreground, and which classes an image has; None: CAM of the same features
    resize    longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    """
    check_call(inputs, output, settings, clustering, maps)
    device = choose_device(runtime.device, runtime.precision)
    loaded = load_network(network, device)
    weight = loaded.network.weight.detach().float()
    budget = Budget(memory.parse("--memory", clustering.memory), weight.shape[1])
    budget.check(2 * loaded.num_classes, settings.clusters)
    view = view_size(resize, loaded.input_size)
    classes = classes_of(loaded, inputs.classes)
    with ExitStack() as stack:
        store = None if maps is None else stack.enter_context(open_maps(maps, classes))
        selection = select_images(inputs, classes, store)
        if clustering.per_class is not None:
            selection = drawn_images(selection, clustering.per_class, clustering.seed)
        parameters = {
            **asdict(settings),
            **asdict(clustering),
            "memory": memory_text(budget.memory),
            "map_resize": None if store is None else clustering.map_resize or "bilinear",
            "resize": str(view),
            "output_stride": loaded.output_stride,
            "precision": device.precision,
            "score_threshold": inputs.score_threshold if selection.labels is None else None,
        }
        header = _header(parameters, loaded, selection, store)
        path, overwrite = stack.enter_context(
            at_a_path(output, [*inputs.files, network.ckpt, *(store.paths if store else [])])
        )
        sink = SampleWriter(
            path, header, selection.ids, budget, seed=clustering.seed, shard=selection.shard, overwrite=overwrite
        )
        stack.enter_context(sink)
        summary = write_activations(
            sink,
            selection.own_ids,
            partial(records_with_maps, selection=selection, store=store, view=view, workers=runtime.workers),
            partial(
                features_of_batch,
                classifier=loaded.network,
                device=device,
                threshold=settings.threshold,
                score_threshold=inputs.score_threshold,
                nearest=clustering.map_resize == "nearest",
            ),
            description="lpcam-cluster",
            runtime=runtime,
            batch_size=device.batch_size(runtime.batch_size),
        )
        if sink.finished or not summary.complete:
            return summary
        start, sample = time.monotonic(), sink.sample()
        of_class = cluster_sample(sample, weight, classes, settings, clustering.rounds, clustering.seed)
        sink.publish(PrototypeStore(header, of_class, budget.channels, sample.failures))
    return replace(summary, already=0, seconds=summary.seconds + time.monotonic() - start)


def check_call(
    inputs: Inputs, output: Output, settings: Hyperparameters, clustering: Clustering, maps: Sources | None
) -> None:
    """UsageError for what would come to light only when all images are seen, or not at all."""
    check_context(settings)
    if maps is None and clustering.map_resize is not None:
        raise UsageError("--map-resize is about the maps of --maps; leave it out")
    if inputs.shard is not None and inputs.shard[1] > 1 and output.out in (None, STANDARD_OUTPUT):
        raise UsageError("shards are gathered beside the store they share, not on standard output; give --out FILE")


def _header(
    parameters: Mapping[str, Any], loaded: LoadedClassifier, selection: Selection, store: Reader | None
) -> Header:
    return Header(
        kind="prototypes",
        classes=selection.classes,
        image_root=str(selection.images.root.resolve()),
        provenance=stage(
            "lpcam-cluster",
            {name: value for name, value in parameters.items() if value is not None},
            checkpoint=describe_checkpoint(loaded),
            selection=selection.describe(),
            parents=[] if store is None else [history_of(store)],
        ),
    )


@contextmanager
def open_maps(maps: Sources, classes: tuple[str, ...]) -> Iterator[Reader]:
    """A maps store about the classifier's classes."""
    paths = paths_of(maps)
    with open_input(paths) as store:
        name = name_of_input(paths)
        if not store.header.holds.thresholded:
            raise UsageError(f"--maps {name} holds {store.header.kind}; give a store of maps")
        if store.header.classes != classes:
            how = class_difference(store.header.classes, classes)
            raise StoreError(f"{name} is about other classes than the classifier has: {how}")
        yield store


def select_images(inputs: Inputs, classes: tuple[str, ...], store: Reader | None) -> Selection:
    """The images and their labels; with a maps store, those of its images and classes."""
    if store is None:
        selection = select(inputs, classes)
        if selection.labels is None:
            say_predicted(inputs)
        return selection
    name = ", ".join(store.names)
    if inputs.labels is not None:
        raise UsageError("--labels and --maps: the maps say which classes an image has; leave out one of them")
    selection = select(inputs, classes, need_labels=False)
    present = {id: tuple(store.inspect(id)[1].tolist()) for id in selection.ids if id in store}
    if not present:
        raise InputError(f"{name} has no maps of the images: looked for {examples(selection.ids)}")
    if len(present) < len(selection.ids):
        log.info("left out: %d images of which %s has no maps", len(selection.ids) - len(present), name)
    return replace(
        selection, images=_only(selection.images, present), labels=Labels(f"the classes of the maps ({name})", present)
    )


def drawn_images(selection: Selection, count: int, seed: int) -> Selection:
    """At most so many images of each class; an image counts for the classes it was drawn for."""
    if selection.labels is None:
        raise UsageError("--per-class needs labels (--labels, or --maps): classes that are predicted are not known yet")
    images_of: dict[int, list[str]] = {}
    for id in selection.ids:
        for number in selection.labels.present.get(id, ()):
            images_of.setdefault(number, []).append(id)
    present: dict[str, list[int]] = {}
    for number, ids in sorted(images_of.items()):
        drawn = {id: priorities(seed, id, -1 - number, 1)[0] for id in ids}  # below 0: other numbers than its cells'
        for id in sorted(ids, key=lambda id: (drawn[id], id))[:count]:
            present.setdefault(id, []).append(number)
    labels = replace(selection.labels, present={id: tuple(present[id]) for id in selection.ids if id in present})
    return replace(selection, images=_only(selection.images, labels.present), labels=labels)


def _only(images: ImageSet, ids: Mapping[str, Any]) -> ImageSet:
    return replace(images, paths={id: path for id, path in images.paths.items() if id in ids})


def records_with_maps(
    ids: Sequence[str], selection: Selection, store: Reader | None, view: ViewSize, *, workers: int
) -> Iterator[Record | Failure]:
    """Photos, each with its maps where they come from a store."""
    for record in load_photos(ids, selection, view, workers=workers):
        if store is None or isinstance(record, Failure):
            yield record
            continue
        try:
            upstream = store.read(record.id)
            if tuple(upstream.size) != tuple(record.size):
                raise ImageError(
                    f"the photo is {record.size[1]}x{record.size[0]}, but its maps are about "
                    f"{upstream.size[1]}x{upstream.size[0]}; give --images the photos they were made from"
                )
        except CamkitError as error:
            yield Failure(record.id, error)
        else:
            yield replace(record, upstream=upstream)


def features_of_batch(
    batch: Sequence[Record],
    *,
    classifier: Classifier,
    device: Device,
    threshold: float,
    score_threshold: float,
    nearest: bool,
) -> list[Activation]:
    """Features of photos of one size, [D + C, h, w]: then for each class 1 where it is foreground, else 0."""
    import torch

    from camkit.methods.lpcam import foreground_cells
    from camkit.methods.response import network_input

    with inference(device):
        features = classifier.features(network_input(stack_images(batch, device), classifier))
        scores = classifier.pool(features).float().sigmoid().cpu().numpy()
        made = []
        for record, found, row in zip(batch, features.float(), scores, strict=True):
            classes = predicted_classes(row, score_threshold) if record.classes is None else record.classes
            values = found
            if len(classes):
                maps = maps_of(record, found, classes, classifier.weight.float())
                grid = found.shape[1], found.shape[2]
                foreground = foreground_cells(maps, grid, threshold, nearest=nearest)[0]
                values = torch.cat([found, foreground.to(found.dtype)])
            made.append(Activation(record.id, values.cpu().numpy(), classes, record.size))
    return made


def maps_of(record: Record, features: torch.Tensor, classes: np.ndarray, weight: torch.Tensor) -> torch.Tensor:
    """[1, C, h, w] in [0, 1]: those of the store, else CAM of the features [D, h, w]."""
    import torch

    from camkit.methods.cam import class_maps
    from camkit.methods.response import normalise

    if record.upstream is not None:
        maps = record.upstream.values[np.isin(record.upstream.classes, classes)]
        return torch.from_numpy(maps).to(features.device)[None]
    wanted = torch.from_numpy(np.asarray(classes, np.int64)).to(features.device)[None]
    return normalise(class_maps(features[None], weight, wanted))

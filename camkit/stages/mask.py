"""`camkit mask`: activation maps to segmentation masks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from camkit.defaults import MASK_THRESHOLD
from camkit.errors import UsageError
from camkit.evaluate.resize import upsample
from camkit.methods.seeds import mask_of_maps, mask_of_probs
from camkit.pipeline.mask_folder import MaskFolder
from camkit.pipeline.output import (
    STANDARD_OUTPUT,
    Output,
    ResumableSink,
    Runtime,
    Summary,
    open_output,
    write_activations,
)
from camkit.pipeline.run import Step
from camkit.pipeline.select import shard_of_environment
from camkit.pipeline.upstream import Sources, history_of, name_of_input, open_input, paths_of, stored_records
from camkit.store.provenance import stage
from camkit.store.reader import Reader
from camkit.store.schema import Header, shard_ids
from camkit.types import Activation, Record, no_classes

log = logging.getLogger("camkit")


def mask(
    sources: Sources,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    threshold: float | None = None,
    png: Path | str | None = None,
) -> Summary:
    """Write a mask for every image of a store: to a masks store, or as palette PNGs into the folder `png`.

    threshold  of a maps store: a pixel is the class with the largest map where that is above, else background (0.3)
    """
    paths = paths_of(sources)
    out = None if output.out in (None, STANDARD_OUTPUT) else output.out
    if out is not None and out.resolve() in [path.resolve() for path in paths]:
        raise UsageError(f"{out} is both input and output; choose another --out")
    with open_input(paths) as store:
        if threshold is not None and store.header.kind != "maps":
            raise UsageError(f"--threshold is for maps, but {name_of_input(paths)} holds {store.header.kind}")
        threshold = MASK_THRESHOLD if threshold is None else threshold
        step = step_for(store, threshold)
        parameters = {"threshold": threshold} if store.header.kind == "maps" else {}
        header = Header(
            kind="masks",
            classes=store.header.classes,
            image_root=store.header.image_root,
            provenance=stage("mask", parameters, parents=[history_of(store)]),
        )
        if store.failures:
            log.warning("%d images had failed before and have no masks (camkit info --failures)", len(store.failures))
        shard = shard_of_environment()
        ids = shard_ids(store.ids, shard)
        sinks: AbstractContextManager[ResumableSink]
        if png is not None:
            sinks = MaskFolder(Path(png), header, ids, overwrite=output.overwrite)
        else:
            sinks = open_output(output, header, store.ids, shard)
        with sinks as sink:
            return write_activations(
                sink,
                ids,
                partial(stored_records, store=store),
                step,
                description="mask",
                runtime=runtime,
            )


def step_for(store: Reader, threshold: float) -> Step:
    """How masks are made of what the store holds."""
    kind, classes = store.header.kind, len(store.header.classes)
    if kind not in ("maps", "probs", "masks"):
        raise UsageError(f"a {kind} store has nothing to make masks of; camkit mask takes maps, probs or masks")
    return partial(masks_of_batch, kind=kind, threshold=threshold, num_classes=classes)


def masks_of_batch(batch: Sequence[Record], *, kind: str, threshold: float, num_classes: int) -> list[Activation]:
    masks = []
    for record in batch:
        assert record.upstream is not None
        values, classes, size = record.upstream.values, record.upstream.classes, record.size
        if kind == "maps":
            values = mask_of_maps(upsample(values, size), classes, threshold, num_classes)
        elif kind == "probs":
            values = mask_of_probs(upsample(values, size), classes, num_classes)
        masks.append(Activation(record.id, values, no_classes(), size))
    return masks

"""Labels that affinity networks learn from, made of a maps store by two CRFs: a masks store, undecided where unsure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from camkit.data.images import ImageSet
from camkit.errors import CamkitError, ImageError
from camkit.evaluate.resize import upsample
from camkit.methods.icd_seeds import positive_part
from camkit.methods.seeds import mask_labels
from camkit.methods.walk.confident import Confidence, confident_labels
from camkit.pipeline.load import Failure
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.upstream import history_of, refine_store
from camkit.stages.crf import read_photo, refined_records, results_of_batch
from camkit.store.provenance import stage
from camkit.store.reader import Reader
from camkit.store.runs import shares_store
from camkit.store.schema import Header
from camkit.types import Activation, Record, no_classes

log = logging.getLogger("camkit")


def write_confident_labels(
    store: Reader,
    ids: Sequence[str],
    photos: ImageSet,
    out: Path,
    confidence: Confidence,
    runtime: Runtime,
    *,
    overwrite: bool,
) -> Summary:
    """Labels of the images of a maps or signed store; those that this very run has made before are kept."""
    root = str(photos.root.resolve())
    header = Header(
        kind="masks",
        classes=store.header.classes,
        image_root=root,
        provenance=stage(
            "confident labels", describe(confidence), selection={"images": root}, parents=[history_of(store)]
        ),
    )
    work = partial(label, photos=photos, confidence=confidence, num_classes=len(header.classes))
    records = partial(refined_records, store=store, work=work, workers=runtime.workers)
    output = Output(out, overwrite and not shares_store(out, header, ids))
    log.info("labels that are sure, by two CRFs of each photo: %s", out)
    return refine_store(store, header, output, runtime, records, results_of_batch, description="labels", ids=ids)


def describe(confidence: Confidence) -> dict[str, Any]:
    crf = confidence.crf
    return {
        **asdict(crf.parameters),
        "unary": crf.unary,
        **({"confidence": crf.confidence} if crf.unary == "hard" else {}),
        "foreground": confidence.foreground,
        "background": confidence.background,
    }


def label(
    record: Record | Failure, *, photos: ImageSet, confidence: Confidence, num_classes: int
) -> Record | Failure:  # fmt: skip
    """The labels in the place of what the store holds of the image."""
    if isinstance(record, Failure):
        return record
    assert record.upstream is not None
    maps, classes = upsample(positive_part(record.upstream.values), record.size), record.upstream.classes
    try:
        found = confident_labels(read_photo(record.upstream, photos), maps, confidence)
    except CamkitError as error:
        return Failure(record.id, error)
    except MemoryError:
        height, width = record.size
        return Failure(record.id, ImageError(f"out of memory on an image of {width}x{height}; use fewer --workers"))
    numbers = mask_labels(classes, num_classes)
    undecided = np.iinfo(numbers.dtype).max  # -1 takes the last place
    mask = np.append(numbers, undecided)[found].astype(numbers.dtype)
    return replace(record, upstream=Activation(record.id, mask, no_classes(), record.size))

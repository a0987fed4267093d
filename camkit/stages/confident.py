"""Labels that affinity networks learn from, made of a maps store by two CRFs: a masks store, undecided where unsure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from camkit.data.images import ImageSet
from camkit.errors import InputError
from camkit.methods.icd_seeds import positive_part
from camkit.methods.seeds import mask_labels
from camkit.methods.walk.confident import confident_labels
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.photos import missing_photo, read_photo
from camkit.pipeline.upstream import history_of, refine_store, stored_records
from camkit.settings.pairs import LEVELS, Confidence
from camkit.store.provenance import stage
from camkit.store.reader import Reader, open_store
from camkit.store.runs import shares_store
from camkit.store.schema import Header
from camkit.types import Activation, Record, no_classes
from camkit.upsample import upsample

log = logging.getLogger("camkit")


@dataclass(eq=False)
class Labels:
    """Of the images `ids` of a store: of a masks store those masks, else labels made of it, which are kept at `path`.

    failures  of the images that have none, known when the labels are opened
    """

    source: Reader
    ids: Sequence[str]
    photos: ImageSet
    path: Path
    confidence: Confidence
    runtime: Runtime
    overwrite: bool
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def given(self) -> bool:
        return self.source.header.holds.is_mask

    @contextmanager
    def opened(self, wait_for_all: Callable[[], None]) -> Iterator[Reader]:
        """wait_for_all: until every process has made its share."""
        if self.given:
            self.failures = self._without_photo()
            yield self.source
            return
        write_confident_labels(
            self.source, self.ids, self.photos, self.path, self.confidence, self.runtime, overwrite=self.overwrite
        )
        wait_for_all()
        with open_store(self.path) as store:
            self.failures = store.failures
            if not store.ids:
                raise InputError(f"no labels could be made of any of the {len(self.ids)} images; see {self.path}")
            yield store

    def _without_photo(self) -> dict[str, str]:
        gone = {id: missing_photo(self.photos) for id in self.ids if id not in self.photos.paths}
        for id, message in gone.items():
            if self.runtime.on_error == "stop":
                raise InputError(f"{id}: {message}")
            log.warning("%s: %s", id, message)
        return gone


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
    parameters = {**levels_of(confidence), **crf_of(confidence)}
    header = Header(
        kind="masks",
        classes=store.header.classes,
        image_root=root,
        provenance=stage("confident labels", parameters, selection={"images": root}, parents=[history_of(store)]),
    )
    step = partial(labels_of_batch, photos=photos, confidence=confidence, num_classes=len(header.classes))
    records = partial(stored_records, store=store)
    output = Output(out, overwrite and not shares_store(out, header, ids))
    log.info("labels that are sure, by two CRFs of each photo: %s", out)
    return refine_store(
        store, header, output, runtime, records, step, description="labels", ids=ids, threads=runtime.workers
    )


def levels_of(confidence: Confidence) -> dict[str, float]:
    foreground, background = LEVELS[confidence.crf.unary]
    return {foreground: confidence.foreground, background: confidence.background}


def crf_of(confidence: Confidence) -> dict[str, Any]:
    crf = confidence.crf
    hard = {"confidence": crf.confidence} if crf.unary == "hard" else {}
    return {**asdict(crf.parameters), "unary": crf.unary, **hard}


def labels_of_batch(
    batch: Sequence[Record], *, photos: ImageSet, confidence: Confidence, num_classes: int
) -> list[Activation]:
    return [label(record, photos, confidence, num_classes) for record in batch]


def label(record: Record, photos: ImageSet, confidence: Confidence, num_classes: int) -> Activation:
    assert record.upstream is not None
    maps, classes = positive_part(upsample(record.upstream.values, record.size)), record.upstream.classes
    found = confident_labels(read_photo(record.upstream, photos), maps, confidence)
    numbers = mask_labels(classes, num_classes)
    undecided = np.iinfo(numbers.dtype).max  # -1 takes the last place
    mask = np.append(numbers, undecided)[found].astype(numbers.dtype)
    return Activation(record.id, mask, no_classes(), record.size)

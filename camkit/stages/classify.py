"""`camkit classify`: what the classifier sees in every photo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.evaluate.precision import mean_average_precision
from camkit.pipeline.device import choose_device
from camkit.pipeline.output import Output, Runtime, Summary, open_output, write_activations
from camkit.pipeline.photos import load_photos, view_size
from camkit.pipeline.select import Inputs, predicted_classes, resolve_classes, resolve_labels, select
from camkit.stages.network import Network, describe_checkpoint, load_network, scores_of_batch
from camkit.store.provenance import stage
from camkit.store.reader import Reader, open_store
from camkit.store.schema import Header
from camkit.types import LongerSide, ScoresForm

if TYPE_CHECKING:
    from camkit.data.labels import Labels


def classify(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    resize: LongerSide | None = None,
) -> tuple[Summary, Labels | None]:
    """Write the sigmoid score of every class for every image; also give the labels, where there are any."""
    device = choose_device(runtime.device, runtime.precision)
    loaded = load_network(network, device)
    classifier = loaded.network
    classes = resolve_classes(inputs.classes, loaded.classes, loaded.num_classes)
    selection = select(inputs, classes, need_labels=False)
    labels = resolve_labels(inputs, selection.images, classes)
    view = view_size(resize, loaded.input_size)
    parameters = {"resize": str(view), "output_stride": loaded.output_stride, "precision": device.precision}
    header = Header(
        kind="scores",
        classes=classes,
        image_root=str(selection.images.root.resolve()),
        provenance=stage(
            "classify", parameters, checkpoint=describe_checkpoint(loaded), selection=selection.describe()
        ),
    )
    with open_output(output, header, selection.ids, selection.shard, inputs=[*inputs.files, network.ckpt]) as sink:
        summary = write_activations(
            sink,
            selection.own_ids,
            partial(load_photos, selection=selection, view=view, workers=runtime.workers),
            partial(scores_of_batch, classifier=classifier, device=device),
            description="classify",
            runtime=runtime,
            batch_size=device.batch_size(runtime.batch_size),
            threads=device.threads,
        )
    return summary, labels


def scores_as_text(path: Path, form: ScoresForm | None, labels: Labels | None, threshold: float) -> Iterator[str]:
    """What standard output gets of a scores store; None: for people, the precision where there are labels."""
    with open_store(path) as store:
        if form == "json":
            yield from json_lines(store, labels)
        elif form is not None:
            yield from score_lines(store, form, threshold)
        elif labels is not None:
            yield from precision_lines(store, labels)


def score_lines(store: Reader, text: ScoresForm, threshold: float) -> Iterator[str]:
    """One line per image: tsv is the id and the predicted classes, which `--labels` reads; jsonl has the scores too."""
    names = store.header.classes
    if text == "tsv":
        yield "id\tclasses"
    for activation in store:
        predicted = [names[c] for c in predicted_classes(activation.values, threshold)]
        if text == "tsv":
            yield "\t".join([activation.id, *predicted])
            continue
        scores = {name: round(float(score), 6) for name, score in zip(names, activation.values, strict=True)}
        yield json.dumps({"id": activation.id, "classes": predicted, "scores": scores}, ensure_ascii=False)


def precision_of(store: Reader, labels: Labels) -> tuple[float, np.ndarray]:
    """Mean average precision over the classes with positives, and that of each class [C] (nan without positives)."""
    scores = np.array([activation.values for activation in store]).reshape(len(store), len(store.header.classes))
    truth = np.zeros(scores.shape, dtype=np.int64)
    for row, id in zip(truth, store.ids, strict=True):
        row[list(labels.present[id])] = 1
    return mean_average_precision(scores, truth)


def precision_lines(store: Reader, labels: Labels) -> Iterator[str]:
    """The average precision of every class, for people."""
    mean, averages = precision_of(store, labels)
    names = store.header.classes
    width = max(len(name) for name in names)
    absent = [name for name, average in zip(names, averages, strict=True) if np.isnan(average)]
    for name, average in zip(names, averages, strict=True):
        if not np.isnan(average):
            yield f"{name:<{width}}  {100 * average:5.1f}"
    yield f"{'mAP':<{width}}  {100 * mean:5.1f}   {len(store)} images, labels: {labels.source}"
    if absent:
        yield f"left out, no image has them: {', '.join(absent)}"


def json_lines(store: Reader, labels: Labels | None) -> Iterator[str]:
    """The average precisions as one JSON object; null where nothing could be measured."""
    result: dict[str, Any] = {"images": len(store), "failures": dict(store.failures), "labels": None}
    if labels is not None:
        mean, averages = precision_of(store, labels)
        known = {
            name: None if np.isnan(average) else float(average)
            for name, average in zip(store.header.classes, averages, strict=True)
        }
        result |= {
            "labels": labels.source,
            "mean_average_precision": None if np.isnan(mean) else float(mean),
            "average_precision": known,
        }
    yield json.dumps(result, indent=2, ensure_ascii=False)

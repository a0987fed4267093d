"""`camkit classify`: what the classifier sees in every photo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.evaluate.precision import mean_average_precision
from camkit.pipeline.device import choose_device
from camkit.pipeline.output import Output, Runtime, Summary, open_output, write_activations
from camkit.pipeline.photos import load_photos, view_size
from camkit.pipeline.select import Inputs, predicted_classes, resolve_labels, select
from camkit.stages.network import Network, classes_of, describe_checkpoint, load_network, scores_of_batch
from camkit.store.provenance import stage
from camkit.store.reader import Reader, open_store
from camkit.store.schema import Header
from camkit.text import line_of
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
    classes = classes_of(loaded, inputs.classes)
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
            yield from json_lines(store, labels, threshold)
        elif form is not None:
            yield from score_lines(store, form, threshold)
        elif labels is not None:
            yield from precision_lines(store, labels, threshold)


def score_lines(store: Reader, text: ScoresForm, threshold: float) -> Iterator[str]:
    """One line per image: tsv is the id and the predicted classes, which `--labels` reads; jsonl has the scores too."""
    names = store.header.classes
    if text == "tsv":
        yield "id\tclasses"
    for activation in store:
        predicted = [names[c] for c in predicted_classes(activation.values, threshold)]
        if text == "tsv":
            yield "\t".join(map(line_of, [activation.id, *predicted]))
            continue
        scores = {name: round(float(score), 6) for name, score in zip(names, activation.values, strict=True)}
        yield json.dumps({"id": activation.id, "classes": predicted, "scores": scores}, ensure_ascii=False)


@dataclass(frozen=True, eq=False)
class Precision:
    """How well scores agree with labels. Arrays are by class [C].

    averages  average precisions in [0, 1], nan where no image has the class
    tagged    images that have the class by the labels
    seen      of these, those where its score is above the threshold, or the largest of all
    """

    mean: float
    averages: np.ndarray
    tagged: np.ndarray
    seen: np.ndarray


def precision_of(store: Reader, labels: Labels, threshold: float) -> Precision:
    known = [id for id in store.ids if id in labels.present]
    scores = np.array([store.read(id).values for id in known]).reshape(len(known), len(store.header.classes))
    truth, predicted = np.zeros(scores.shape, dtype=np.int64), np.zeros(scores.shape, dtype=np.int64)
    for row, guess, values, id in zip(truth, predicted, scores, known, strict=True):
        row[list(labels.present[id])] = 1
        guess[predicted_classes(values, threshold)] = 1
    mean, averages = mean_average_precision(scores, truth)
    return Precision(mean, averages, truth.sum(axis=0), (truth * predicted).sum(axis=0))


def precision_lines(store: Reader, labels: Labels, threshold: float) -> Iterator[str]:
    """For people: of every class the average precision, and in how many of the images that have it it is seen."""
    found, names = precision_of(store, labels, threshold), store.header.classes
    width = max(len(name) for name in (*names, "class"))
    yield f"{'class':<{width}}  {'AP':>5}   seen in"
    for name, average, tagged, seen in zip(names, found.averages, found.tagged, found.seen, strict=True):
        if tagged:
            yield f"{name:<{width}}  {100 * average:5.1f}   {seen:,} of {tagged:,}"
    told = f"{len(store)} images, labels: {labels.source}"
    yield f"{'mAP':<{width}}  {100 * found.mean:5.1f}   {found.seen.sum():,} of {found.tagged.sum():,}   {told}"
    absent = [name for name, tagged in zip(names, found.tagged, strict=True) if not tagged]
    if absent:
        yield f"left out, no image has them: {', '.join(absent)}"


def json_lines(store: Reader, labels: Labels | None, threshold: float) -> Iterator[str]:
    """The average precisions as one JSON object; null where nothing could be measured."""
    result: dict[str, Any] = {"images": len(store), "failures": dict(store.failures), "labels": None}
    if labels is not None:
        found, names = precision_of(store, labels, threshold), store.header.classes
        known = {
            name: None if np.isnan(average) else float(average)
            for name, average in zip(names, found.averages, strict=True)
        }
        result |= {
            "labels": labels.source,
            "mean_average_precision": None if np.isnan(found.mean) else float(found.mean),
            "average_precision": known,
            "tagged": dict(zip(names, found.tagged.tolist(), strict=True)),
            "seen": dict(zip(names, found.seen.tolist(), strict=True)),
        }
    yield json.dumps(result, indent=2, ensure_ascii=False)

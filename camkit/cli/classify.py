from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from camkit.cli import options as o
from camkit.cli.groups import Group

if TYPE_CHECKING:
    from camkit.data.labels import Labels

LABELS = {"labels": "True image-level labels, any kind that camkit cam takes: the mean average precision is reported."}
Form = Literal["tsv", "jsonl", "json"]


def form(
    tsv: Annotated[bool, o.OUTPUT("On standard output: id and predicted classes; --labels reads it.", "--tsv")] = False,
    jsonl: Annotated[
        bool, o.OUTPUT("On standard output: one JSON line per image, with all scores.", "--jsonl")
    ] = False,
    json: o.Json = False,
) -> Form | None:
    """Of the text that goes to standard output."""
    from camkit.errors import UsageError

    if tsv + jsonl + json > 1:
        raise UsageError("standard output takes one of --tsv, --jsonl and --json")
    return "tsv" if tsv else "jsonl" if jsonl else "json" if json else None


def command(
    *,
    inputs: Annotated[Any, Group(o.inputs, LABELS)],
    network: o.Network,
    resize: o.Resize,
    output: o.Store,
    form: Annotated[Form | None, Group(form)],
    runtime: o.Runtime,
) -> None:
    """Score every class in every image; with labels, also the mean average precision.

    The scores store serves as --labels of other commands: what the classifier sees is then taken as present.

    camkit classify --ckpt resnet50.pth --images photos/ --out scores.h5

    camkit classify --ckpt resnet50.pth --images photos/ --tsv > tags.tsv
    """
    from camkit.cli.console import close_with, print_lines
    from camkit.errors import UsageError
    from camkit.pipeline.output import STANDARD_OUTPUT, Output, at_a_path
    from camkit.stages.classify import classify

    if form and output.out == STANDARD_OUTPUT:
        raise UsageError("standard output takes either text or the store; give --out FILE")
    with at_a_path(output, send=form is None) as (path, replace):
        summary, known = classify(inputs, network, Output(path, replace), runtime, resize=resize)
        if summary.complete and (form or output.out not in (None, STANDARD_OUTPUT)):
            print_lines(lines(path, form, known, inputs.score_threshold))
    close_with(summary, output.out)


def lines(path: Path, form: Form | None, labels: Labels | None, score_threshold: float) -> Iterator[str]:
    from camkit.stages.classify import json_lines, precision_lines, score_lines
    from camkit.store.reader import open_store

    with open_store(path) as store:
        if form == "json":
            yield from json_lines(store, labels)
        elif form is not None:
            yield from score_lines(store, form, score_threshold)
        elif labels is not None:
            yield from precision_lines(store, labels)

from __future__ import annotations

from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Group
from camkit.types import ScoresForm

LABELS = {
    "labels": "True image-level labels, any kind that camkit cam takes: of each class the average precision is told, "
    "and in how many of its images it is seen."
}


def form(
    tsv: Annotated[bool, o.OUTPUT("On standard output: id and predicted classes; --labels reads it.", "--tsv")] = False,
    jsonl: Annotated[
        bool, o.OUTPUT("On standard output: one JSON line per image, with all scores.", "--jsonl")
    ] = False,
    json: o.Json = False,
) -> ScoresForm | None:
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
    form: Annotated[ScoresForm | None, Group(form)],
    runtime: o.Runtime,
) -> None:
    """Score every class in every image; with labels, also how well: average precision, and how often a class is seen.

    The scores store serves as --labels of other commands: what the classifier sees is then taken as present.

    camkit classify --ckpt resnet50.pth --images photos/ --out scores.h5

    camkit classify --ckpt resnet50.pth --images photos/ --tsv > tags.tsv
    """
    from camkit.cli.console import close_with, print_lines
    from camkit.errors import UsageError
    from camkit.pipeline.output import STANDARD_OUTPUT, Output, at_a_path
    from camkit.stages.classify import classify, scores_as_text

    if form and output.out == STANDARD_OUTPUT:
        raise UsageError("standard output takes either text or the store; give --out FILE")
    with at_a_path(output, send=form is None) as (path, replace):
        summary, known = classify(inputs, network, Output(path, replace), runtime, resize=resize)
        if summary.complete and (form or output.out not in (None, STANDARD_OUTPUT)):
            print_lines(scores_as_text(path, form, known, inputs.score_threshold))
    close_with(summary, output.out)

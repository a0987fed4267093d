from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.defaults import SCORE_THRESHOLD


def command(
    *,
    images: o.Images,
    network: o.Network,
    out: o.Out = None,
    list: o.List = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="True image-level labels, any kind that camkit cam takes: the mean average precision is reported.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    classes: o.Classes = None,
    score_threshold: o.ScoreThreshold = SCORE_THRESHOLD,
    limit: o.Limit = None,
    shard: o.Shard = None,
    resize: o.Resize = None,
    overwrite: o.Overwrite = False,
    tsv: Annotated[
        bool,
        typer.Option(
            "--tsv", help="On standard output: id and predicted classes; --labels reads it.", rich_help_panel=o.OUTPUT
        ),
    ] = False,
    jsonl: Annotated[
        bool,
        typer.Option(
            "--jsonl", help="On standard output: one JSON line per image, with all scores.", rich_help_panel=o.OUTPUT
        ),
    ] = False,
    json: o.Json = False,
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
    from camkit.pipeline.select import Inputs, parse_shard
    from camkit.stages.classify import classify, json_lines, precision_lines, score_lines
    from camkit.store.reader import open_store

    if tsv + jsonl + json > 1:
        raise UsageError("standard output takes one of --tsv, --jsonl and --json")
    text = tsv or jsonl or json
    if text and out == STANDARD_OUTPUT:
        raise UsageError("standard output takes either text or the store; give --out FILE")
    with at_a_path(Output(out, overwrite), send=not text) as (path, replace):
        summary, known = classify(
            Inputs(images, list, labels, classes, limit, parse_shard(shard), score_threshold),
            network,
            Output(path, replace),
            runtime,
            resize=resize,
        )
        if summary.complete:
            with open_store(path) as store:
                if tsv or jsonl:
                    print_lines(score_lines(store, "tsv" if tsv else "jsonl", score_threshold))
                elif json:
                    print_lines(json_lines(store, known))
                elif known is not None and out not in (None, STANDARD_OUTPUT):
                    print_lines(precision_lines(store, known))
    close_with(summary, out)

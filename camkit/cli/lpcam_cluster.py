from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from camkit.cli import options as o

CLUSTERING = "Clustering"


PresetChoice = Literal["voc", "coco"]
MapResizeChoice = Literal["bilinear", "nearest"]


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    out: o.Out = None,
    preset: Annotated[
        PresetChoice, typer.Option(help="The numbers of the paper for this data set.", rich_help_panel=o.PROTOTYPES)
    ] = "voc",
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters",
            "-k",
            metavar="K",
            min=1,
            max=1000,
            help="Of the foreground of each class, and as many of its context: voc 12, coco 20.",
            rich_help_panel=o.PROTOTYPES,
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Foreground is where the map of the class reaches it: voc 0.1, coco 0.25.",
            rich_help_panel=o.PROTOTYPES,
            show_default=False,
        ),
    ] = None,
    foreground_score: o.ForegroundScore = None,
    context_score: o.ContextScore = None,
    context_low: o.ContextLow = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE|-",
            help="Maps, of any method, that say what is foreground, and which classes an image has. Default: class "
            "activation maps of the same features.",
            rich_help_panel=CLUSTERING,
            show_default=False,
        ),
    ] = None,
    map_resize: Annotated[
        MapResizeChoice | None,
        typer.Option(
            help="How --maps come to the grid of the features: bilinear; the authors' program takes the nearest pixel.",
            rich_help_panel=CLUSTERING,
            show_default=False,
        ),
    ] = None,
    per_class: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Only N images of each class, drawn by the seed (paper: 100 on COCO). Default: all.",
            rich_help_panel=CLUSTERING,
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        str,
        typer.Option(
            metavar="512M|2G",
            help="Of a class with more features than fit, a sample is clustered, and its share told. On disk the "
            "sample of all classes takes up to four times as much while the command runs.",
            rich_help_panel=CLUSTERING,
        ),
    ] = "2G",
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of k-means, at most.", rich_help_panel=CLUSTERING)
    ] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and of k-means.", rich_help_panel=CLUSTERING)] = 0,
    resize: o.Resize = None,
    overwrite: o.Overwrite = False,
    runtime: o.Runtime,
) -> None:
    """LPCAM, first step: what each class looks like, and what lies around it, as prototypes.

    Clusters the local features of all images of a class, those on the object and those around it, and lets the
    classifier say which centres are prototypes. Writes a prototypes store with all centres, for camkit lpcam-apply;
    camkit show --prototypes shows what they look like. Run again to continue an interrupted run.

    camkit lpcam-cluster --ckpt resnet50.pth --images VOC2012/ --list train --out prototypes.h5

    camkit lpcam-cluster --ckpt resnet50.pth --images VOC2012/ --list train --maps infercams.h5 --out prototypes.h5
    """
    from camkit.cli.console import log, raise_for, sentence
    from camkit.pipeline.output import Output
    from camkit.stages.lpcam_cluster import Clustering, lpcam_cluster, settings_of

    given: dict[str, Any] = {
        "clusters": clusters, "threshold": threshold, "foreground_score": foreground_score,
        "context_score": context_score, "context_low": context_low,
    }  # fmt: skip
    summary = lpcam_cluster(
        inputs,
        network,
        Output(out, overwrite),
        runtime,
        settings=settings_of(preset, {name: value for name, value in given.items() if value is not None}),
        clustering=Clustering(memory, rounds, seed, per_class, map_resize),
        maps=maps,
        resize=resize,
    )
    log.info("%s: %s", out or "-", sentence(summary))
    raise_for(summary.failures, summary.images, "the others are clustered; --overwrite does all again")

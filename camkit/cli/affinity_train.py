from __future__ import annotations

import logging
from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.cli import training_options as t

log = logging.getLogger("camkit")


def command(
    *,
    out: t.Out,
    stores: o.Stores = None,
    images: t.PhotosOfStore = None,
    init: t.PairsInit = None,
    arch: t.PairsArch = None,
    width: t.Width = None,
    low_alpha: Annotated[
        float | None,
        typer.Option(
            help="A pixel is sure of a class where a CRF with background (1 - largest map)^THIS says so. 4.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    high_alpha: Annotated[
        float | None,
        typer.Option(
            help="The same with THIS, where it says background. 32.", rich_help_panel=o.METHOD, show_default=False
        ),
    ] = None,
    radius: Annotated[
        int,
        typer.Option(metavar="CELLS", help="Pairs nearer than this count, at stride 8.", rich_help_panel=o.METHOD),
    ] = 5,
    changes: t.PairChanges,
    input_size: t.PairsInputSize = None,
    overwrite: o.Overwrite = False,
    runtime: t.Runtime,
    save_every: t.SaveEvery = 300.0,
) -> None:
    """Train AffinityNet: an embedding that is alike where pixels belong to the same thing, for camkit refine walk.

    Learns from maps: two CRFs of each photo, one that sees much background and one that sees little, say which pixels
    are sure; the labels are kept in NAME.labels.h5. Maps or signed scores without a class teach nothing. A masks store
    is taken as the labels. Writes the checkpoint of the last epoch and its curve (NAME.curve.csv, NAME.curve.png).
    The recipe is the authors': 8 epochs, batches of 8 crops of 448 px, rate 0.1 with hardly any momentum.
    Run again to continue an interrupted training: it ends with the same weights.

    camkit affinity-train cams.h5 --init resnet38.pth --out affinity.safetensors

    camkit refine walk cams.h5 --affinity affinitynet --ckpt affinity.safetensors --out walked.h5
    """
    from camkit.cli.console import raise_for
    from camkit.stages.affinities import confidence_of
    from camkit.stages.affinity_train import affinity_train
    from camkit.stages.training import Start, recipe_of

    start = Start(init, arch, width)
    trained = affinity_train(
        stores or [],
        start,
        out,
        recipe_of("affinitynet", start, changes),
        runtime,
        confidence=confidence_of("affinitynet", low_alpha, high_alpha),
        radius=radius,
        images=images,
        input_size=input_size,
        overwrite=overwrite,
        seconds_between_saves=save_every,
    )
    log.info("%s: %s", out, t.course(trained))
    raise_for(trained.summary.failures, trained.summary.images, "they were left out of the training")

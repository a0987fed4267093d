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
    foreground: Annotated[
        float | None,
        typer.Option(
            help="A pixel is sure of a class where a CRF of the maps above THIS says so. 0.3.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    background: Annotated[
        float | None,
        typer.Option(
            help="The same above THIS, where it says background. 0.05.", rich_help_panel=o.METHOD, show_default=False
        ),
    ] = None,
    radius: Annotated[
        int,
        typer.Option(metavar="CELLS", help="Pairs nearer than this count, at stride 4.", rich_help_panel=o.METHOD),
    ] = 10,
    changes: t.PairChanges,
    input_size: t.PairsInputSize = None,
    overwrite: o.Overwrite = False,
    runtime: t.Runtime,
    save_every: t.SaveEvery = 300.0,
) -> None:
    """Train IRN: boundaries between classes that a walk does not cross, for camkit refine walk.

    Learns from maps: two CRFs of each photo, of the maps above a high and above a low value, say which pixels are sure;
    the labels are kept in NAME.labels.h5. Maps or signed scores without a class teach nothing. A masks store is taken
    as the labels. Writes the checkpoint of the last epoch and its curve (NAME.curve.csv, NAME.curve.png).
    The recipe is the authors': 3 epochs, batches of 32 crops of 512 px, rate 0.1, the trunk at rest.
    Run again to continue an interrupted training: it ends with the same weights.

    camkit irn-train cams.h5 --init resnet50.pth --out irn.safetensors

    camkit refine walk cams.h5 --affinity irn --ckpt irn.safetensors --out walked.h5
    """
    from camkit.cli.console import raise_for
    from camkit.stages.affinities import confidence_of
    from camkit.stages.irn_train import irn_train
    from camkit.stages.training import Start, recipe_of

    start = Start(init, arch, width)
    trained = irn_train(
        stores or [],
        start,
        out,
        recipe_of("boundary", start, changes),
        runtime,
        confidence=confidence_of("irn", foreground, background),
        radius=radius,
        images=images,
        input_size=input_size,
        overwrite=overwrite,
        seconds_between_saves=save_every,
    )
    log.info("%s: %s", out, t.course(trained))
    raise_for(trained.summary.failures, trained.summary.images, "they were left out of the training")

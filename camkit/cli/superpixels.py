from __future__ import annotations

from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.cli.options import OnErrorChoice


def command(
    images: o.Images,
    out: o.Out = None,
    list: o.List = None,
    limit: o.Limit = None,
    shard: o.Shard = None,
    scale: Annotated[
        float, typer.Option(min=0.0, help="Larger gives fewer and larger superpixels.", rich_help_panel=o.METHOD)
    ] = 100.0,
    sigma: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=100.0,
            help="Of the Gaussian that smooths the photo first, in pixels.",
            rich_help_panel=o.METHOD,
        ),
    ] = 0.8,
    min_size: Annotated[
        int,
        typer.Option(
            metavar="PX", min=1, help="Smaller superpixels are joined to a neighbour.", rich_help_panel=o.METHOD
        ),
    ] = 20,
    resize: Annotated[
        str | None,
        typer.Option(
            metavar="N|native",
            help="Longer side of a photo as it is cut up. Default: native up to 1000 px.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Processes that cut up photos; 0: none but this one. Default: one per core.",
            rich_help_panel=o.RUN,
            show_default=False,
        ),
    ] = None,
    on_error: o.OnError = OnErrorChoice.skip,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    debug: o.Debug = False,
) -> None:
    """Superpixels: every photo cut into regions of one colour, by Felzenszwalb and Huttenlocher's method.

    Needs neither checkpoint nor labels; made once, they serve camkit refine superpixel as often as wanted. They are as
    large as the photo, whatever it was cut up at.

    camkit superpixels --images VOC2012/ --list train --out superpixels.h5

    camkit superpixels --images photos/ --scale 300 --min-size 100 --out coarse.h5
    """
    from camkit.cli.console import close_with
    from camkit.pipeline.load import usable_cores
    from camkit.pipeline.output import Output, Runtime
    from camkit.pipeline.select import Inputs, parse_shard
    from camkit.stages.superpixels import Felzenszwalb, superpixels

    summary = superpixels(
        Inputs(images, list, limit=limit, shard=parse_shard(shard)),
        Output(out, overwrite),
        Runtime(workers=usable_cores() if workers is None else workers, on_error=on_error.value),
        method=Felzenszwalb(scale, sigma, min_size),
        resize=resize,
    )
    close_with(summary, out)

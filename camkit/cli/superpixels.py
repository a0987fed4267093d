from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from camkit.cli import options as o

MERGING = "Merging"


PairsChoice = Literal["adjacent", "all"]


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
            help="Longer side of a photo as it is cut up, and seen by --ckpt. Default: native up to 1000 px.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    merge: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Merge until so many are left (ICD: 64), the most alike to --ckpt and the smallest first.",
            rich_help_panel=MERGING,
            show_default=False,
        ),
    ] = None,
    ckpt: Annotated[
        Path | None,
        typer.Option(
            "--ckpt",
            help="Whose features tell how alike superpixels are: any classifier checkpoint.",
            rich_help_panel=MERGING,
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of these features: layer3, conv5_3 … Default: what the classifier's linear layer reads.",
            rich_help_panel=MERGING,
            show_default=False,
        ),
    ] = None,
    merge_pairs: Annotated[
        PairsChoice,
        typer.Option(help="Merge those that touch, or any two, as ICD's program does.", rich_help_panel=MERGING),
    ] = "adjacent",
    arch: o.Arch = None,
    model: o.Model = None,
    output_stride: o.OutputStride = None,
    overwrite: o.Overwrite = False,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    batch_size: o.BatchSize = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Photos that are cut up at once; 0: one after the other. Default: one per core.",
            rich_help_panel=o.RUN,
            show_default=False,
        ),
    ] = None,
    on_error: o.OnError = "skip",
) -> None:
    """Superpixels: every photo cut into regions of one colour, by Felzenszwalb and Huttenlocher's method.

    Needs neither checkpoint nor labels; made once, they serve camkit refine superpixel as often as wanted. They are as
    large as the photo, whatever it was cut up at. With --merge a network joins them to fewer and larger ones.

    camkit superpixels --images VOC2012/ --list train --out superpixels.h5

    camkit superpixels --images photos/ --scale 300 --min-size 100 --out coarse.h5

    camkit superpixels --images VOC2012/ --merge 64 --ckpt vgg16.pth --layer conv5_3 --out merged.h5
    """
    from camkit.cli.console import close_with
    from camkit.pipeline.load import usable_cores
    from camkit.pipeline.output import Output, Runtime
    from camkit.pipeline.select import Inputs, parse_shard
    from camkit.stages.superpixels import Felzenszwalb, merge_by, superpixels

    workers = usable_cores() if workers is None else workers
    runtime = Runtime(device, precision, batch_size, workers, on_error)
    summary = superpixels(
        Inputs(images, list, limit=limit, shard=parse_shard(shard)),
        Output(out, overwrite),
        runtime,
        method=Felzenszwalb(scale, sigma, min_size),
        merge=merge_by(merge, ckpt, layer, merge_pairs, arch, model, output_stride, runtime),
        resize=resize,
    )
    close_with(summary, out)

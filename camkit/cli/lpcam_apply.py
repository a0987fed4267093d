from __future__ import annotations

from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.cli.options import DtypeChoice, OnErrorChoice, PrecisionChoice
from camkit.defaults import SCORE_THRESHOLD, WORKERS


def command(
    images: o.Images,
    ckpt: o.Ckpt,
    prototypes: o.Prototypes = None,
    out: o.Out = None,
    list: o.List = None,
    labels: o.Labels = None,
    classes: o.Classes = None,
    score_threshold: o.ScoreThreshold = SCORE_THRESHOLD,
    limit: o.Limit = None,
    shard: o.Shard = None,
    arch: o.Arch = None,
    model: o.Model = None,
    output_stride: o.OutputStride = None,
    foreground_score: o.ForegroundScore = None,
    context_score: o.ContextScore = None,
    context_low: o.ContextLow = None,
    foreground_only: Annotated[
        bool,
        typer.Option(
            "--foreground-only", help="Subtract no context: LPCAM-F of the paper.", rich_help_panel=o.PROTOTYPES
        ),
    ] = False,
    resize: o.Resize = None,
    scales: o.Scales = o.DEFAULT_SCALES,
    flip: o.Flip = True,
    size: o.MapSize = "4",
    dtype: o.Dtype = DtypeChoice.float16,
    overwrite: o.Overwrite = False,
    device: o.Device = "auto",
    precision: o.Precision = PrecisionChoice.auto,
    batch_size: o.BatchSize = None,
    workers: o.Workers = WORKERS,
    on_error: o.OnError = OnErrorChoice.skip,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    debug: o.Debug = False,
) -> None:
    """LPCAM, second step: where an image is like the prototypes of a class, and not like those of its context.

    Writes a maps store as camkit cam does, in about the same time. Which centres are prototypes can be changed here,
    without clustering again. A class without prototypes has its class activation map.

    camkit lpcam-apply --prototypes prototypes.h5 --ckpt resnet50.pth --images VOC2012/ --list train --out lpcams.h5

    camkit lpcam-apply --prototypes prototypes.h5 --ckpt resnet50.pth --images photos/ | camkit mask --png masks/
    """
    from camkit.cli.console import close_with
    from camkit.cli.parse import numbers
    from camkit.pipeline.output import Output, Runtime
    from camkit.pipeline.select import Inputs, parse_shard
    from camkit.stages.lpcam_apply import lpcam_apply
    from camkit.stages.network import Network
    from camkit.stages.prototypes import Thresholds

    summary = lpcam_apply(
        prototypes,
        Inputs(images, list, labels, classes, limit, parse_shard(shard), score_threshold),
        Network(ckpt, arch, model, output_stride),
        Output(out, overwrite, dtype.value),
        Runtime(device, precision.value, batch_size, workers, on_error.value),
        thresholds=Thresholds(foreground_score, context_score, context_low, foreground_only),
        scales=numbers("--scales", scales, low=0.01, high=16),
        flip=flip,
        resize=resize,
        size=size,
    )
    close_with(summary, out)

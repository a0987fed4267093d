from __future__ import annotations

from camkit.cli import options as o
from camkit.cli.options import DtypeChoice, OnErrorChoice, PrecisionChoice
from camkit.defaults import SCORE_THRESHOLD, WORKERS


def command(
    images: o.Images,
    ckpt: o.Ckpt,
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
    """Class activation maps: where the classifier sees each class that an image has.

    Writes a maps store: values in [0, 1], one map per present class. Run again to continue an interrupted run.

    camkit cam --ckpt resnet38.pth --images VOC2012/ --list train --out cams.h5

    camkit cam --ckpt mine.safetensors --images photos/ --labels tags.csv | camkit mask --png masks/
    """
    from camkit.cli.console import close_with
    from camkit.cli.parse import numbers
    from camkit.pipeline.output import Output, Runtime
    from camkit.pipeline.select import Inputs, parse_shard
    from camkit.stages.cam import cam
    from camkit.stages.network import Network

    summary = cam(
        Inputs(images, list, labels, classes, limit, parse_shard(shard), score_threshold),
        Network(ckpt, arch, model, output_stride),
        Output(out, overwrite, dtype.value),
        Runtime(device, precision.value, batch_size, workers, on_error.value),
        scales=numbers("--scales", scales, low=0.01, high=16),
        flip=flip,
        resize=resize,
        size=size,
    )
    close_with(summary, out)

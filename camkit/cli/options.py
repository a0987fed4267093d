"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from camkit.cli.groups import Group
from camkit.defaults import SCALES, SCORE_THRESHOLD, WORKERS

if TYPE_CHECKING:
    from camkit.pipeline import output as pipeline
    from camkit.pipeline import select
    from camkit.stages import network as stages

IMAGES = "Images"
NETWORK = "Classifier"
METHOD = "Method"
PROTOTYPES = "Prototypes"
OUTPUT = "Output"
RUN = "How to run"

DEFAULT_SCALES = ",".join(f"{scale:g}" for scale in SCALES)


OnErrorChoice = Literal["skip", "stop"]
PrecisionChoice = Literal["auto", "float32", "tf32", "bfloat16"]
DtypeChoice = Literal["float16", "float32", "uint8"]
Images = Annotated[
    Path,
    typer.Option(
        "--images",
        help="Folder of images, VOC root, one image, or a text file naming images.",
        rich_help_panel=IMAGES,
        show_default=False,
    ),
]
List = Annotated[
    str | None,
    typer.Option(
        "--list",
        metavar="FILE|SPLIT",
        help="Only these: a file of ids or paths, or a VOC split.",
        rich_help_panel=IMAGES,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="Image-level labels: VOC XML folder, cls_labels.npy, CSV, TSV, JSON, COCO JSON, a folder per class, "
        "masks folder, a scores store, or the word predicted: what the classifier sees, whatever labels there are. "
        "Default: a VOC root's own, else predicted.",
        rich_help_panel=IMAGES,
        show_default=False,
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="voc|coco|FILE",
        help="Class names, one a line, without background. Default: the checkpoint's, else VOC's 20 or COCO's 80.",
        rich_help_panel=IMAGES,
        show_default=False,
    ),
]
Limit = Annotated[int | None, typer.Option(metavar="N", help="Only the first N images.", rich_help_panel=IMAGES)]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Only the I-th of N shares (counted from 0 or from 1).", rich_help_panel=IMAGES),
]
ScoreThreshold = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Without labels: classes scoring above are taken as present; at least the best one is.",
        rich_help_panel=IMAGES,
    ),
]
Ckpt = Annotated[
    Path,
    typer.Option(
        "--ckpt",
        help="Classifier checkpoint (.pth, .pt, .safetensors); its architecture is recognised.",
        rich_help_panel=NETWORK,
        show_default=False,
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Insist on this architecture.", rich_help_panel=NETWORK),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="PACKAGE.MODULE:FACTORY", help="A network of your own.", rich_help_panel=NETWORK),
]
OutputStride = Annotated[
    int | None,
    typer.Option(
        metavar="8|16|32",
        help="Pixels per cell of the feature grid, by dilation. Default: the checkpoint's own (8 or 16).",
        rich_help_panel=NETWORK,
        show_default=False,
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        metavar="N|native",
        help="Longer side of a photo as the network sees it. Default: the checkpoint's, else native up to 1000 px.",
        rich_help_panel=METHOD,
        show_default=False,
    ),
]
Scales = Annotated[
    str,
    typer.Option(metavar="S,S,…", help="Scales whose maps are summed.", rich_help_panel=METHOD),
]
Flip = Annotated[bool, typer.Option("--flip/--no-flip", help="Also see every photo mirrored.", rich_help_panel=METHOD)]
Prototypes = Annotated[
    Path | None,
    typer.Option(
        "--prototypes",
        metavar="FILE|-",
        help="Prototypes store of camkit lpcam-cluster; - or nothing in a pipe: standard input.",
        rich_help_panel=PROTOTYPES,
        show_default=False,
    ),
]
ForegroundScore = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="A foreground centre is a prototype if the classifier's probability of the class is above. Paper: 0.9.",
        rich_help_panel=PROTOTYPES,
        show_default=False,
    ),
]
ContextScore = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="A context centre is one if it is below … Paper: 0.9 on VOC, 0.5 on COCO.",
        rich_help_panel=PROTOTYPES,
        show_default=False,
    ),
]
ContextLow = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="… and above this, as in the authors' program. 0.05.",
        rich_help_panel=PROTOTYPES,
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE|-",
        help="Store to write; - or a pipe: standard output.",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output of another run.", rich_help_panel=OUTPUT)
]
MapSize = Annotated[
    str,
    typer.Option(
        "--size",
        metavar="full|N",
        help="Resolution of the maps: full, or one value per N pixels.",
        rich_help_panel=OUTPUT,
    ),
]
Dtype = Annotated[DtypeChoice, typer.Option("--dtype", help="Number type of the maps.", rich_help_panel=OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON on standard output.", rich_help_panel=OUTPUT)]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where to compute.", rich_help_panel=RUN)]
Precision = Annotated[
    PrecisionChoice,
    typer.Option(help="auto is float32 on a CPU and tf32 on a GPU.", rich_help_panel=RUN),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Photos of one size per batch. Default: 1 on a CPU, 8 on a GPU.",
        rich_help_panel=RUN,
        show_default=False,
    ),
]
Workers = Annotated[int, typer.Option(metavar="N", min=0, help="Threads that decode ahead.", rich_help_panel=RUN)]
OnError = Annotated[
    OnErrorChoice,
    typer.Option(help="An image that fails: record it and go on, or stop.", rich_help_panel=RUN),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.", rich_help_panel=RUN)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.", rich_help_panel=RUN)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=RUN)]

Stores = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[STORE]...",
        help="Input store, or the shards of one; - or nothing in a pipe: standard input.",
        show_default=False,
    ),
]


def common(quiet: Quiet = False, verbose: Verbose = False, debug: Debug = False) -> None:
    """Options of every command, which `camkit.cli.main` itself obeys."""


def inputs(
    images: Images,
    list: List = None,
    labels: Labels = None,
    classes: Classes = None,
    score_threshold: ScoreThreshold = SCORE_THRESHOLD,
    limit: Limit = None,
    shard: Shard = None,
) -> Inputs:
    from camkit.pipeline.select import Inputs, parse_shard

    return Inputs(images, list, labels, classes, limit, parse_shard(shard), score_threshold)


def network(ckpt: Ckpt, arch: Arch = None, model: Model = None, output_stride: OutputStride = None) -> Network:
    from camkit.stages.network import Network

    return Network(ckpt, arch, model, output_stride)


def output(out: Out = None, dtype: Dtype = "float16", overwrite: Overwrite = False) -> Output:
    from camkit.pipeline.output import Output

    return Output(out, overwrite, dtype)


def runtime(
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: BatchSize = None,
    workers: Workers = WORKERS,
    on_error: OnError = "skip",
) -> Runtime:
    from camkit.pipeline.output import Runtime

    return Runtime(device, precision, batch_size, workers, on_error)


Inputs = Annotated["select.Inputs", Group(inputs)]
Network = Annotated["stages.Network", Group(network)]
Output = Annotated["pipeline.Output", Group(output)]
Runtime = Annotated["pipeline.Runtime", Group(runtime)]

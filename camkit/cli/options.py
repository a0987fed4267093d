"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camkit import types
from camkit.cli.groups import Group, Panel, Settings
from camkit.cli.parse import pixels
from camkit.defaults import COARSEST, CPU_BATCH, GPU_BATCH, LARGEST_SIDE, MAP_STRIDE, SCORE_THRESHOLD, WORKERS
from camkit.settings.views import PUBLISHED

if TYPE_CHECKING:
    from camkit.pipeline import output as pipeline
    from camkit.pipeline import select
    from camkit.stages import network as stages

IMAGES = Panel("Images")
NETWORK = Panel("Classifier")
METHOD = Panel("Method")
PROTOTYPES = Panel("Prototypes")
OUTPUT = Panel("Output")
RUN = Panel("How to run")
UNTITLED = Panel("")

Images = Annotated[
    list[Path],
    IMAGES(
        "Folder of images, VOC root, images, a 'pattern*.jpg', or a text file naming images; - a list on standard "
        "input. May be several.",
        metavar="PATH...",
    ),
]
Unlabelled = Annotated[
    types.Unlabelled,
    IMAGES("Images that the labels do not speak of: stop before the run, skip them, or predict their classes."),
]
List = Annotated[
    str | None, IMAGES("Only these: a file of ids or paths, or a VOC split.", "--list", metavar="FILE|SPLIT")
]
Labels = Annotated[
    Path | None,
    IMAGES(
        "Image-level labels: VOC XML folder, cls_labels.npy, CSV, TSV, JSON, COCO JSON, a folder per class, "
        "masks folder, a scores store, a class that all images have, or the word predicted: what the classifier sees, "
        "whatever labels there are. "
        "Default: a VOC root's own, else predicted."
    ),
]
Classes = Annotated[
    str | None,
    IMAGES(
        "Class names, one a line, without background. Default: the checkpoint's, else VOC's 20 or COCO's 80.",
        metavar="voc|coco|FILE",
    ),
]
Limit = Annotated[int | None, IMAGES("Only the first N images.", metavar="N")]
Share = Annotated[str | None, IMAGES("Only the I-th of N shares (counted from 0 or from 1).", metavar="I/N")]
ScoreThreshold = Annotated[
    float,
    IMAGES("Without labels: classes scoring above are taken as present; at least the best one is.", low=0.0, high=1.0),
]
Photos = Annotated[Path | None, IMAGES("Where the photos are. Default: where those of the store were.")]

Ckpt = Annotated[Path, NETWORK("Classifier checkpoint (.pth, .pt, .safetensors); its architecture is recognised.")]
Arch = Annotated[str | None, NETWORK("Insist on this architecture.", metavar="NAME")]
Model = Annotated[str | None, NETWORK("A network of your own.", metavar="PACKAGE.MODULE:FACTORY")]
OutputStride = Annotated[
    int | None,
    NETWORK(
        "Pixels per cell of the feature grid, by dilation. Default: the checkpoint's own (8 or 16).",
        metavar="8|16|32",
    ),
]
Raw = Annotated[
    bool,
    METHOD("Scores as the network gives them, instead of each class's divided by its largest of either sign.", "--raw"),
]
Refined = Annotated[
    bool | None,
    METHOD(
        "Of SEAM's checkpoints: maps refined by the network's own layers, or as they are. Default: refined.",
        "--refined/--plain",
    ),
]

Out = Annotated[Path | None, OUTPUT("Store to write; - or a pipe: standard output.", "--out", "-o", metavar="FILE|-")]
Overwrite = Annotated[bool, OUTPUT("Replace the output of another run.", "--overwrite")]
Dtype = Annotated[types.Dtype, OUTPUT("Number type of the maps.")]
DtypeOfProbs = Annotated[
    types.ProbsDtype | None, OUTPUT("Number type of the probabilities. Default: float16.", "--dtype")
]
DtypeOfSome = Annotated[types.Dtype | None, OUTPUT("Number type of maps and probabilities. Default: float16.")]
Masks = Annotated[bool, OUTPUT("Write masks instead of probabilities.", "--masks")]
Json = Annotated[bool, OUTPUT("Results as JSON on standard output.", "--json")]

Device = Annotated[str, RUN("Where to compute.", metavar="auto|cpu|cuda[:N]|mps")]
Precision = Annotated[types.Precision, RUN("auto is float32 on a CPU and tf32 on a GPU.")]
BatchSize = Annotated[
    int | None,
    RUN(f"Photos of one size per batch. Default: {CPU_BATCH} on a CPU, {GPU_BATCH} on a GPU.", metavar="N", low=1),
]
Workers = Annotated[int, RUN("Threads that decode ahead.", metavar="N", low=0)]
WorkersOfCores = Annotated[
    int | None, RUN("Photos at once, each on a core. Default: as many as there are cores.", metavar="N", low=0)
]
OnError = Annotated[types.OnError, RUN("An image that fails: record it and go on, or stop.")]
Quiet = Annotated[bool, RUN("Only warnings and errors.", "--quiet", "-q")]
Verbose = Annotated[bool, RUN("Say more.", "--verbose", "-v")]
MaxMemory = Annotated[
    str | None,
    RUN(
        "A file that would unpack to more is refused. Default: half of what the machine or the batch job has.",
        metavar="SIZE",
    ),
]
Debug = Annotated[bool, RUN("Show tracebacks.", "--debug")]

StoresGiven = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[STORE]...", help="Input store, or the shards of one; - or nothing in a pipe: standard input."
    ),
]
ResizeWords = Annotated[
    str | None,
    METHOD(
        "Longer side of a photo as the network sees it. Default: the checkpoint's, else native up to "
        f"{LARGEST_SIDE} px.",
        metavar="N|native",
    ),
]
_SIZE = OUTPUT("Resolution of the maps: full, or one value per N pixels.", metavar="full|N")
SizeWords = Annotated[str, _SIZE]
SizeWordsIfAny = Annotated[str | None, _SIZE]


def common(max_memory: MaxMemory = None, quiet: Quiet = False, verbose: Verbose = False, debug: Debug = False) -> None:
    """Options of every command, which `camkit.cli.main` itself obeys."""


def stores(stores: StoresGiven = None) -> list[Path]:
    return stores or []


def shard(shard: Share = None) -> Shard:
    from camkit.pipeline.select import parse_shard

    return parse_shard(shard)


def inputs(
    images: Images,
    list: List = None,
    labels: Labels = None,
    classes: Classes = None,
    score_threshold: ScoreThreshold = SCORE_THRESHOLD,
    unlabelled: Unlabelled = "stop",
    limit: Limit = None,
    *,
    shard: Shard,
) -> Inputs:
    from camkit.pipeline.select import Inputs

    return Inputs(images, list, labels, classes, limit, shard, score_threshold, unlabelled)


def photos(images: Images, list: List = None, limit: Limit = None, *, shard: Shard) -> Inputs:
    from camkit.pipeline.select import Inputs

    return Inputs(images, list, limit=limit, shard=shard)


def network(ckpt: Ckpt, arch: Arch = None, model: Model = None, output_stride: OutputStride = None) -> Network:
    from camkit.stages.network import Network

    return Network(ckpt, arch, model, output_stride)


def own_network(ckpt: Ckpt, model: Model = None, output_stride: OutputStride = None) -> Network:
    """Of a checkpoint that says what its architecture is."""
    return network(ckpt, model=model, output_stride=output_stride)


def store(out: Out = None, overwrite: Overwrite = False) -> Output:
    from camkit.pipeline.output import Output

    return Output(out, overwrite)


def output(out: Out = None, dtype: Dtype = "float16", overwrite: Overwrite = False) -> Output:
    from camkit.pipeline.output import Output

    return Output(out, overwrite, dtype)


def output_of_some(out: Out = None, dtype: DtypeOfSome = None, overwrite: Overwrite = False) -> Output:
    """Where not all that may be written has a number type."""
    from camkit.pipeline.output import Output

    return Output(out, overwrite, dtype)


def output_of_probs(out: Out = None, dtype: DtypeOfProbs = None, overwrite: Overwrite = False) -> Output:
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


def no_network(workers: Workers = WORKERS, on_error: OnError = "skip") -> Runtime:
    return runtime(workers=workers, on_error=on_error)


def no_photos(on_error: OnError = "skip") -> Runtime:
    return runtime(on_error=on_error)


def on_cores(workers: WorkersOfCores = None, on_error: OnError = "skip") -> Runtime:
    from camkit.pipeline.load import usable_cores

    return runtime(workers=usable_cores() if workers is None else workers, on_error=on_error)


def resize(resize: ResizeWords = None) -> types.LongerSide | None:
    if resize == "native":
        return "native"
    return None if resize is None else pixels("--resize", resize, "native")


def size(size: SizeWords = str(MAP_STRIDE)) -> types.Resolution:
    return "full" if size == "full" else pixels("--size", size, "full", most=COARSEST)


def size_of_some(size: SizeWordsIfAny = None) -> types.Resolution | None:
    if size == "full":
        return "full"
    return None if size is None else pixels("--size", size, "full", most=COARSEST)


Stores = Annotated[list[Path], Group(stores)]
Shard = Annotated["select.Shard | None", Group(shard)]
Inputs = Annotated["select.Inputs", Group(inputs)]
PhotosAlone = Annotated["select.Inputs", Group(photos)]
Network = Annotated["stages.Network", Group(network)]
OwnNetwork = Annotated["stages.Network", Group(own_network)]
Store = Annotated["pipeline.Output", Group(store)]
Output = Annotated["pipeline.Output", Group(output)]
OutputOfProbs = Annotated["pipeline.Output", Group(output_of_probs)]
OutputOfSome = Annotated["pipeline.Output", Group(output_of_some)]
Runtime = Annotated["pipeline.Runtime", Group(runtime)]
NoNetwork = Annotated["pipeline.Runtime", Group(no_network)]
OnCores = Annotated["pipeline.Runtime", Group(on_cores)]
NoPhotos = Annotated["pipeline.Runtime", Group(no_photos)]
Pyramid = Annotated[dict[str, Any], Settings({"published": PUBLISHED}, METHOD)]
Resize = Annotated["types.LongerSide | None", Group(resize)]
Size = Annotated["types.Resolution", Group(size)]

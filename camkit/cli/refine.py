from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from camkit.cli import options as o
from camkit.cli.options import DtypeChoice, PrecisionChoice
from camkit.defaults import MASK_THRESHOLD, WORKERS
from camkit.errors import UsageError

SUPERPIXEL = "refine superpixel"
WALK = "refine walk"


MethodChoice = Literal["superpixel", "walk"]
HowChoice = Literal["average", "vote"]
AffinityChoice = Literal["affinitynet", "irn", "colour"]
PresetChoice = Literal["paper", "published"]


def command(
    method: Annotated[MethodChoice, typer.Argument(help="By what to refine.", show_default=False)],
    stores: o.Stores = None,
    superpixels: Annotated[
        Path | None,
        typer.Option(help="Store that camkit superpixels wrote.", rich_help_panel=SUPERPIXEL, show_default=False),
    ] = None,
    how: Annotated[
        HowChoice | None,
        typer.Option(
            help="average: every pixel gets the mean of its superpixel. vote: the label that most of its pixels have, "
            "on ties the smallest; undecided pixels do not vote. Default: average, of masks vote.",
            rich_help_panel=SUPERPIXEL,
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help=f"Of a vote on maps: as of camkit mask. Default: {MASK_THRESHOLD:g}.",
            rich_help_panel=SUPERPIXEL,
            show_default=False,
        ),
    ] = None,
    affinity: Annotated[
        AffinityChoice | None,
        typer.Option(
            help="What says which pixels belong together: AffinityNet, IRN's boundaries, or colours alone.",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    ckpt: Annotated[
        Path | None,
        typer.Option(
            help="AffinityNet or IRN: of camkit affinity-train and irn-train, or as their programs write it.",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Where the photos are. Default: where those of the store were.",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        PresetChoice | None,
        typer.Option(
            help="published: without the pairs near the borders that AffinityNet's program forgets. Default: paper.",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of the walk. 256 (colour 64).", rich_help_panel=WALK, show_default=False),
    ] = None,
    power: Annotated[
        float | None,
        typer.Option(
            help="Of affinities: a larger one keeps to what is alike. 10 (affinitynet 8).",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    radius: Annotated[
        int | None,
        typer.Option(
            metavar="CELLS", help="How far a step reaches: less than this. 5.", rich_help_panel=WALK, show_default=False
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            help="Side of a cell, of colours. 4 (networks: their own).",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Of maps: background is (1 - largest map)^ALPHA and walks too. 16 (colour 4; irn has none).",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    background: Annotated[
        float | None,
        typer.Option(
            help="irn: background is what stays below this share of the largest value. 0.25.",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            metavar="N|native",
            help="Longer side of a photo as it is seen. Default: native up to 1000 px.",
            rich_help_panel=WALK,
            show_default=False,
        ),
    ] = None,
    out: o.Out = None,
    masks: Annotated[
        bool,
        typer.Option("--masks", help="walk: write masks instead of probabilities.", rich_help_panel=o.OUTPUT),
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="full|N",
            help="Resolution of averages and probabilities: full, or one value per N pixels. Default: 4.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        DtypeChoice | None,
        typer.Option(
            help="Number type of averages and probabilities. Default: float16.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="walk: only the I-th of N shares.", rich_help_panel=o.RUN, show_default=False),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="auto|cpu|cuda[:N]",
            help="walk: where to compute. Default: auto.",
            rich_help_panel=o.RUN,
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        PrecisionChoice | None,
        typer.Option(help="walk: of the network. Default: auto.", rich_help_panel=o.RUN, show_default=False),
    ] = None,
    on_error: o.OnError = "skip",
) -> None:
    """Refine maps, probabilities or masks by what else is known of the photos.

    superpixel: what a store says is made the same all over each superpixel. Averages stay as they are, so the largest
    value of a map may fall below 1. A vote gives masks, also of maps (by --threshold) and of probabilities.

    walk: maps or probabilities spread to neighbours that belong together, by random walks as AffinityNet and IRN have
    them; of signed scores, what is above 0. Gives probabilities (background first), or with --masks masks.
    --affinity colour needs no network; camkit affinity-train and irn-train train one. The first run on a machine takes
    some seconds more: the walk is compiled.

    camkit refine superpixel cams.h5 --superpixels superpixels.h5 --out refined.h5

    camkit refine walk cams.h5 --affinity affinitynet --ckpt resnet38_aff.pth --out walked.h5

    camkit refine walk cams.h5 --affinity colour | camkit evaluate --gt VOC2012/
    """
    from camkit.cli.console import close_with
    from camkit.pipeline.output import Output, Runtime
    from camkit.pipeline.select import parse_shard

    of_superpixel = {"superpixels": superpixels, "how": how, "threshold": threshold}
    changes = {
        "steps": steps, "power": power, "radius": radius, "stride": stride, "alpha": alpha, "background": background,
    }  # fmt: skip
    of_walk = {
        "affinity": affinity, "ckpt": ckpt, "images": images, "preset": preset, **changes, "resize": resize,
        "masks": masks or None, "shard": shard, "device": device, "precision": precision,
    }  # fmt: skip
    output = Output(out, overwrite, dtype)
    if method == "superpixel":
        from camkit.stages.refine_superpixel import refine_superpixel

        _refuse(of_walk, method)
        summary = refine_superpixel(
            stores or [],
            _needed(superpixels, "--superpixels", method),
            output,
            Runtime(on_error=on_error),
            how=how,
            threshold=threshold,
            size=size,
        )
    else:
        from camkit.stages.refine_walk import refine_walk

        _refuse(of_superpixel, method)
        summary = refine_walk(
            stores or [],
            output,
            Runtime(device or "auto", precision or "auto", None, WORKERS, on_error),
            affinity=_needed(affinity, "--affinity", method),
            ckpt=ckpt,
            preset=preset or "paper",
            changes={name: value for name, value in changes.items() if value is not None},
            masks=masks,
            images=images,
            resize=resize,
            size=size,
            shard=parse_shard(shard),
        )
    close_with(summary, out)


def _refuse(others: Mapping[str, Any], method: MethodChoice) -> None:
    given = [f"--{name}" for name, value in others.items() if value is not None]
    if given:
        raise UsageError(f"{', '.join(given)}: not of camkit refine {method}; see camkit refine --help")


def _needed(value: Any, option: str, method: MethodChoice) -> Any:
    if value is None:
        raise UsageError(f"camkit refine {method} needs {option}; see camkit refine --help")
    return value

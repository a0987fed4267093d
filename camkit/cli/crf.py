from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from camkit.cli import options as o

ENERGIES = "Unary energies (defaults: the preset's)"
KERNELS = "Kernels (defaults: the preset's)"


PresetChoice = Literal["psa", "irn", "dcsm", "icd"]
UnaryChoice = Literal["soft", "hard"]
ShareChoice = Literal["present", "all"]
FloatChoice = Literal["float16", "float32"]
EngineChoice = Literal["auto", "native", "pydensecrf"]


def command(
    stores: o.Stores = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Where the photos are. Default: where those of the store were.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ] = None,
    shard: o.Shard = None,
    preset: Annotated[
        PresetChoice,
        typer.Option(
            help="The numbers of these methods: psa soft, irn hard, dcsm soft, icd hard.", rich_help_panel=ENERGIES
        ),
    ] = "psa",
    unary: Annotated[
        UnaryChoice | None,
        typer.Option(
            help="soft: -log of maps, positive scores or probabilities. hard: of the labels they give, or of masks, "
            "which may be wrong.",
            rich_help_panel=ENERGIES,
            show_default=False,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Soft, of maps: background is (1 - largest map)^ALPHA. 4 (dcsm 1); a larger one widens objects.",
            rich_help_panel=ENERGIES,
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Hard: how probable it is that a label is right. 0.7 (icd 0.5).",
            rich_help_panel=ENERGIES,
            show_default=False,
        ),
    ] = None,
    background: Annotated[
        float | None,
        typer.Option(
            help="Hard, of maps: a pixel is background unless a map is above. 0.3.",
            rich_help_panel=ENERGIES,
            show_default=False,
        ),
    ] = None,
    share: Annotated[
        ShareChoice | None,
        typer.Option(
            help="Hard: the rest of the confidence goes to the labels present in the image, or (icd) to all there are.",
            rich_help_panel=ENERGIES,
            show_default=False,
        ),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(metavar="N", help="Of mean field. 10.", rich_help_panel=KERNELS, show_default=False)
    ] = None,
    gauss_sxy: Annotated[
        float | None,
        typer.Option(metavar="PX", help="How far neighbours reach. 3.", rich_help_panel=KERNELS, show_default=False),
    ] = None,
    gauss_compat: Annotated[
        float | None,
        typer.Option(help="What their unlike labels cost. 3 (dcsm 1).", rich_help_panel=KERNELS, show_default=False),
    ] = None,
    bilateral_sxy: Annotated[
        float | None,
        typer.Option(
            metavar="PX",
            help="How far pixels of like colour reach. 80 (irn 50, dcsm 30).",
            rich_help_panel=KERNELS,
            show_default=False,
        ),
    ] = None,
    bilateral_srgb: Annotated[
        float | None,
        typer.Option(
            metavar="LEVELS",
            help="How unlike their colours may be, of 0 … 255. 13 (irn 5, dcsm 10).",
            rich_help_panel=KERNELS,
            show_default=False,
        ),
    ] = None,
    bilateral_compat: Annotated[
        float | None,
        typer.Option(help="What their unlike labels cost. 10 (dcsm 1).", rich_help_panel=KERNELS, show_default=False),
    ] = None,
    scale_factor: Annotated[
        float | None,
        typer.Option(
            help="Photos are smaller by this factor than what the distances are meant for: divides both.",
            rich_help_panel=KERNELS,
            show_default=False,
        ),
    ] = None,
    out: o.Out = None,
    masks: Annotated[
        bool,
        typer.Option("--masks", help="Write masks instead of probabilities.", rich_help_panel=o.OUTPUT),
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="full|N",
            help="Resolution of the probabilities: full (default: edges are what a CRF is for), or one value per N "
            "pixels.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        FloatChoice | None,
        typer.Option(
            help="Number type of the probabilities. Default: float16.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    engine: Annotated[
        EngineChoice,
        typer.Option(
            help="native (auto) or the C++ library pydensecrf, if installed; they agree. Both run on the CPU, on a "
            "machine with a GPU too.",
            rich_help_panel=o.RUN,
        ),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Photos refined at once, each on a core. Default: as many as there are cores.",
            rich_help_panel=o.RUN,
            show_default=False,
        ),
    ] = None,
    on_error: o.OnError = "skip",
) -> None:
    """Make maps, probabilities or masks follow the edges of the photos: a fully connected CRF (dense CRF).

    Takes a store of maps, signed scores, probs or masks; writes a probs store of the classes present (background
    first), or with --masks a masks store. The first run on a machine takes some seconds more: the engine is compiled.

    camkit crf cams.h5 --out refined.h5

    camkit infercam --ckpt resnet38.pth --images voc/ | camkit crf --alpha 16 | camkit evaluate --gt voc/

    camkit crf cams.h5 --preset irn --background 0.2 --masks --out masks.h5
    """
    from camkit.cli.console import close_with
    from camkit.pipeline.load import usable_cores
    from camkit.pipeline.output import Output, Runtime
    from camkit.pipeline.select import parse_shard
    from camkit.stages.crf import crf

    given: dict[str, Any] = {
        "unary": unary, "alpha": alpha, "confidence": confidence, "background": background,
        "share": share, "iterations": iterations, "gauss_sxy": gauss_sxy, "gauss_compat": gauss_compat,
        "bilateral_sxy": bilateral_sxy, "bilateral_srgb": bilateral_srgb, "bilateral_compat": bilateral_compat,
        "scale_factor": scale_factor,
    }  # fmt: skip
    summary = crf(
        stores or [],
        Output(out, overwrite, dtype),
        Runtime(workers=usable_cores() if workers is None else workers, on_error=on_error),
        preset=preset,
        changes={name: value for name, value in given.items() if value is not None},
        masks=masks,
        images=images,
        engine=engine,
        size=size,
        shard=parse_shard(shard),
    )
    close_with(summary, out)

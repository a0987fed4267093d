from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.defaults import SEED_MARGINS, WORKERS

GATES = "Gates"
DEFAULT_MARGINS = ",".join(f"{margin:g}" for margin in SEED_MARGINS)


def command(
    stores: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[STORE|FOLDER]...",
            help="Store (or its shards) or folder of PNG masks; - or nothing in a pipe: standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    truth: Annotated[
        Path,
        typer.Option(
            "--gt",
            metavar="FOLDER",
            help="Ground truth: a folder of PNG masks (255 is ignored), or a VOC root.",
            rich_help_panel=o.IMAGES,
            show_default=False,
        ),
    ],
    list: o.List = None,
    classes: o.Classes = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="T[,T,…]",
            help="Of a maps store: one is used as it is, of several the best by mIoU. Default: 0.00, 0.01 … 0.99.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    margins: Annotated[
        str | None,
        typer.Option(
            metavar="T,T,…",
            help=f"Of signed scores: seeds are foreground above T, background below -T. Default: {DEFAULT_MARGINS}.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    mean_over: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Take means over these classes and background alone; so does the choice of the threshold.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    ci: Annotated[
        bool,
        typer.Option(
            "--ci",
            help="How sure mIoU is: a 95 % interval, by a bootstrap over the images. A second pass over them.",
            rich_help_panel=o.METHOD,
        ),
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Each store is a method of its own: figures with intervals, and the differences to the first store.",
            rich_help_panel=o.METHOD,
        ),
    ] = False,
    json: o.Json = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="The table per class as CSV on standard output.", rich_help_panel=o.OUTPUT)
    ] = False,
    parts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Masks of the parts of objects (0 none, 1 …; names.txt names them): recall of each.",
            rich_help_panel=o.METHOD,
            show_default=False,
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Of maps: draw the figures over the threshold.",
            rich_help_panel=o.OUTPUT,
            show_default=False,
        ),
    ] = None,
    min_miou: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=100.0,
            metavar="MIOU",
            help="Exit with 1 if mIoU is below (43.5, or 0.435).",
            rich_help_panel=GATES,
        ),
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option(
            metavar="JSON[:POINTS]",
            help="Exit with 1 if mIoU is more than POINTS percent (default 0) below that of an earlier --json.",
            rich_help_panel=GATES,
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Judge the images that have a prediction; otherwise a gate is not met while one has none.",
            rich_help_panel=GATES,
        ),
    ] = False,
    workers: o.Workers = WORKERS,
    on_error: o.OnError = "skip",
) -> None:
    """Compare maps, probabilities, masks or signed scores with the ground truth: IoU, precision, recall, pixel AP.

    Maps are judged at every threshold in one pass; the best one is reported.

    camkit evaluate cams.h5 --gt VOC2012/ --list val --curve curve.png

    camkit evaluate masks/ --gt truth/ --json > today.json

    camkit evaluate cams.h5 --gt VOC2012/ --min-miou 45 --max-drop last-week.json:0.5

    camkit evaluate cams.h5 lpcams.h5 --gt VOC2012/ --list val --compare
    """
    from camkit.cli.console import print_comparison, print_report, raise_for
    from camkit.cli.parse import baseline, fraction, numbers
    from camkit.errors import UsageError
    from camkit.evaluate.gates import check_gates
    from camkit.evaluate.report import report_from
    from camkit.pipeline.output import Runtime
    from camkit.stages.evaluate import compare_predictions, evaluate_predictions

    if json and csv:
        raise UsageError("standard output takes one of --json and --csv")
    if curve is not None:
        from camkit.view.picture import check_png

        check_png(curve, "--curve")
    runtime = Runtime(workers=workers, on_error=on_error)
    thresholds = None if threshold is None else numbers("--threshold", threshold, low=0, high=1)
    over = None if mean_over is None else [name.strip() for name in mean_over.split(",")]
    if compare:
        left_out = {"--csv": csv, "--margins": margins, "--parts": parts, "--curve": curve, "--min-miou": min_miou,
                    "--max-drop": max_drop, "--allow-missing": allow_missing}  # fmt: skip
        given = [option for option, value in left_out.items() if value not in (None, False)]
        if given:
            raise UsageError(f"{', '.join(given)}: not with --compare; run camkit evaluate of one store for that")
        comparison, failures = compare_predictions(
            stores or [], truth, runtime, list=list, classes=classes, thresholds=thresholds, mean_over=over
        )
        print_comparison(comparison, json=json)
        raise_for(failures, comparison.reports[0].images + len(failures), "no method is judged on them")
        return
    if allow_missing and min_miou is None and max_drop is None:
        raise UsageError("--allow-missing is for gates: give --min-miou or --max-drop")
    earlier, points = baseline(max_drop) if max_drop is not None else (None, 0.0)
    if earlier is not None:
        report_from(earlier)  # a file that is no report is told before the work, not after
    report, failures = evaluate_predictions(
        stores or [],
        truth,
        runtime,
        list=list,
        classes=classes,
        thresholds=thresholds,
        margins=None if margins is None else numbers("--margins", margins, low=0, high=1),
        curve=curve is not None,
        parts=parts,
        mean_over=over,
        interval=ci,
    )
    print_report(report, "json" if json else "csv" if csv else "table")
    if curve is not None:
        from camkit.view.curve import draw_curve

        draw_curve(report.curve, curve)
    check_gates(
        report,
        min_miou=None if min_miou is None else fraction(min_miou),
        baseline=earlier,
        max_drop=points,
        allow_missing=allow_missing,
    )
    raise_for(failures, report.images + len(failures), "the figures leave them out")

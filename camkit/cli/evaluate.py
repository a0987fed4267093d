from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camkit.cli import options as o
from camkit.cli.groups import Group, Panel
from camkit.cli.parse import baseline, fraction, numbers
from camkit.defaults import INTERVAL_LEVEL, SEED_MARGINS, SWEEP_STEPS
from camkit.errors import UsageError
from camkit.settings.option import words

if TYPE_CHECKING:
    from camkit.pipeline.output import Runtime

GATES = Panel("Gates")
SWEEP = f"{0:.2f}, {1 / SWEEP_STEPS:.2f} … {1 - 1 / SWEEP_STEPS:.2f}"
Stores = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[STORE|FOLDER]...",
        help="Store (or its shards) or folder of PNG masks; - or nothing in a pipe: standard input.",
    ),
]
Numbers = Sequence[float] | None
Figures = dict[str, Any]


@dataclass(frozen=True)
class OfOne:
    """What is asked of one method, and of no comparison: the figures, where they are drawn, and what they must reach.

    asked  the options that were given
    """

    figures: Figures
    curve: Path | None
    csv: bool
    gates: Mapping[str, Any]
    asked: Sequence[str]


def figures(
    list: o.List = None,
    classes: o.Classes = None,
    gt_classes: Annotated[
        str | None,
        o.IMAGES(
            "What the numbers in the ground truth mean: lines `number name`, or names in the order of their numbers. "
            "Default: number N is the N-th class of the store.",
            metavar="voc|coco|FILE",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        o.METHOD(
            f"Of a maps store: one is used as it is, of several the best by mIoU. Default: {SWEEP}.",
            metavar="T[,T,…]",
        ),
    ] = None,
    mean_over: Annotated[
        str | None,
        o.METHOD(
            "Take means over these classes and background alone; so does the choice of the threshold.", metavar="NAME,…"
        ),
    ] = None,
) -> AskedOfAll:
    """By the names of what `evaluate_predictions` and `compare_predictions` take."""
    over = None if mean_over is None else [name.strip() for name in mean_over.split(",")]
    return {
        "list": list, "classes": classes, "thresholds": _fractions("--threshold", threshold), "mean_over": over,
        "truth_classes": gt_classes,
    }  # fmt: skip


def of_one(
    margins: Annotated[
        str | None,
        o.METHOD(
            f"Of signed scores: seeds are foreground above T, background below -T. Default: {words(SEED_MARGINS)}.",
            metavar="T,T,…",
        ),
    ] = None,
    parts: Annotated[
        Path | None,
        o.METHOD("Masks of the parts of objects (0 none, 1 …; names.txt names them): recall of each.", metavar="DIR"),
    ] = None,
    curve: Annotated[Path | None, o.OUTPUT("Of maps: draw the figures over the threshold.", metavar="PNG")] = None,
    csv: Annotated[bool, o.OUTPUT("The table per class as CSV on standard output.", "--csv")] = False,
    min_miou: Annotated[
        float | None, GATES("Exit with 1 if mIoU is below (43.5, or 0.435).", metavar="MIOU", low=0.0, high=100.0)
    ] = None,
    max_drop: Annotated[
        str | None,
        GATES(
            "Exit with 1 if mIoU is more than POINTS percent (default 0) below that of an earlier --json.",
            metavar="JSON[:POINTS]",
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        GATES(
            "Judge the images that have a prediction; otherwise a gate is not met while one has none.",
            "--allow-missing",
        ),
    ] = False,
) -> AskedOfOne:
    told = {"--csv": csv, "--margins": margins, "--parts": parts, "--curve": curve, "--min-miou": min_miou,
            "--max-drop": max_drop, "--allow-missing": allow_missing}  # fmt: skip
    earlier, points = (None, 0.0) if max_drop is None else baseline(max_drop)
    least = None if min_miou is None else fraction(min_miou)
    return OfOne(
        {"margins": _fractions("--margins", margins), "parts": parts, "curve": curve is not None}, curve, csv,
        {"min_miou": least, "baseline": earlier, "max_drop": points, "allow_missing": allow_missing},
        [option for option, value in told.items() if value not in (None, False)],
    )  # fmt: skip


def _fractions(option: str, text: str | None) -> Numbers:
    return None if text is None else numbers(option, text, low=0, high=1)


AskedOfAll = Annotated[Figures, Group(figures)]
AskedOfOne = Annotated[OfOne, Group(of_one)]


def command(
    stores: Stores = None,
    *,
    truth: Annotated[
        Path,
        o.IMAGES("Ground truth: a folder of PNG masks (255 is ignored), or a VOC root.", "--gt", metavar="FOLDER"),
    ],
    figures: AskedOfAll,
    of_one: AskedOfOne,
    ci: Annotated[
        bool,
        o.METHOD(
            f"How sure mIoU is: a {100 * INTERVAL_LEVEL:g} % interval, by a bootstrap over the images. A second pass "
            "over them.",
            "--ci",
        ),
    ] = False,
    compare: Annotated[
        bool,
        o.METHOD(
            "Each store is a method of its own: figures with intervals, and the differences to the first store.",
            "--compare",
        ),
    ] = False,
    json: o.Json = False,
    runtime: o.NoNetwork,
) -> None:
    """Compare maps, probabilities, masks or signed scores with the ground truth: IoU, precision, recall, pixel AP.

    Maps are judged at every threshold in one pass; the best one is reported.

    camkit evaluate cams.h5 --gt VOC2012/ --list val --curve curve.png

    camkit evaluate masks/ --gt truth/ --json > today.json

    camkit evaluate cams.h5 --gt VOC2012/ --min-miou 45 --max-drop last-week.json:0.5

    camkit evaluate cams.h5 lpcams.h5 --gt VOC2012/ --list val --compare
    """
    if json and of_one.csv:
        raise UsageError("standard output takes one of --json and --csv")
    if of_one.curve is not None:
        from camkit.view.picture import check_png

        check_png(of_one.curve, "--curve")
    if not compare:
        judge(stores or [], truth, runtime, {**figures, **of_one.figures, "interval": ci}, of_one, json=json)
        return
    if of_one.asked:
        raise UsageError(f"{', '.join(of_one.asked)}: not with --compare; run camkit evaluate of one store for that")
    compare_all(stores or [], truth, runtime, figures, json=json)


def compare_all(stores: Sequence[Path], truth: Path, runtime: Runtime, figures: Figures, *, json: bool) -> None:
    from camkit.cli.console import print_comparison, raise_for
    from camkit.stages.evaluate import compare_predictions

    comparison, failures = compare_predictions(stores, truth, runtime, **figures)
    print_comparison(comparison, json=json)
    raise_for(failures, comparison.reports[0].images + len(failures), "no method is judged on them")


def judge(
    stores: Sequence[Path], truth: Path, runtime: Runtime, figures: Figures, of_one: OfOne, *, json: bool
) -> None:
    from camkit.cli.console import print_report, raise_for
    from camkit.evaluate.gates import check_gates
    from camkit.evaluate.report import report_from
    from camkit.stages.evaluate import evaluate_predictions

    gates = of_one.gates
    if gates["allow_missing"] and gates["min_miou"] is gates["baseline"] is None:
        raise UsageError("--allow-missing is for gates: give --min-miou or --max-drop")
    if gates["baseline"] is not None:
        report_from(gates["baseline"])  # a file that is no report is told before the work, not after
    report, failures = evaluate_predictions(stores, truth, runtime, **figures)
    print_report(report, "json" if json else "csv" if of_one.csv else "table")
    if of_one.curve is not None:
        from camkit.view.curve import draw_curve

        draw_curve(report.curve, of_one.curve)
    check_gates(report, **gates)
    raise_for(failures, report.images + len(failures), "the figures leave them out")

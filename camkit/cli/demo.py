from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camkit.cli import options as o
from camkit.defaults import WORKERS

if TYPE_CHECKING:
    from camkit.stages.demo import Demo, Row

log = logging.getLogger("camkit")


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to draw and to write; made if it is not there.")
    ] = Path("camkit-demo"),
    scenes: Annotated[int, o.UNTITLED("How many scenes to draw.", metavar="N", low=1)] = 40,
    seed: Annotated[int, o.UNTITLED("Another seed, other scenes. 0 trained the classifier.", low=0)] = 1,
    full: Annotated[
        bool,
        o.UNTITLED("Go on to a segmentation network, taught by the masks, with and without saliency.", "--full"),
    ] = False,
    open_page: Annotated[
        bool | None,
        o.UNTITLED("Open the page in a browser. Default: if a person is there to see it.", "--open/--no-open"),
    ] = None,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
    device: o.Device = "auto",
    workers: o.Workers = WORKERS,
) -> None:
    """The first thing to run: draws small scenes, runs the pipeline on them, and shows what came of it.

    Tells each command that it runs, to be copied.

    Needs no data, no network, no GPU, and about a minute; --full twice that. Leaves DIR/report.html,
    DIR/sheet.png, DIR/masks and the stores, to try the other commands on.

    camkit demo

    camkit demo there/ --scenes 200 --full --json
    """
    from camkit.cli.console import print_lines
    from camkit.pipeline.output import Runtime
    from camkit.stages.demo import demo

    runtime = Runtime(device=device, workers=workers)
    result = demo(folder, runtime, scenes=scenes, seed=seed, full=full, overwrite=overwrite)
    print_lines([json.dumps(facts(result), indent=2)] if as_json else [table(result)])
    log.info("report: %s   contact sheet: %s   masks: %s", result.page, result.sheet, result.masks)
    log.info("next, photos of your own:  camkit masks photos/ --labels tags.csv --out result/")
    if open_page or (open_page is None and somebody_watches()):
        import webbrowser

        webbrowser.open(result.page.resolve().as_uri())


def somebody_watches() -> bool:
    """In a terminal, on a screen: elsewhere a browser would be a surprise, or a text one would take the terminal."""
    screen = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return screen and sys.stdout.isatty() and sys.stderr.isatty() and "SSH_CONNECTION" not in os.environ


def figures(row: Row) -> dict[str, float | None]:
    """Fractions in [0, 1]."""
    parts = {f"recall_of_{part}": recall for part, recall in row.parts.items()}
    return {
        "miou": row.report.miou, "average_precision": row.report.mean_average_precision,
        "precision": row.report.precision, "recall": row.report.recall, **parts,
        "seconds": row.seconds, "threshold": row.report.threshold,
    }  # fmt: skip


def facts(result: Demo) -> dict[str, Any]:
    return {
        "images": result.rows[0].report.images,
        "methods": [{"method": row.name, **figures(row)} for row in result.rows],
        "report": str(result.page), "sheet": str(result.sheet), "masks": str(result.masks),
    }  # fmt: skip


def table(result: Demo) -> str:
    import io
    import shutil

    from rich.console import Console
    from rich.table import Table

    parts = [f"of {part}" for part in result.rows[0].parts]
    drawn = Table("method", box=None, header_style="bold", pad_edge=False)
    for head in ("mIoU", "AP", "precision", "recall", *parts, "seconds"):
        drawn.add_column(head, justify="right")
    for row in result.rows:
        *shares, seconds, _ = figures(row).values()
        told = ("-" if share is None else f"{100 * share:.1f}" for share in shares)
        drawn.add_row(row.name, *told, f"{seconds or 0:.1f}")
    text = io.StringIO()
    width = max(shutil.get_terminal_size((100, 24)).columns, 60)
    console = Console(file=text, width=width, force_terminal=sys.stdout.isatty())
    console.print(drawn)
    console.print(
        f"{result.rows[0].report.images} drawn scenes; percent, maps at their best threshold by mIoU; AP: of pixels",
        style="dim",
    )
    return text.getvalue().rstrip("\n")

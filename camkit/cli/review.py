from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.defaults import MASK_THRESHOLD, REVIEW_TOP
from camkit.types import Doubt


def command(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE [STORE]", help="Of maps or probabilities; or two.")],
    *,
    by: Annotated[
        Doubt | None,
        o.METHOD(
            "entropy of probabilities; margin: how many pixels are near the threshold; disagreement of two stores' "
            "masks. Default: what fits the stores."
        ),
    ] = None,
    threshold: Annotated[float, o.METHOD("Where maps become masks.", low=0.0, high=1.0)] = MASK_THRESHOLD,
    top: Annotated[int, o.OUTPUT("So many images.", metavar="N", low=1)] = REVIEW_TOP,
    out: Annotated[
        Path | None,
        o.OUTPUT(
            "Draw them, too: a sheet (.png, .jpg) or a page (.html), the most doubtful first.",
            "--out",
            "-o",
            metavar="PNG|HTML",
        ),
    ] = None,
    images: o.Photos = None,
    json: o.Json = False,
) -> None:
    """The ids of the masks to look at first, one a line: those that the stores themselves are least sure of.

    Goes on as a --list: to look at, to correct, to leave out.

    camkit review probs.h5 --top 50 > doubtful.txt

    camkit review one.h5 other.h5 --out doubtful.html

    camkit show probs.h5 --list doubtful.txt --out doubtful.png
    """
    from json import dumps

    from camkit.cli.console import log, print_lines
    from camkit.stages.exhibition import View
    from camkit.stages.review import review
    from camkit.stages.show import columns_of, show_sheet, write_report

    found = review(stores, by=by, threshold=threshold, top=top)
    print_lines([dumps([vars(one) for one in found], indent=2)] if json else [one.id for one in found])
    if out is not None:
        view = View(images=images, ids=tuple(one.id for one in found), sort="given")
        with columns_of(stores, images=images) as columns:
            if out.suffix.lower() in (".html", ".htm"):
                log.info("%s: %d images", out, write_report(columns, out, view, title="camkit review"))
            else:
                log.info("%s: %d rows", out, show_sheet(columns, out, view))

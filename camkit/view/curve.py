"""The curve of a threshold sweep as a picture: mIoU, precision and recall over the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from camkit.errors import UsageError
from camkit.view.chart import BLUE, GREEN, VERMILION, Axis, Canvas, Chart, Frame, Line, percent
from camkit.view.picture import check_png

if TYPE_CHECKING:
    from camkit.evaluate.report import CurvePoint

WIDTH, HEIGHT = 900, 560
LEFT, TOP, RIGHT, BOTTOM = 74, 84, 150, 66

LINES = (
    ("mIoU", "miou", BLUE, 3.2),
    ("precision", "precision", VERMILION, 2.0),
    ("recall", "recall", GREEN, 2.0),
)


def draw_curve(points: Sequence[CurvePoint], path: Path, *, title: str = "") -> None:
    """Write the PNG `path`: figures in percent over the threshold, the threshold with the best mIoU marked."""
    check_png(path, "--curve")
    measured = [point for point in points if point.miou is not None]
    if len(measured) < 2:
        raise UsageError("a curve needs at least two thresholds; leave out the fixed threshold to sweep")
    best = max(measured, key=lambda point: point.miou or 0.0)
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.chart(_chart(measured, best), Frame(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM))
    best_line = f"best mIoU {100 * (best.miou or 0.0):.1f} % at threshold {best.threshold:.4g}"
    canvas.title(LEFT, title or "Threshold sweep", f"{best_line}; all figures in percent")
    canvas.save(path, "the curve")


def _chart(points: Sequence[CurvePoint], best: CurvePoint) -> Chart:
    return Chart(
        Axis("threshold", points[0].threshold, points[-1].threshold),
        Axis("", 0.0, _top(points), percent),
        [
            Line(name, [(point.threshold, getattr(point, field)) for point in points], colour, width)
            for name, field, colour, width in LINES
        ],
        (best.threshold, best.miou or 0.0),
    )


def _top(points: Sequence[CurvePoint]) -> float:
    """The next tenth above everything drawn, so that weak results still fill the picture."""
    highest = max(getattr(point, field) for point in points for _, field, _, _ in LINES)
    return min(1.0, max(0.1, (int(highest * 10 - 1e-9) + 1) / 10))

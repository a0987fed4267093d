"""How a training went, as a picture: the loss above, below how well it does, over the epochs.

Where saliency taught, last how well it fits the labels of the photos.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from camkit.agreement import MEAN, PARTS, agreement_words, shares_of
from camkit.errors import UsageError
from camkit.view.chart import BLUE, GREEN, VERMILION, Axis, Canvas, Chart, Frame, Line, Point, percent, round_above

WIDTH, PANEL = 900, 260
LEFT, TOP, RIGHT, BOTTOM, GAP = 74, 132, 150, 66, 112

Row = Mapping[str, float | None]

MEASURES = {
    "mean_average_precision": ("mAP", "mean average precision, percent"),
    "mean_iou": ("mIoU", "mean IoU, percent"),
}
"""What is drawn below the loss, and what people call it."""


def draw_learning_curve(rows: Sequence[Row], path: Path, *, title: str = "") -> None:
    """Write the PNG `path`. A row is an epoch: "epoch", "loss" and, where measured, "validation_loss", one of MEASURES
    in [0, 1], and what camkit.agreement names; None and numbers that are not finite leave a point out."""
    losses = [Line("training", _points(rows, "loss"), BLUE, 3.2)]
    losses.append(Line("validation", _points(rows, "validation_loss"), VERMILION, 3.2))
    losses = [line for line in losses if line.points]
    measure = next((name for name in MEASURES if _points(rows, name)), next(iter(MEASURES)))
    precisions = _points(rows, measure)
    if not losses and not precisions:
        raise UsageError("a learning curve needs at least one epoch with a loss or a mean average precision")
    epochs = _epochs([*(point for line in losses for point in line.points), *precisions])
    charts = [_loss_chart(epochs, losses)] if losses else []
    if precisions:
        charts.append(_precision_chart(epochs, precisions, measure))
    fitting = next((row for row in reversed(rows) if shares_of(row)), None)
    if fitting is not None:
        charts.append(_agreement_chart(fitting))
    canvas = Canvas(WIDTH, TOP + len(charts) * (PANEL + GAP) - GAP + BOTTOM)
    for number, chart in enumerate(charts):
        top = TOP + number * (PANEL + GAP)
        canvas.chart(chart, Frame(LEFT, top, WIDTH - RIGHT, top + PANEL))
    canvas.title(LEFT, title or "Training", _summary(losses, precisions, measure))
    canvas.save(path, "the learning curve")


def _points(rows: Sequence[Row], key: str) -> list[Point]:
    points = ((row["epoch"], row.get(key)) for row in rows)
    measured = [(epoch, value) for epoch, value in points if epoch is not None and value is not None]
    return sorted(point for point in measured if math.isfinite(point[1]))


def _epochs(points: Sequence[Point]) -> Axis:
    """One epoch stands in the middle."""
    first, last = min(points)[0], max(points)[0]
    room = 0.5 if first == last else 0.0
    return Axis("epoch", first - room, last + room, least_step=1.0)


def _loss_chart(epochs: Axis, lines: Sequence[Line]) -> Chart:
    values = [value for line in lines for _, value in line.points]
    lowest, highest = min(values), max(values)
    bottom = -round_above(-lowest) if lowest < 0 else 0.0
    top = round_above(highest) if highest > 0 else (0.0 if bottom else 1.0)
    return Chart(epochs, Axis("loss", bottom, top), lines)


def _precision_chart(epochs: Axis, points: Sequence[Point], measure: str) -> Chart:
    values = [value for _, value in points]
    lowest = math.floor(min(values) * 10 + 1e-9) / 10
    highest = math.ceil(max(values) * 10 - 1e-9) / 10
    if highest - lowest < 0.1:
        lowest, highest = (lowest, lowest + 0.1) if lowest < 0.95 else (0.9, 1.0)
    short, title = MEASURES[measure]
    return Chart(epochs, Axis(title, lowest, highest, percent), [Line(short, points, BLUE, 3.2)], _best(points))


def _agreement_chart(row: Row) -> Chart:
    """Shares of the photos as steps."""
    shares = shares_of(row)
    steps = [(edge / PARTS, share) for part, share in enumerate(shares) for edge in (part, part + 1)]
    x = Axis(f"agreement of saliency and labels: {agreement_words(row)}", 0.0, 1.0)
    y = Axis("photos, percent", 0.0, round_above(max(shares)), percent)
    mean = row[MEAN] or 0.0
    return Chart(x, y, [Line("photos", [(0.0, 0.0), *steps, (1.0, 0.0)], GREEN, 3.2)], (mean, _at(shares, mean)))


def _at(shares: Sequence[float], value: float) -> float:
    return shares[min(int(value * PARTS), PARTS - 1)]


def _best(points: Sequence[Point]) -> Point:
    """The first epoch with the highest value."""
    return max(points, key=lambda point: (point[1], -point[0]))


def _summary(losses: Sequence[Line], precisions: Sequence[Point], measure: str) -> str:
    last = [f"{line.name} loss {line.points[-1][1]:.4g}" for line in losses]
    if precisions:
        epoch, value = _best(precisions)
        last.append(f"best {MEASURES[measure][0]} {100 * value:.1f} % after epoch {epoch:g}")
    return ", ".join(last)

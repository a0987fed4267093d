"""mIoU over the threshold as inline SVG. Positions are percentages, so that text keeps its size on every screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from camkit.view.chart import Axis, percent, plain, spread, ticks
from camkit.view.page.content import Method
from camkit.view.page.markup import data, key, swatch, text
from camkit.view.page.markup import percent as one_decimal
from camkit.view.page.tables import measured

HEIGHT = 320  # pixels; page.css says the same
NAME_GAP = 18 / HEIGHT


@dataclass(frozen=True, slots=True)
class Series:
    """A method's sweep: thresholds and mIoU, ascending. A method that was not swept has one level for all."""

    number: int
    name: str
    points: tuple[tuple[float, float], ...]
    level: float | None = None

    @property
    def best(self) -> tuple[float, float]:
        """Where the sweep is highest: threshold and mIoU."""
        return max(self.points, key=lambda point: point[1])

    @property
    def end(self) -> float:
        """The mIoU at the right end, where the name stands."""
        return self.points[-1][1] if self.level is None else self.level


def plot(methods: Sequence[Method]) -> str:
    """The figure with legend, lines and what the script needs; nothing where no method was swept."""
    series = list(_series(methods))
    swept = [line for line in series if line.points]
    if not swept:
        return ""
    thresholds = [threshold for line in swept for threshold, _ in line.points]
    x = Axis("threshold", min(thresholds), max(thresholds))
    y = Axis("mIoU", 0.0, _top(series), percent)
    legend = "".join(
        f"<li>{swatch(line.number)}{text(line.name)} <small>{text(_said(line))}</small></li>" for line in series
    )
    said = "; ".join(f"{line.name}: {_said(line)}" for line in series)
    values = {
        "x": [x.lowest, x.highest],
        "y": y.highest,
        "lines": [{"name": line.name, "key": key(line.number), "points": line.points} for line in swept],
    }
    return (
        '<section><h2>Thresholds</h2><figure class="plot"><figcaption>mIoU in percent over the threshold.</figcaption>'
        f'<ul class="legend">{legend}</ul><div class="frame">'
        f'<svg role="img" aria-label="{text(f"mIoU over the threshold. {said}")}">{_grid(x, y)}'
        f"{''.join(_line(line, x, y) for line in reversed(series))}{_names(series, y)}"
        f'</svg></div><script type="application/json" id="curves">{data(values)}</script></figure></section>'
    )


def _series(methods: Sequence[Method]) -> Iterator[Series]:
    for number, method, report in measured(methods):
        points = tuple((point.threshold, point.miou) for point in report.curve if point.miou is not None)
        if len(points) > 1 and points[0][0] < points[-1][0]:
            yield Series(number, method.name, points)
        elif report.miou is not None:
            yield Series(number, method.name, (), report.miou)


def _said(line: Series) -> str:
    if line.level is not None:
        return one_decimal(line.level)
    threshold, miou = line.best
    return f"{one_decimal(miou)} at {threshold:g}"


def _top(series: Sequence[Series]) -> float:
    highest = max(line.best[1] if line.points else line.end for line in series)
    return min(1.0, max(0.1, (int(highest * 10 - 1e-9) + 1) / 10))


def _grid(x: Axis, y: Axis) -> str:
    parts = ['<g class="grid">']
    for value in ticks(y):
        at = _down(y, value)
        parts.append(
            f'<line x2="100%" y1="{at}" y2="{at}"/><text x="0" dx="-10" y="{at}" dy=".35em">{percent(value)}</text>'
        )
    for value in ticks(x):
        at = f"{100 * x.share(value):.3f}%"
        parts.append(f'<text class="under" x="{at}" y="100%" dy="22">{plain(value)}</text>')
    parts.append('<text class="label" x="50%" y="100%" dy="46">threshold</text></g>')
    return "".join(parts)


def _line(line: Series, x: Axis, y: Axis) -> str:
    if line.level is not None:
        at = _down(y, line.level)
        return f'<line class="level {key(line.number)}" x2="100%" y1="{at}" y2="{at}"/>'
    points = " ".join(
        f"{1000 * x.share(threshold):.2f},{1000 * (1 - y.share(miou)):.2f}" for threshold, miou in line.points
    )
    threshold, miou = line.best
    return (
        '<svg width="100%" height="100%" viewBox="0 0 1000 1000" preserveAspectRatio="none" overflow="visible">'
        f'<polyline class="{key(line.number)}" points="{points}"/></svg>'
        f'<circle class="{key(line.number)}" cx="{100 * x.share(threshold):.3f}%" cy="{_down(y, miou)}" r="5"/>'
    )


def _names(series: Sequence[Series], y: Axis) -> str:
    ordered = sorted(series, key=lambda line: -line.end)
    heights = spread([1 - y.share(line.end) for line in ordered], gap=NAME_GAP, highest=1.0)
    names = (
        f'<circle class="{key(line.number)}" cx="100%" cy="{100 * height:.3f}%" r="4" transform="translate(14)"/>'
        f'<text x="100%" dx="24" y="{100 * height:.3f}%" dy=".35em">{text(_short(line.name))}</text>'
        for line, height in zip(ordered, heights, strict=True)
    )
    return f'<g class="names">{"".join(names)}</g>'


def _down(y: Axis, value: float) -> str:
    return f"{100 * (1 - y.share(value)):.3f}%"


def _short(name: str, length: int = 18) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"

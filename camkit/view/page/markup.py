"""Pieces of HTML that several parts of the page use. All text passes through `text` or `data`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

NOTHING = "\N{EN DASH}"
"""Shown where nothing was measured."""

KEYS = 7
"""Colours that tell methods apart (`.k0` … in page.css); further methods take them again, dashed."""


def text(value: object) -> str:
    """Untrusted text for HTML, between tags or inside quotes."""
    return escape(str(value), quote=True)


def data(value: Any) -> str:
    """A value for a JSON chunk, which nothing inside can end."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def key(number: int) -> str:
    """The CSS classes of a method's colour."""
    return f"k{number % KEYS}" + (" again" if number >= KEYS else "")


def swatch(number: int) -> str:
    """A method's colour, beside its name."""
    return f'<i class="key {key(number)}"></i>'


def percent(fraction: float | None) -> str:
    """With one decimal, as in the papers."""
    return NOTHING if fraction is None else f"{100 * fraction:.1f}"


def bar(fraction: float | None, number: int) -> str:
    """A thin bar in the colour of a method."""
    length = 100 * min(max(fraction or 0.0, 0.0), 1.0)
    return (
        '<svg class="bar" aria-hidden="true"><rect width="100%" height="100%"/>'
        f'<rect class="{key(number)}" width="{length:.1f}%" height="100%"/></svg>'
    )


def figure_cells(
    values: Sequence[float | None], *, lowest: bool = False, numbers: Sequence[int] | None = None,
    below: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """Table cells in percent, the best of them bold; with bars in the colours `numbers`, and texts below, if given."""
    cells = []
    for place, won in enumerate(best(values, lowest=lowest)):
        beside = bar(values[place], numbers[place]) if numbers else ""
        note = f"<small>{text(below[place])}</small>" if below and below[place] else ""
        cells.append(cell(percent(values[place]), values[place], strong=won, beside=beside, below=note))
    return cells


def cell(shown: str, value: float | None = None, *, strong: bool = False, beside: str = "", below: str = "") -> str:
    """A number in a table, with the exact value to sort by; `beside` and `below` are HTML."""
    exact = "" if value is None else f' data-value="{value:.8g}"'
    name = "strong" if strong else "span"
    number = f"<{name}>{text(shown)}</{name}>" if strong or beside else text(shown)
    return f"<td{exact}>" + (f'<div class="measure">{number}{beside}</div>' if beside else number) + f"{below}</td>"


def best(values: Sequence[float | None], *, lowest: bool = False) -> list[bool]:
    """Which are the best, ties as shown included; none where there is nothing to compare."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return [False] * len(values)
    winner = percent(min(known) if lowest else max(known))
    return [value is not None and percent(value) == winner for value in values]


def table(name: str, about: str, heads: Iterable[str], rows: Iterable[str], *, foot: str = "") -> str:
    """A table that scrolls sideways on narrow screens. `heads` are whole th elements, `rows` the cells of each row."""
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    end = f"<tfoot><tr>{foot}</tr></tfoot>" if foot else ""
    return (
        f'<p class="about" id="about-{name}">{text(about)}</p>'
        f'<div class="scroll" role="region" aria-labelledby="about-{name}" tabindex="0">'
        f'<table class="{name}" aria-describedby="about-{name}"><thead><tr>{"".join(heads)}</tr></thead>\n'
        f"<tbody>{body}</tbody>{end}</table></div>"
    )


def head(name: str, about: str = "", *, before: str = "", below: str = "", barred: bool = False) -> str:
    """A column's heading; `about` appears when pointed at. Headings of cells with bars stand at their left."""
    title = f' title="{text(about)}"' if about else ""
    return f'<th scope="col"{title}{" class=barred" if barred else ""}>{before}{text(name)}{below}</th>'

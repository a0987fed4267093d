"""Writes the page piece by piece: figures first, then card after card, so that memory does not grow with the images."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from camkit.view.page import gallery, tables
from camkit.view.page.content import Card, Method
from camkit.view.page.markup import text
from camkit.view.page.plot import plot
from camkit.view.whole import whole_file

FOOTER = "</main><footer><p>Made with camkit. This page is one file and loads nothing.</p></footer></body></html>\n"


def write_page(path: Path, methods: Sequence[Method], cards: Iterable[Card], *, title: str, lead: str = "") -> None:
    """Write one HTML file that needs nothing else. The cards are taken one at a time, in the order they stand in."""
    with whole_file(path, "the page") as write:
        for piece in _pieces(methods, cards, title, lead):
            write(piece.encode("utf-8", errors="replace"))


def _pieces(methods: Sequence[Method], cards: Iterable[Card], title: str, lead: str) -> Iterator[str]:
    style, script = _style(methods), resource("page.js")
    yield page_head(title, style, script)
    yield f"<header><h1>{text(title)}</h1>" + (f'<p class="lead">{text(lead)}</p>' if lead else "") + "</header>\n"
    yield from _figures(methods)
    yield f"<script>{script}</script>\n"
    count = 0
    for count, card in enumerate(cards, 1):
        if count == 1:
            yield gallery.opening(methods)
        yield gallery.card(card, count - 1, methods)
    if count:
        yield gallery.closing(count)
    yield FOOTER


def _figures(methods: Sequence[Method]) -> Iterator[str]:
    if not tables.measured(methods):
        yield tables.method_list(methods) + tables.agreement_table(methods)
        return
    yield tables.method_table(methods)
    yield plot(methods)
    yield f'<div class="columns">{tables.class_table(methods)}<div>'
    yield tables.group_table(methods) + tables.part_table(methods) + tables.seed_table(methods)
    yield tables.agreement_table(methods)
    yield "</div></div>\n"


def page_head(title: str, style: str, script: str = "") -> str:
    """Whatever an id or a name contains: only this style, this script and pictures inside the file are allowed."""
    policy = (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style></head><body><main>\n"
    )


def _style(methods: Sequence[Method]) -> str:
    others = 2 if tables.measured(methods) else 1  # photo and, where there is one, ground truth
    return f"{resource('page.css')}:root{{--pictures:{others + len(methods)}}}"


def resource(name: str) -> str:
    return files("camkit.view.page").joinpath(name).read_text(encoding="utf-8")


def _digest(code: str) -> str:
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return f"'sha256-{digest}'"

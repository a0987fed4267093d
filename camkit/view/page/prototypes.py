"""A page of what prototypes look like: a picture for each class, in one file that loads nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

from camkit.view.page.markup import text
from camkit.view.page.write import FOOTER, page_head, resource
from camkit.view.whole import whole_file

LEAD = (
    "Each row is a centre of features: the classifier's probability of the class, the number of features, and the "
    "patches of photos nearest to it; a frame marks the cell. Pale rows are not used as prototypes."
)


def write_prototype_page(path: Path, pictures: Iterable[tuple[str, bytes]], *, title: str) -> None:
    """Write one HTML file with the JPEGs of the classes, taken one at a time."""
    with whole_file(path, "the page") as write:
        for piece in _pieces(pictures, title):
            write(piece.encode("utf-8", errors="replace"))


def _pieces(pictures: Iterable[tuple[str, bytes]], title: str) -> Iterator[str]:
    yield page_head(title, resource("page.css"))
    yield f'<header><h1>{text(title)}</h1><p class="lead">{text(LEAD)}</p></header>\n'
    for name, jpeg in pictures:
        source = base64.b64encode(jpeg).decode()
        yield (
            f'<section><div class="scroll" role="region" tabindex="0" aria-label="{text(name)}">'
            f'<img alt="Patches nearest to the prototypes of {text(name)}" src="data:image/jpeg;base64,{source}">'
            "</div></section>\n"
        )
    yield FOOTER

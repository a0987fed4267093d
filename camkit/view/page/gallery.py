"""The cards: photo, ground truth and one picture per method, with what is needed to filter and sort them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from camkit.view.page.content import Card, Method
from camkit.view.page.markup import data, percent, swatch, text

AT_ONCE = 24
"""Cards whose pictures are part of the page; those of others wait as text until their card comes into view."""

SIGNATURES = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG", "png"), (b"RIFF", "webp"), (b"GIF8", "gif"))

CONTROLS = """<form class="controls" role="search" hidden>
<label>class <select name="class"><option value="">all</option></select></label>
<label>order <select name="sort"><option value="">as listed</option><option value="id">by id</option>\
<option value="worst">worst IoU first</option><option value="best">best IoU first</option></select></label>
<label>of <select name="by"></select></label>
<label>id <input type="search" name="find" placeholder="part of an id" autocomplete="off" spellcheck="false"></label>
<output aria-live="polite"></output>
</form>"""

VIEWER = """<dialog id="viewer" aria-labelledby="viewed">
<header><h2 id="viewed"></h2><p></p><nav><button type="button" data-step="-1" aria-label="previous image">←</button>\
<button type="button" data-step="1" autofocus aria-label="next image">→</button>\
<button type="button" data-step="0" aria-label="close">✕</button></nav></header>
<div class="stage"></div>
</dialog>"""


def opening(methods: Sequence[Method]) -> str:
    """What stands before the cards."""
    judged = any(method.report for method in methods)
    about = '<p class="about">Beside a method\'s name: the mean IoU of the image, in percent.</p>' if judged else ""
    return f'<section class="gallery"><h2>Images</h2>{about}\n{CONTROLS}\n<div id="cards">\n'


def closing(count: int) -> str:
    """What stands after `count` cards."""
    rest = f"<noscript><p>The first {AT_ONCE} of {count:,} images; the others need JavaScript.</p></noscript>"
    return f"</div>\n{rest if count > AT_ONCE else ''}</section>\n{VIEWER}\n"


def card(card: Card, place: int, methods: Sequence[Method]) -> str:
    """The card at this place, from 0."""
    at_once = place < AT_ONCE
    pictures = list(_pictures(card, methods))
    sources = [_address(picture) for picture, _, _ in pictures if picture]
    shown = iter(sources)
    figures = []
    for picture, alt, caption in pictures:
        image = _image(alt, next(shown) if at_once else None) if picture else "<span>no picture</span>"
        figures.append(f'<figure><div class="well">{image}</div><figcaption>{caption}</figcaption></figure>')
    waiting = "" if at_once else f'<script type="application/json">{data(sources)}</script>'
    tags = "".join(_tag(name) for name in card.classes)
    height, width = card.size
    return (
        f'<article class="card{" first" if at_once else ""}" data-id="{text(card.id)}"'
        f' data-classes="{text(data(card.classes))}" data-ious="{text(data(card.ious))}">'
        f'<h3 title="{width} &#215; {height} px"><button type="button">{text(card.id)}</button></h3>'
        f'<p class="tags">{tags}</p><div class="strip">{"".join(figures)}</div>{waiting}</article>\n'
    )


def _pictures(card: Card, methods: Sequence[Method]) -> Iterator[tuple[bytes | None, str, str]]:
    """Every picture, its text for who cannot see it, and its caption as HTML."""
    what = ", ".join(card.classes) or "no class"
    yield card.photo, f"photo {card.id}: {what}", "photo"
    if card.truth is not None:
        yield card.truth, f"ground truth of {card.id}", "ground truth"
    columns = zip(methods, card.pictures, card.ious, strict=True)
    for number, (method, picture, iou) in enumerate(columns):
        figure = "" if iou is None else f"<b>{percent(iou)}</b>"
        said = "" if iou is None else f", IoU {percent(iou)} percent"
        yield picture, f"{method.name} on {card.id}{said}", f"<span>{swatch(number)}{text(method.name)}</span>{figure}"


def _image(alt: str, source: str | None) -> str:
    address = f' src="{source}" decoding="async"' if source else ""
    return f'<img alt="{text(alt)}"{address}>'


def _address(picture: bytes) -> str:
    kind = next((name for start, name in SIGNATURES if picture.startswith(start)), "png")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _tag(name: str) -> str:
    return f'<a href="#{text(urlencode({"class": name}, errors="replace"))}">{text(name)}</a>'

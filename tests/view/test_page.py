from __future__ import annotations

import base64
import hashlib
import json
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import InputError, OutputError
from camkit.view.page import Card, Method, write_page
from camkit.view.page.gallery import AT_ONCE
from camkit.view.page.gallery import card as card_html
from camkit.view.page.markup import best
from camkit.view.page.tables import duration
from tests.view.page_cases import NAMES, cards, iou, methods, picture, report

VOID = {"meta", "img", "input", "rect", "line", "circle", "polyline"}
HOSTILE = """</script><img src=x onerror="alert(1)">'"&amp;<!--"""


@dataclass
class Element:
    """A tag with its attributes, and all text inside it."""

    tag: str
    attributes: dict[str, str]
    inside: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.inside)

    def has(self, name: str) -> bool:
        return name in self.attributes.get("class", "").split()


class Page(HTMLParser):
    """The elements of a page in order; fails on tags that are not closed in the order they were opened."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(source)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.inside.append(data)

    def all(self, tag: str, name: str = "") -> list[Element]:
        return [element for element in self.elements if element.tag == tag and (not name or element.has(name))]

    def chunks(self) -> list[Element]:
        return [script for script in self.all("script") if script.attributes.get("type") == "application/json"]


def written(path: Path, *arguments: object, **options: str) -> str:
    write_page(path / "page.html", *arguments, **{"title": "Maps", **options})  # type: ignore[arg-type]
    assert [file.name for file in path.iterdir()] == ["page.html"]
    return (path / "page.html").read_text(encoding="utf-8")


def row_of(source: str, table: str, name: str) -> list[str]:
    """The cells of the row that begins with `name`, tags taken off, stars around what is bold."""
    body = re.search(rf'<table class="{table}".*?</table>', source, re.S)
    assert body
    rows = re.findall(r"<tr>(.*?)</tr>", body[0], re.S)
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", re.sub(r"</?strong>", "*", row), re.S) for row in rows]
    plain = [[re.sub(r"<small>.*?</small>|<[^>]*>", "", cell) for cell in row] for row in cells]
    return next(row for row in plain if row[0] == name)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"  # noqa: RUF001


def test_loads_nothing_and_allows_only_its_own_code(tmp_path: Path) -> None:
    page = Page(written(tmp_path, methods(), cards(30), lead="What is where"))
    policy = next(e for e in page.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.attributes["content"].startswith("default-src 'none'; img-src data:;")
    [style], [script] = page.all("style"), [e for e in page.all("script") if "type" not in e.attributes]
    for code in (style.text, script.text):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy.attributes["content"]
    assert "unsafe" not in policy.attributes["content"]
    for element in page.elements:
        assert element.attributes.get("src", "data:").startswith("data:")
        assert element.attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in element.attributes)
    assert not re.search(r"url\(|@import|fetch|XMLHttp", style.text + script.text)


def test_figures_stand_in_the_tables(tmp_path: Path) -> None:
    compared = methods()
    source = written(tmp_path, compared, cards(3))
    winners = best([method.report.miou for method in compared if method.report])
    for method, won in zip(compared, winners, strict=True):
        found = method.report
        assert found
        cells = row_of(source, "methods", method.name)
        assert cells[1] == (f"*{percent(found.miou)}*" if won else percent(found.miou))
        figures = [found.precision, found.recall, found.fp_rate, found.fn_rate, found.mean_average_precision]
        assert [cell.strip("*") for cell in cells[2:7]] == [percent(figure) for figure in figures]
        assert cells[7] == f"{found.threshold:g}"
        assert cells[8:] == [duration(method.seconds or 0), "6"]
        assert found.threshold_choice in source
    dog = [next(row.iou for row in m.report.classes if row.name == "dog") for m in compared if m.report]
    assert [cell.strip("*") for cell in row_of(source, "classes", "dog")[2:]] == [percent(value) for value in dog]
    assert row_of(source, "groups", "CAM")[1:]
    assert "6 images of val · ground truth voc/SegmentationClass" in source


def test_best_figures() -> None:
    assert best([0.1, 0.30001, 0.3, None]) == [False, True, True, False]
    assert best([0.1, 0.3], lowest=True) == [True, False]
    assert best([0.5, None]) == [False, False]
    assert best([]) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (119.4, "119 s"), (119.6, "2 min"), (7140, "119 min"),
     (7199, "2 h 00 min"), (90000, "25 h 00 min")],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_what_is_measured_differently_is_said_per_method(tmp_path: Path) -> None:
    first, second, _ = methods()
    assert second.report
    other = replace(second, report=replace(second.report, split="train", images=1, by_class_count=()))
    source = written(tmp_path, [first, other], [])
    assert "CAM: 6 images of val" in source
    assert "InferCam: 1 image of train" in source
    assert "6 images</small>" not in source


def test_curves_are_drawn_for_swept_methods(tmp_path: Path) -> None:
    compared = methods()
    page = Page(written(tmp_path, compared, []))
    assert len(page.all("polyline")) == 2
    assert len(page.all("line", "level")) == 1
    [values] = page.chunks()
    lines = json.loads(values.text)["lines"]
    assert [line["name"] for line in lines] == ["CAM", "InferCam"]
    assert compared[0].report
    assert lines[0]["points"] == [[point.threshold, point.miou] for point in compared[0].report.curve]
    source = written(tmp_path, compared[2:], [])
    assert not Page(source).all("polyline")
    assert 'id="curves"' not in source


def test_many_methods_stay_apart(tmp_path: Path) -> None:
    page = Page(written(tmp_path, [Method(f"method {number}", report(number)) for number in range(9)], cards(1, 9)))
    keys = {line.attributes["class"] for line in page.all("polyline")}
    assert len(keys) == 9


def test_pictures_wait_except_the_first(tmp_path: Path) -> None:
    count = AT_ONCE + 3
    page = Page(written(tmp_path, methods(), cards(count)))
    assert len(page.all("article")) == count
    assert len(page.all("article", "first")) == AT_ONCE
    images = page.all("img")
    assert len(images) == 5 * count
    assert ["src" in image.attributes for image in images] == [True] * 5 * AT_ONCE + [False] * 15
    assert all(image.attributes["alt"] for image in images)
    waiting = page.chunks()[1:]
    assert len(waiting) == 3
    last = list(cards(count))[-1]
    sources = [base64.b64decode(source.partition(",")[2]) for source in json.loads(waiting[-1].text)]
    assert sources == [last.photo, last.truth, *last.pictures]
    assert f"The first {AT_ONCE} of {count} images" in page.all("noscript")[0].text
    assert [json.loads(article.attributes["data-ious"]) for article in page.all("article")] == [
        [iou(number, column) for column in range(3)] for number in range(count)
    ]


def test_without_ground_truth_there_are_pictures_only(tmp_path: Path) -> None:
    shown = [replace(card, truth=None, ious=(None,) * 3, pictures=(None, *card.pictures[1:])) for card in cards(2)]
    page = Page(written(tmp_path, [replace(method, report=None) for method in methods()], shown))
    assert not page.all("table")
    assert page.all("dd")[0].text == "cam resnet50.pth · 12 s"
    assert len(page.all("img")) == 2 * 3
    assert sum(element.text == "no picture" for element in page.all("span")) == 2


def test_one_method_without_a_report_among_others(tmp_path: Path) -> None:
    source = written(tmp_path, [*methods()[:1], Method("masks", None)], [])
    assert set(row_of(source, "methods", "masks")[1:]) == {percent(None)}


def test_no_images_no_gallery(tmp_path: Path) -> None:
    page = Page(written(tmp_path, methods(), []))
    assert not page.all("article") + page.all("dialog")


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    names = [f"{name}{HOSTILE}" for name in NAMES]
    compared = [Method(HOSTILE, report(0, names=names), 1, HOSTILE), Method("b", report(1, names=names))]
    shown = [
        Card(HOSTILE + str(number), (HOSTILE, "a b"), picture(1), None, (picture(2), None), (0.5, None), (2, 3))
        for number in range(AT_ONCE + 2)
    ]
    page = Page(written(tmp_path, compared, shown, title=HOSTILE, lead=HOSTILE))
    sources = [image.attributes["src"] for image in page.all("img") if "src" in image.attributes]
    assert len(sources) == 2 * AT_ONCE
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert len(page.all("img")) == 2 * len(shown)
    assert len(page.all("script")) == 1 + 1 + 2
    assert page.all("h1")[0].text == page.all("title")[0].text == HOSTILE
    assert [article.attributes["data-id"] for article in page.all("article")] == [card.id for card in shown]
    assert json.loads(page.all("article")[0].attributes["data-classes"]) == [HOSTILE, "a b"]
    assert json.loads(page.chunks()[0].text)["lines"][0]["name"] == HOSTILE
    assert not any(name.startswith("on") for element in page.elements for name in element.attributes)


@given(
    name=st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"])), number=st.sampled_from([0, 99])
)
def test_any_text_comes_back(name: str, number: int) -> None:
    shown = Card(name, (name,), b"", None, (None,), (None,), (1, 1))
    article = Page(card_html(shown, number, [Method(name, None)])).all("article")[0]
    assert article.attributes["data-id"] == name
    assert json.loads(article.attributes["data-classes"]) == [name]


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    shown = Card("caf\udce9/ö", ("\udce9",), picture(1), None, (picture(2),), (None,), (2, 3))
    page = Page(written(tmp_path, [Method("m\udce9", None)], [shown]))
    assert page.all("article")[0].attributes["data-id"] == "caf?/ö"


def test_same_input_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path, methods(), cards(30)) == written(tmp_path, methods(), cards(30))


def test_memory_does_not_grow_with_the_cards(tmp_path: Path) -> None:
    compared = methods()
    heavy = Card("a", ("cat",), b"\xff\xd8\xff" + bytes(200_000), None, (None,) * 3, (None,) * 3, (2, 3))
    tracemalloc.start()
    try:
        write_page(tmp_path / "page.html", compared, (heavy for _ in range(100)), title="")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = (tmp_path / "page.html").stat().st_size
    assert size > 26_000_000
    assert peak < 5_000_000


def broken(error: Exception) -> Iterator[Card]:
    yield from cards(2)
    raise error


@pytest.mark.parametrize("error", [InputError("a photo is gone"), FileNotFoundError("photo.jpg"), KeyboardInterrupt()])
def test_appears_whole_or_not_at_all(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        write_page(tmp_path / "page.html", methods(), broken(error), title="")
    assert not list(tmp_path.iterdir())
    (tmp_path / "page.html").write_text("yesterday's")
    with pytest.raises(type(error)):
        write_page(tmp_path / "page.html", methods(), broken(error), title="")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["yesterday's"]


def test_unwritable_places(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write the page .*missing"):
        write_page(tmp_path / "missing" / "page.html", methods(), cards(1), title="")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write_page(tmp_path / "folder", methods(), cards(1), title="")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]

"""The page in a real browser, where there is one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.view.page import Card, Method, write_page
from camkit.view.page.gallery import AT_ONCE
from tests.view.chromium import PROGRAM, Browser, chromium
from tests.view.page_cases import NAMES, cards, iou, methods, picture, report

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs chromium or google-chrome")

COUNT = 500
SHOWN = "[...document.querySelectorAll('.card')].filter((card) => card.checkVisibility())"
IDS = f"{SHOWN}.map((card) => card.dataset.id)"
SETTLE = "new Promise((done) => requestAnimationFrame(() => setTimeout(done, 150)))"
HOSTILE = """</script><img src=x onerror="document.title='taken'">'"&amp;"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 cards with 10 kB pictures: about 27 MB."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, methods(), cards(COUNT, padding=10_000), title="Maps", lead="What is where")
    return path


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test ends without script errors, refused content and requests; and starts with a usual window."""
    if PROGRAM is None:
        yield
        return
    browser = request.getfixturevalue("browser")
    browser.screen(1280, 900)
    browser.problems.clear()
    browser.requests.clear()
    yield
    assert not browser.problems
    assert all(address.startswith(("file:", "about:")) for address in browser.requests)
    assert browser.value("document.documentElement.dataset.error ?? ''") == ""


def id_of(number: int) -> str:
    return f"2007_{number:06}"


def test_opens_fast(browser: Browser, page: Path, record_property: pytest.RecordProperty) -> None:
    browser.open(page)
    timings = browser.value(
        "({paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,"
        "loaded: performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd})"
    )
    record_property("milliseconds", json.dumps(timings))
    print(
        f"{page.stat().st_size / 1e6:.0f} MB: first paint {timings['paint']:.0f} ms, ready {timings['loaded']:.0f} ms"
    )
    assert 0 < timings["paint"] < timings["loaded"]
    assert browser.value(f"{IDS}.length") == COUNT
    assert browser.value("document.querySelector('.controls output').textContent") == f"{COUNT} images"


def test_pictures_are_decoded_when_they_come_into_view(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.value(SETTLE)
    last = "document.querySelector('.card:last-child')"
    assert not browser.value(f"{last}.querySelector('img').hasAttribute('src')")
    assert browser.value("document.querySelectorAll('.card script').length") > COUNT - AT_ONCE - 40
    browser.value(f"{last}.scrollIntoView()")
    browser.wait(f"[...{last}.querySelectorAll('img')].every((image) => image.naturalWidth === 24)")
    assert browser.value("document.querySelectorAll('.card script').length") > COUNT - AT_ONCE - 80


def test_filter_and_order_from_the_address(browser: Browser, page: Path) -> None:
    browser.open(page, "#class=dog&sort=worst&by=2")
    dogs = [number for number in range(COUNT) if NAMES[number % 4] == "dog"]
    keys = {number: (iou(number, 1) is None, iou(number, 1) or 0.0, number) for number in dogs}
    assert browser.value(IDS) == [id_of(number) for number in sorted(dogs, key=keys.__getitem__)]
    browser.value("location.hash = '#sort=best&find=00'")
    browser.wait("document.querySelector('.controls [name=sort]').value === 'best'")
    found = [number for number in range(COUNT) if "00" in id_of(number)]
    keys = {number: (iou(number, 0) is None, -(iou(number, 0) or 0.0), number) for number in found}
    assert browser.value(IDS) == [id_of(number) for number in sorted(found, key=keys.__getitem__)]
    assert browser.value("document.querySelectorAll('.card.first').length") >= AT_ONCE
    browser.value("location.hash = '#class=unheard-of&sort=sideways'")
    browser.wait(f"{IDS}.length === {COUNT}")


def test_controls_write_the_address(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.value(
        "(() => { const form = document.querySelector('.controls'); form.class.value = 'horse'; form.find.value = '11';"
        "form.dispatchEvent(new Event('input')); })()"
    )
    wanted = [id_of(number) for number in range(COUNT) if number % 4 == 2 and "11" in id_of(number)]
    assert wanted
    assert browser.value(IDS) == wanted
    assert browser.value("location.hash") == "#class=horse&find=11"
    browser.value("document.querySelector('.card:not([hidden]) .tags a').click()")
    assert browser.value("location.hash") == "#class=horse&find=11"
    browser.value("document.querySelector('.controls [name=find]').value = 'nothing has this'")
    browser.value("document.querySelector('.controls').dispatchEvent(new Event('input'))")
    assert browser.value(IDS) == []


def test_one_card_large(browser: Browser, page: Path) -> None:
    browser.open(page, "#class=cat")
    title = "document.querySelector('#viewer h2').textContent"
    browser.value("document.querySelector('.card[data-id=\"2007_000496\"] h3 button').focus()")
    browser.key("Enter")
    browser.wait("document.querySelector('#viewer').open")
    assert browser.value(title) == "2007_000496"
    browser.wait("[...document.querySelectorAll('#viewer img')].filter((image) => image.naturalWidth).length === 5")
    browser.key("ArrowRight")  # 496 is the last cat
    assert browser.value(title) == "2007_000000"
    browser.key("ArrowLeft")
    browser.key("ArrowLeft")
    assert browser.value(title) == "2007_000492"
    assert browser.value("document.querySelector('#viewer p').textContent") == "cat · 124 of 125"
    browser.key("Escape")
    browser.wait("!document.querySelector('#viewer').open")
    assert browser.value("document.activeElement.textContent") == "2007_000496"


def test_tables_sort(browser: Browser, page: Path) -> None:
    browser.open(page)
    column = "[...document.querySelectorAll('table.classes tbody tr')].map((row) => row.cells[2].dataset.value ?? '')"
    head = "document.querySelector('table.classes th:nth-child(3)')"
    before = browser.value(column)
    known = sorted((value for value in before if value), key=float)
    for order in (known[::-1], known):
        browser.value(f"{head}.querySelector('button').click()")
        assert browser.value(column) == order + [""] * (len(before) - len(known))
    assert browser.value(f"{head}.getAttribute('aria-sort')") == "ascending"


def test_curves_answer_the_pointer(browser: Browser, page: Path) -> None:
    browser.open(page)
    place = browser.value(
        "(() => { const svg = document.querySelector('.frame > svg'); svg.scrollIntoView({block: 'center'});"
        "const box = svg.getBoundingClientRect(); return [box.left + 0.34 * box.width, box.top + 50]; })()"
    )
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    browser.wait("!document.querySelector('.tip').hidden")
    said = browser.value("[...document.querySelector('.tip').children].map((row) => row.textContent)")
    swept = [(method.name, method.report.curve) for method in methods() if method.report and method.report.curve]
    lines = [f"{name}{100 * (curve[1].miou or 0):.1f}" for name, curve in swept]
    assert said == [f"threshold {swept[0][1][1].threshold:g}", *lines]
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    browser.wait("document.querySelector('.tip').hidden")


def test_shows_without_scripts(browser: Browser, page: Path) -> None:
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        loaded = "document.readyState === 'complete' && document.querySelector('footer')"
        browser.open(page, ready=loaded)
        assert browser.value("document.documentElement.dataset.ready ?? ''") == ""
        assert browser.value(f"{IDS}") == [id_of(number) for number in range(AT_ONCE)]
        assert browser.value("document.querySelectorAll('table tbody tr').length") > 8
        assert browser.value("document.querySelector('polyline').getBoundingClientRect().width") > 100
        assert not browser.value("document.querySelector('.controls').checkVisibility()")
        assert browser.value("document.querySelector('noscript').innerText").startswith(
            f"The first {AT_ONCE} of {COUNT}"
        )
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_fits_the_window_and_follows_the_scheme(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.screen(width, 900)
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(page)
    assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    with Image.open(io.BytesIO(browser.picture())) as seen:
        paper = np.asarray(seen.convert("L"))[:40, :10].mean()
    assert paper > 240 if scheme == "light" else paper < 40


def test_prints_the_first_cards_of_the_order_chosen(browser: Browser, page: Path) -> None:
    browser.open(page, "#sort=worst")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.value(f"{IDS}.length") == AT_ONCE
        assert browser.value(IDS)[0] == id_of(0)
        assert not browser.value("document.querySelector('.controls').checkVisibility()")
    finally:
        browser.ask("Emulation.setEmulatedMedia", media="")


def test_hostile_text_does_nothing(browser: Browser, tmp_path: Path) -> None:
    names = [f"{name}{HOSTILE}" for name in NAMES]
    compared = [Method(HOSTILE, report(0, names=names)), Method("b", report(1, names=names))]
    shown = [
        Card(f"{number}{HOSTILE}", (HOSTILE,), picture(1), None, (picture(2), None), (0.5, None), (2, 3))
        for number in range(AT_ONCE + 2)
    ]
    write_page(tmp_path / "page.html", compared, shown, title=HOSTILE, lead=HOSTILE)
    browser.open(tmp_path / "page.html")
    browser.value("document.querySelector('.card:last-child .tags a').click()")
    browser.value("document.querySelector('.card:last-child h3 button').click()")
    browser.value(SETTLE)
    assert browser.value("document.title") == HOSTILE
    assert browser.value("document.querySelector('#viewer h2').textContent") == f"{AT_ONCE + 1}{HOSTILE}"
    assert browser.value(f"{SHOWN}.length") == AT_ONCE + 2
    assert browser.value("document.querySelectorAll('img[onerror]').length") == 0


def test_unusual_names_and_orders(browser: Browser, tmp_path: Path) -> None:
    order = ["b/10", "b/9", "ä c"]
    shown = [Card(id, ("c++ & co",), picture(1), None, (picture(2),), (None,), (2, 3)) for id in order]
    write_page(tmp_path / "päge #1.html", [Method("m", None)], shown, title="")
    browser.open(tmp_path / "päge #1.html")
    assert browser.value(IDS) == order
    browser.value("document.querySelector('.tags a').click()")
    address = browser.value("location.hash")
    browser.open(tmp_path / "päge #1.html", f"{address}&sort=id")
    assert browser.value("document.querySelector('.controls').class.value") == "c++ & co"
    assert browser.value(IDS) == ["ä c", "b/9", "b/10"]
    assert browser.value("[...document.querySelector('.controls').sort.options].map((option) => option.value)") == [
        "",
        "id",
    ]

"""The page in a browser: nothing is asked for, nothing complains, everybody can read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from support import site_samples
from support.browser.bench import MODULES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site_samples.write(tmp_path_factory.mktemp("page"))


NAMES = ["index.html", *(f"{name}.html" for name in site_samples.NAMES)]
BAD = """<!doctype html><title>Bad</title><body style="background: #fff"><main>
<p style="color: #bbb">Pale words that are hard to read.</p><img src="data:,"></main>"""
AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .map((rule) => rule.id + ": " + rule.nodes.map((node) => node.html).slice(0, 3).join(" "))"""

LETTERS = """() => [...document.querySelectorAll("figure svg text")]
    .map((text) => [parseFloat(getComputedStyle(text).fontSize), text.ownerSVGElement])
    .filter(([size, svg]) => svg.clientWidth)
    .map(([size, svg]) => size * svg.clientWidth / svg.viewBox.baseVal.width)"""


def faults(page: Page) -> list[str]:
    """What axe finds: rule and elements."""
    page.evaluate((MODULES / "axe-core" / "axe.min.js").read_text())
    found: list[str] = page.evaluate(AXE)
    return found


def test_what_is_saved_is_a_number_and_a_line(pages: Path) -> None:
    tile = r"<dd>[\d.,]+ h<small>at least, by 1 change; estimate [\d.,]+ h</small></dd>"
    assert re.search(tile, (pages / "index.html").read_text())


def test_axe_sees_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD)
    visit = Visit(browser, tmp_path / "bad.html")
    rules = {fault.partition(":")[0] for fault in faults(visit.page)}
    assert {"image-alt", "color-contrast", "html-has-lang"} <= rules
    visit.page.close()


class Visit:
    """One page, open in a browser, with all that it asked for and said."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page: Page = browser.new_page(**options)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_asks_for_nothing_and_everybody_can_read_it(
    browser: Browser, pages: Path, name: str, scheme: str
) -> None:
    visit = Visit(browser, pages / name, color_scheme=scheme)
    assert visit.asked == [(pages / name).as_uri()]
    visit.page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true })")
    assert faults(visit.page) == []
    assert visit.said == []
    assert visit.page.locator("script").count() == 0
    visit.page.close()


@pytest.mark.parametrize("width", [375, 1200])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_as_wide_as_the_screen(
    browser: Browser, pages: Path, name: str, width: int
) -> None:
    visit = Visit(browser, pages / name, viewport={"width": width, "height": 800})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    heading = visit.page.locator("h1").bounding_box()
    assert heading is not None
    assert heading["y"] + heading["height"] <= 400
    visit.page.close()


def test_every_trial_is_drawn_and_the_levels_too(browser: Browser, pages: Path) -> None:
    visit = Visit(browser, pages / "running.html")
    for width, shown in ((1200, ".wide"), (390, ".narrow")):
        visit.page.set_viewport_size({"width": width, "height": 800})
        drawn = visit.page.locator("svg circle.trial:visible")
        assert drawn.count() == 2 * site_samples.PAIRS
        assert visit.page.locator("svg circle.trial.failed:visible").count() == site_samples.FAILED
        words = visit.page.locator(f"{shown} svg text").all_text_contents()
        assert {"promote at 7.5%", "no effect", "limit −10%", "planned size"} <= set(words)
        assert {"+10%", "10 s", "pairs"} <= set(words)  # no more decimals than the axis needs
    visit.page.close()


def test_on_a_phone_no_letter_of_a_picture_shrinks_and_nothing_of_it_is_cut(
    browser: Browser, pages: Path
) -> None:
    visit = Visit(browser, pages / "running.html", viewport={"width": 390, "height": 800})
    sizes = visit.page.evaluate(LETTERS)
    assert sizes
    assert min(sizes) >= 10  # px
    for picture in visit.page.locator("figure svg:visible").all():
        box = picture.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    first = visit.page.locator("table").first.locator("tbody td.number").first.bounding_box()
    assert first is not None  # the improvement of the primary metric
    assert first["x"] + first["width"] <= 390
    visit.page.close()


def test_more_than_2000_trials_are_drawn_as_quantiles(browser: Browser, pages: Path) -> None:
    visit = Visit(browser, pages / "many.html")
    assert visit.page.locator("svg circle.trial").count() == 0
    assert visit.page.locator("svg rect.box:visible").count() == 2
    assert "the middle half as a box" in visit.page.locator("main").inner_text()
    visit.page.close()


def test_hostile_words_are_only_shown(browser: Browser, pages: Path) -> None:
    visit = Visit(browser, pages / "hostile.html")
    assert visit.page.evaluate("window.hacked") is None
    text = visit.page.locator("body").inner_text()
    assert site_samples.HOSTILE in text
    links = visit.page.locator("a").evaluate_all("all => all.map((a) => a.protocol)")
    assert set(links) <= {"file:", "https:"}
    assert "<script>" not in (pages / "feed.xml").read_text()
    items = json.loads((pages / "portfolio.json").read_text())["experiments"]
    assert site_samples.HOSTILE in {item["name"] for item in items}
    visit.page.close()

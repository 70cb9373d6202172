"""The pictures of the README, from what expci writes: `make pictures` renews them.

The comment is `docs/examples/4-report-with-a-win.md`, which a test holds to the code; the page is
the one that the tests look at.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from support import site_samples
from support.browser.bench import FLAGS, NAMES, show_comment

DOCS = Path(__file__).parents[2] / "docs"
IMAGES = DOCS / "images"
WIDTH = 780  # px: a comment's text on a pull request


def comment(browser: Browser) -> None:
    page = browser.new_page(device_scale_factor=2)
    show_comment(page, (DOCS / "examples/4-report-with-a-win.md").read_text(), WIDTH)
    page.add_style_tag(content="body { padding: 12px }")
    page.set_viewport_size({"width": WIDTH + 24, "height": 540})
    page.screenshot(path=IMAGES / "comment.png")


def portfolio(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as directory:
        site_samples.write(Path(directory))
        page = browser.new_page(device_scale_factor=1.5, viewport={"width": 1000, "height": 760})
        page.goto((Path(directory) / "index.html").as_uri())
        page.screenshot(path=IMAGES / "page.png")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    chromium = next(filter(None, map(shutil.which, NAMES)))
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
        comment(started)
        portfolio(started)
        started.close()

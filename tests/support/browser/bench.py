"""Pages in a real browser: Chromium, driven by Playwright.

One browser for all tests of a worker, a page for each test. Nothing is loaded from a network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
MUST_RUN = os.environ.get("CI", "").lower() in ("1", "true")  # read before the tests clear it
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# Comments on GitHub keep line breaks and are set in 14 px (github-markdown-css has 16).
GFM = MarkdownIt("commonmark", {"breaks": True}).enable(["table", "strikethrough"])


def require_browser() -> str:
    """The path of a browser; on a machine without one the test is skipped, in CI it fails."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    missing = "install Chromium (Debian: chromium)" if path is None else ""
    if path is not None and not MODULES.is_dir():
        missing = "run `make browser`, which needs npm"
    if missing:
        (pytest.fail if MUST_RUN else pytest.skip)(f"no browser to look at pages with: {missing}")
    assert path is not None
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = require_browser()
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    made = browser.new_page()
    made.set_default_timeout(20_000)
    yield made
    made.close()


def show_comment(page: Page, markdown: str, width: int) -> None:
    """Show a comment as GitHub sets it, `width` pixels wide inside its border."""
    style = (MODULES / "github-markdown-css" / "github-markdown-light.css").read_text()
    page.set_viewport_size({"width": width, "height": 900})
    page.set_content(
        f"<!doctype html><meta charset=utf-8><style>{style} body {{ margin: 0 }}"
        ".markdown-body { font-size: 14px }</style>"
        f'<article class="markdown-body">{GFM.render(markdown)}</article>'
    )

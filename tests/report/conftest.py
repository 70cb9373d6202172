"""Golden files: whole reports, compared byte by byte; and one browser for all pages.

`EXPCI_GOLDEN=1 pytest tests/report` (or `pytest tests/report --golden`) writes them anew; read
the difference before it is committed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.browser.bench import browser, page

__all__ = ["browser", "page"]  # here once: a worker can drive one browser only
HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
REWRITE = bool(os.environ.get("EXPCI_GOLDEN"))  # now: a session fixture clears the environment


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: `text` is what stands in `golden/name`."""
    rewrite = REWRITE or request.config.getoption("--golden", default=False)

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if rewrite:
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.exists(), f"{name} is missing: run with EXPCI_GOLDEN=1 and read what it writes"
        assert text == path.read_text(encoding="utf-8")

    return compare

"""The documentation as a site: it builds, links lead somewhere, and no page asks another server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.shell_pages import DOCS

CONFIG = DOCS.parent / "mkdocs.yml"
ASKING = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?(https?://[^\"' >]+)")


def build(project: Path) -> subprocess.CompletedProcess[str]:
    tool = str(Path(sys.executable).parent / "zensical")
    command = [tool, "build", "--strict", "--config-file", "mkdocs.yml"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(CONFIG, tmp_path)
    return tmp_path


def test_the_pages_ask_no_other_server(project: Path) -> None:
    done = build(project)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((project / "site").rglob("*.html"))
    assert len(pages) > 30
    canonical = yaml.safe_load(CONFIG.read_text())["site_url"]
    for page in pages:
        text = page.read_text()
        asked = [url for url in ASKING.findall(text) if not url.startswith(canonical)]
        assert asked == [], page.name
        assert 'data-md-component="source"' not in text  # it asks GitHub for stars
        assert 'class="mermaid"' not in text  # its script would come from elsewhere


def test_a_link_that_leads_nowhere_fails_the_build(project: Path) -> None:
    with (project / "docs/tutorial.md").open("a") as page:
        page.write("\n[there](github.md#no-such-section)\n")
    done = build(project)
    assert done.returncode != 0
    assert "anchor does not exist" in done.stdout + done.stderr


def test_every_page_is_in_the_navigation() -> None:
    nav = str(yaml.safe_load(CONFIG.read_text())["nav"])
    assert [page.name for page in DOCS.glob("*.md") if f"'{page.name}'" not in nav] == []

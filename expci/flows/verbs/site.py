"""`expci site`: the page of a repository's experiments, as files in a directory.

A page is written when its sources changed: `pages.json` beside the pages keeps a digest of
each. What the ledger holds of the others is not read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from expci.core.model.trial import timestamp
from expci.flows.context import Context
from expci.flows.verbs.site_source import (
    Entries,
    own_entries,
    portfolio_rows_on_record,
    sources,
)
from expci.report.sections.links import WebPlace
from expci.report.site import portfolio_page
from expci.report.site.environment import templates_digest
from expci.report.site.experiment_page import experiment_page
from expci.report.site.source import PassHealth, SiteSource
from expci.store.published import days_without_passes

MANIFEST = "pages.json"


@dataclass(frozen=True)
class SiteResult:
    """What `expci site` did: file names in the directory."""

    directory: str
    written: tuple[str, ...]
    unchanged: int
    problems: tuple[str, ...]


def site(app: Context, directory: Path) -> SiteResult:
    """Write the page into `directory`, only what is not up to date."""
    directory.mkdir(parents=True, exist_ok=True)
    snapshot = app.store.snapshot()
    ledger, now = snapshot.ledger, app.clock()
    before = _read_manifest(directory)
    place = WebPlace(app.web, app.page)
    own = own_entries(ledger)
    rows, problems = portfolio_rows_on_record(app, ledger, own)
    digests = {
        portfolio_page.page_of(row.id): _digest(own, row.id, place)
        for row in rows
        if row.experiment is not None and portfolio_page.page_of(row.id)
    }
    stale = [
        row
        for row in rows
        if (page := portfolio_page.page_of(row.id)) in digests
        and (before.get(page) != digests[page] or not (directory / page).exists())
    ]
    written = []
    for source, plan in sources(app.git, ledger, stale, own):
        text = experiment_page(source, replace(place, directory=plan.directory))
        written.append(_write(directory, portfolio_page.page_of(source.row.id), text))
    unwatched = days_without_passes(snapshot.published, now)
    passed, waiting = snapshot.published.passed, len(snapshot.inbox)
    health = PassHealth(passed, waiting, timestamp(now), unwatched)
    written += _front(directory, SiteSource(_title(app), place, tuple(rows), health))
    _write(directory, MANIFEST, json.dumps({"schema": "expci.site/1", "pages": digests}, indent=1))
    return SiteResult(str(directory), tuple(written), len(digests) - len(stale), tuple(problems))


def _title(app: Context) -> str:
    return app.forge_name.partition("/")[2] if "/" in app.forge_name else app.root.name


def _front(directory: Path, source: SiteSource) -> list[str]:
    document = portfolio_page.portfolio_document(source)
    files = {
        "index.html": portfolio_page.portfolio_page(source),
        "portfolio.json": json.dumps(document, indent=1, ensure_ascii=False),
        "feed.xml": portfolio_page.feed(source),
        "badge.svg": portfolio_page.badge(source),
    }
    return [_write(directory, name, text) for name, text in files.items()]


def _write(directory: Path, name: str, text: str) -> str:
    """Write one file; what is the same already keeps its time."""
    path, data = directory / name, text.encode("utf-8", "replace")
    if not path.is_file() or path.read_bytes() != data:
        path.write_bytes(data)
    return name


# --- what is up to date ----------------------------------------------------------------


def _read_manifest(directory: Path) -> Mapping[str, str]:
    """The digest of each page by its name; nothing where there is no such file."""
    try:
        document = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in document["pages"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _digest(own: Entries, name: str, place: WebPlace) -> str:
    """Of all sources of a page: the experiment's part of the ledger, and the templates."""
    parts = [templates_digest(), place.repository, place.page]
    parts += [f"{path} {oid}" for path, oid in own.get(name, ())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

"""Experiments for the page, made by hand: running, won, with very many trials, hostile."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from expci.core.model.experiment import Experiment
from expci.core.model.trial import Trial, timestamp
from expci.report.sections.links import WebPlace
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.site import portfolio_page
from expci.report.site.experiment_page import experiment_page
from expci.report.site.look_points import LookPoint, point_of
from expci.report.site.source import ExperimentSource, PassHealth, SiteSource
from support import report_samples as samples

PAIRS, FAILED = 24, 3
TITLES = {
    "running": "Parallel agents in PR review",
    "watching": "Smaller base image",
    "ended": "Shorter system prompt",
    "many": "Cached dependencies",
    "hostile": "",
    "draft": "Tests in four shards",
}
NAMES = tuple(TITLES)
HOSTILE = "</title><script>hacked=1</script>\"'><img src=x onerror=hacked=1> {{ 7*7 }} javascript:x"
PLACE = WebPlace("https://github.com/octocat/tools", "https://octocat.github.io/tools")
_START = datetime(2026, 11, 19, 9, tzinfo=UTC)


def trials(pairs: int, failed: int = 0, word: str = "run") -> tuple[Trial, ...]:
    """`pairs` of each arm, two an hour; the last `failed` of them failed."""
    numbers = random.Random(7)
    made = []
    for index in range(2 * pairs):
        arm, ratio = (("control", 1.0), ("treatment", 0.79))[index % 2]
        value = 12.3 * ratio * numbers.lognormvariate(0, 0.12)
        made.append(
            Trial(
                id=f"{index:026}",
                experiment="parallel-review",
                plan=samples.PLAN,
                mode="lab",
                arm=arm,
                unit=f"{word}-{index // 2}",
                started=timestamp(_START + timedelta(minutes=30 * index)),
                status="failed" if index >= 2 * pairs - failed else "ok",
                metrics={"duration_s": value, "success": 1.0},
                context={"run_id": "4711", "repository": "octocat/tools"},
            )
        )
    return tuple(made)


def looks() -> tuple[LookPoint, ...]:
    """The looks of five passes: the interval closes around the effect."""
    made = []
    for units, width in ((4, 0.6), (8, 0.36), (12, 0.24), (16, 0.16), (20, 0.11)):
        comparison = samples.comparison(0.2, (0.2 - width, 0.2 + width * 0.8))
        metric = replace(samples.duration(), comparisons=(comparison,))
        analysis = samples.analysis("continue", "collecting", metrics=(metric,))
        progress = replace(analysis.progress, per_arm=units)
        made.append(point_of(replace(analysis, progress=progress)))
    return tuple(made)


def source(name: str) -> ExperimentSource:
    lives, experiment = samples.lives(), samples.experiment(id=name, name=TITLES[name])
    life, analysis, counted = lives["running"], samples.collecting(), trials(PAIRS, FAILED)
    promotion = None
    if name == "watching":
        life, analysis, promotion = lives["watching"], samples.watching(), samples.analysis()
    if name == "ended":
        life, analysis = lives["stopped"], samples.stopped_no_effect()
    if name == "many":
        counted = trials(1500)
    if name == "hostile":
        experiment, counted = hostile(experiment), trials(3, word=HOSTILE)
    row = PortfolioRow(name, experiment, life, analysis, promotion=promotion)
    if name == "draft":
        row = replace(row, life=lives["draft"], analysis=None)
    change = ("@@ -1,2 +1,2 @@", " Review:", "-one after the other", "+all at once")
    return ExperimentSource(
        experiment=experiment,
        life=row.life,
        analysis=row.analysis,
        row=row,
        looks=() if name == "draft" else looks(),
        counted=() if name == "draft" else counted,
        changes={("treatment", HOSTILE if name == "hostile" else "commands/review.md"): change},
    )


def hostile(experiment: Experiment) -> Experiment:
    return replace(experiment, name=HOSTILE, hypothesis=HOSTILE, owner=HOSTILE)


def portfolio(rows: Sequence[PortfolioRow]) -> SiteSource:
    health = PassHealth(samples.when(22), 3, samples.when(22, 11))
    return SiteSource("octocat/tools", PLACE, tuple(rows), health)


def write(directory: Path) -> Path:
    """All of them as files; the directory again."""
    made = [source(name) for name in NAMES]
    for item in made:
        page = portfolio_page.page_of(item.row.id)
        (directory / page).write_text(experiment_page(item, PLACE), encoding="utf-8")
    front = portfolio([item.row for item in made])
    (directory / "index.html").write_text(portfolio_page.portfolio_page(front), encoding="utf-8")
    document = json.dumps(portfolio_page.portfolio_document(front))
    (directory / "portfolio.json").write_text(document, encoding="utf-8")
    (directory / "feed.xml").write_text(portfolio_page.feed(front), encoding="utf-8")
    (directory / "badge.svg").write_text(portfolio_page.badge(front), encoding="utf-8")
    return directory

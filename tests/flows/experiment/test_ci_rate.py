"""How often what a lab's experiment changes runs is read from the CI's records, or not known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from expci.core.model.results import Progress
from expci.flows.auto.auto import auto
from expci.flows.verbs.analyze import analyze
from support.github_server import Fault
from support.hub_bench import HubBench, bench, template
from support.hub_stage import HubStage
from support.specimen import SPEC

__all__ = ["bench", "template"]

NIGHTLY = ".github/workflows/nightly.yml"


@pytest.fixture
def stage(bench: HubBench) -> HubStage:
    """A lab experiment on `work.sh`, which the workflow `nightly.yml` runs."""
    stage = HubStage.of(bench)
    repository = stage.repository
    repository.git("switch", "-q", "main")
    repository.write(NIGHTLY, "jobs: {work: {steps: [{run: ./work.sh}]}}\n")
    repository.write(".github/workflows/docs.yml", "# work.sh is described\nrun: cat work.sh.md\n")
    repository.commit("A workflow")
    repository.push("HEAD:main")
    return stage


def runs(stage: HubStage, count: int, days: float = 1, **fields: str) -> None:
    created = (stage.now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for _ in range(count):
        stage.bench.hub.add_run(**{"path": NIGHTLY, "created": created, **fields})


def listings(stage: HubStage) -> list[str]:
    """The listings of the workflow's runs that GitHub was asked for, whichever page."""
    return [call.path for call in stage.bench.hub.log if "/nightly.yml/runs" in call.path]


def progress(stage: HubStage) -> Progress:
    return analyze(stage.context, "speed").analysis.progress


def test_the_runs_of_thirty_days_make_the_rate(stage: HubStage) -> None:
    """Forty in thirty days are 40 · 365.25/12/30 = 40.58 a month."""
    runs(stage, 40)
    runs(stage, 7, days=31)
    runs(stage, 5, conclusion="skipped")
    runs(stage, 5, conclusion="cancelled")
    runs(stage, 9, path=".github/workflows/docs.yml")
    stage.begin()
    stage.pairs(8, 0.8)
    assert auto(stage.context).problems == []
    after = progress(stage)
    assert after.runs_per_month == pytest.approx(40.583333)
    assert after.hours_saved_per_month is not None
    # Some 2.4 s of 12 are saved in each run: 40.58 · 2.4 / 3600 = 0.027 hours.
    assert after.hours_saved_per_month[1] == pytest.approx(0.027, rel=0.2)


def test_a_pass_reads_them_once_and_an_idle_one_not_at_all(stage: HubStage) -> None:
    runs(stage, 40)
    stage.begin()
    stage.pairs(8, 0.8)
    auto(stage.context)
    assert len(listings(stage)) == 1
    stage.now += timedelta(hours=1)
    auto(stage.context)
    assert len(listings(stage)) == 1
    stage.now += timedelta(hours=6)
    auto(stage.context)
    assert len(listings(stage)) == 2


def test_more_runs_than_are_read_tell_the_rate_of_their_own_time(stage: HubStage) -> None:
    """300 runs in two days are 150 a day, 4,566 a month; three pages are read of them."""
    runs(stage, 100, days=3)
    runs(stage, 300, days=2)
    stage.begin()
    stage.pairs(8, 0.8)
    assert auto(stage.context).problems == []
    assert progress(stage).runs_per_month == pytest.approx(150 * 365.25 / 12, rel=0.01)
    calls = [call for call in stage.bench.hub.log if "/nightly.yml/runs" in call.path]
    assert {call.query.get("page", "1") for call in calls} == {"1", "2", "3"}


@pytest.mark.parametrize("why", ["no workflow names the file", "the records cannot be read"])
def test_what_nobody_knows_is_unknown(stage: HubStage, why: str) -> None:
    runs(stage, 40)
    if why.startswith("no"):
        stage.repository.write(NIGHTLY, "jobs: {work: {steps: [{run: make}]}}\n")
        stage.repository.commit("By make")
        stage.repository.push("HEAD:main")
    else:
        stage.bench.hub.faults.add(Fault.refusal("GET", "/nightly.yml/runs", 403, "no", times=9))
    stage.begin()
    stage.pairs(8, 0.8)
    assert auto(stage.context).problems == []
    stage.bench.hub.faults.waiting.clear()
    after = progress(stage)
    assert (after.runs_per_month, after.hours_saved_per_month) == (None, None)
    text = analyze(stage.context, "speed").render("markdown", full=True)
    assert "unknown: how often it runs outside the lab" in text


def test_a_stated_rate_asks_nobody(stage: HubStage) -> None:
    runs(stage, 40)
    stage.begin(spec=SPEC + "rate: 50/month\n")
    stage.pairs(8, 0.8)
    auto(stage.context)
    assert progress(stage).runs_per_month == 50
    assert listings(stage) == []

"""Reports call things what they are: methods, states, shares, units, numbers of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from expci.core.model import events
from expci.core.model.experiment import Experiment, PlanRules
from expci.core.model.results import Check, Evidence
from expci.report.documents import render
from expci.report.sections import records
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.sentences import units_of_design
from expci.report.text.phrases import in_text
from support import report_samples as samples


@pytest.mark.parametrize(
    ("inference", "words"),
    [
        ("anytime", "(anytime: valid at every look)"),
        ("group-sequential", "(group-sequential: valid at 20 planned looks)"),
        ("fixed", "(fixed: valid once, at the sample size)"),
    ],
)
def test_the_evidence_is_headed_by_its_own_method(inference: str, words: str) -> None:
    plan = replace(PlanRules(sample_size=40), inference=inference, looks=20)  # type: ignore[arg-type]
    experiment = samples.experiment(plan=plan)
    for text in everything(experiment):
        assert words in text
        others = {"anytime:", "group-sequential:", "fixed:"} - {f"{inference}:"}
        assert not [word for word in others if f"({word} valid" in text]


def everything(experiment: Experiment) -> list[str]:
    life, analysis = samples.life(), samples.analysis()
    return [
        render.comment(experiment, life, analysis, base_branch="main"),
        render.analysis_report(experiment, life, analysis),
    ]


def test_what_only_the_lab_ran_is_not_called_rolled_back() -> None:
    ended = events.RolledBack(
        at=samples.when(22), by="expci", why="harm", reason_code="harm_primary"
    )
    life = samples.life(ended)
    text = render.comment(samples.experiment(), life, samples.rollback(), base_branch="main")
    assert text.startswith("### ⏪ Stopped for harm: `treatment` raises `duration_s` by 15.2%")
    assert "olled back" not in text.splitlines()[0]
    row = PortfolioRow("x", samples.experiment(), life, samples.rollback())
    assert "rolled back 2026" not in render.status_report([row], all=True)
    assert records.event_word(ended, life) == "stopped for harm"
    assert records.event_word(ended, replace(life, mode="live")) == "rolled back"
    assert "olled back" not in in_text(records.event_views(life)[-1].what)


def test_a_change_that_is_in_use_counts_as_won() -> None:
    lives = samples.lives()
    rows = [
        PortfolioRow("w", samples.experiment(), lives["watching"], samples.watching()),
        PortfolioRow("e", samples.experiment(), lives["expired"], samples.expired()),
    ]
    text = render.status_report(rows, all=True)
    assert "50% (1 of 2 decided, 1 still watched)" in text


def test_one_is_singular() -> None:
    assert units_of_design(samples.experiment(), 1) == "1 pair"


def test_healthy_checks_are_a_number() -> None:
    text = render.comment(
        samples.experiment(), samples.life(), samples.analysis(), base_branch="main"
    )
    assert "🟡 2 of 4 checks pass · order effect warns" in text
    assert "2 of 4 checks pass" in text
    assert "sample ratio, attrition ok" not in text


def checked(*checks: Check, **life: Any) -> str:
    """The comment where these checks have run."""
    analysis = replace(samples.analysis(), checks=checks)
    lived = replace(samples.life(), **life)
    return render.comment(samples.experiment(), lived, analysis, base_branch="main")


def test_health_is_green_only_once_a_check_has_passed() -> None:
    check = Check("sample_ratio", "unknown")
    assert "⚪ no check has run yet" in checked()
    assert "⚪ 0 of 1 checks pass · 1 not yet possible" in checked(check)
    assert "🟢 1 of 1 checks pass" in checked(replace(check, status="ok"))


def test_an_alert_and_its_check_are_told_once() -> None:
    why = "30 of 93 trials repeat another"
    raised = events.AlertRaised(at="2026-11-22T10:00:00Z", by="expci", why=why, alert="duplicates")
    warned = Check("duplicates", "warning", None, why)
    assert f"**duplicates warning**: {why}" in checked(warned)
    told = checked(warned, alerts={"duplicates": raised})
    assert f"**alert duplicates** since 2026-11-22: {why}" in told
    assert "**duplicates warning**" not in told
    later = checked(replace(warned, detail="31 of 94"), alerts={"duplicates": raised})
    assert "**duplicates warning**: 31 of 94" in later


@pytest.mark.parametrize(
    ("in_pairs", "words"),
    [(False, "12 of 20 trials per arm"), (True, "12 of 20 pairs"), (None, "12 of 20 pairs")],
)
def test_a_paired_design_without_pairs_counts_trials(in_pairs: bool | None, words: str) -> None:
    """An earlier version did not say which, so the design does."""
    analysis = samples.collecting()
    analysis = replace(analysis, progress=replace(analysis.progress, in_pairs=in_pairs))
    text = render.comment(samples.experiment(), samples.life(), analysis, base_branch="main")
    assert f"Collecting: {words}; nothing is decided yet" in text


def test_values_that_never_vary_are_called_exact_as_primary_and_as_guardrail() -> None:
    exact = Evidence("exact", None, None, None)
    primary = samples.comparison(0.25, (0.25, 0.25), -3.0, (-3.0, -3.0), evidence=exact)
    guard = samples.comparison(-0.02, (-0.02, -0.02), -0.02, (-0.02, -0.02), evidence=exact)
    metrics = (
        replace(samples.duration(), comparisons=(primary,)),
        replace(samples.satisfaction(), comparisons=(guard,)),
    )
    analysis = samples.analysis(metrics=metrics)
    text = render.comment(samples.experiment(), samples.life(), analysis, base_branch="main")
    table = [line for line in text.splitlines() if line.startswith("| `")][:2]
    assert "**+25.0%** | exactly +25.0%" in table[0]
    assert "−2.0% | exactly −2.0%" in table[1]
    assert "`satisfaction` is worse with `treatment`: exactly −2.0%; its limit is 10%" in text

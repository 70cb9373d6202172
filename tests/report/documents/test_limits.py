"""Comments that would be too long, and analyses that know nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from expci.core.lifecycle.transitions import Life, State
from expci.core.model import events
from expci.core.model.experiment import Experiment, Metric
from expci.core.model.results import Analysis, Criterion, Decision, Progress, TrialCounts
from expci.report.documents import render
from expci.report.sections.portfolio_row import PortfolioRow
from support import report_samples as samples

GITHUB_LIMIT = 65_536  # characters of a comment; one more is refused with 422


def with_metrics(number: int, name: str = "metric") -> tuple[Experiment, Analysis]:
    guards = [Metric(f"{name}_{i}_s", "guardrail", "duration", "decrease") for i in range(number)]
    results = [replace(samples.duration(), name=metric.name, role="guardrail") for metric in guards]
    experiment = samples.experiment(metrics=(samples.DURATION, *guards))
    return experiment, samples.analysis(metrics=(samples.duration(), *results))


def test_forty_metrics_are_all_told() -> None:
    experiment, analysis = with_metrics(40)
    text = render.comment(experiment, samples.life(), analysis, base_branch="main")
    assert render.length(text) <= GITHUB_LIMIT
    assert all(f"`metric_{i}_s`" in text for i in range(40))
    assert "what you can do" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "name", "why"),
    [
        (100, "metric", "x"),
        (400, "metric", "x"),
        (40, "m" * 60, "@" * 500),
        (150, "|" * 300, "@#|<" * 500),
        (5, "日本" * 100, "😀" * 1500),
    ],
)
def test_a_comment_gives_up_sections_never_its_end(number: int, name: str, why: str) -> None:
    experiment, analysis = with_metrics(number, name)
    experiment = replace(experiment, name=why, hypothesis=why, owner=why)
    criteria = tuple(Criterion(why, True, why) for _ in range(50))
    decision = replace(analysis.decision, criteria=criteria, reasons=(why,) * 20, next=why)
    analysis = replace(analysis, decision=decision, notes=(why,) * 50)
    alerts = [
        events.AlertRaised(at=samples.when(20), by=why, why=why, alert=f"a{i}") for i in range(200)
    ]
    life = samples.life(*alerts)
    body = render.promote_body(
        experiment, life, analysis, data_hash="a" * 64, undo=why, conflicts=[why] * 500
    )
    comment = render.comment(experiment, life, analysis, base_branch=why)
    for text, kind in ((comment, "report"), (body, "promote")):
        assert render.length(text) <= GITHUB_LIMIT
        assert text.startswith("### ✅ Promote: ")
        assert text.endswith(f"{render.marker(kind, experiment.id)}\n")
        assert text.count("<details>") == text.count("</details>")
        assert "Shortened to fit" in text


def nothing_known() -> Analysis:
    """Every number that may be `None` is."""
    made = samples.no_data()
    empty: dict[str, Any] = {"progress": Progress(0, None), "checks": (), "version": ""}
    return replace(
        made,
        trials=TrialCounts({}, {}),
        decision=Decision("continue", "collecting", (), ""),
        **empty,
    )


def some_trials_nothing_known() -> Analysis:
    return replace(
        nothing_known(),
        trials=TrialCounts({"control": 3, "treatment": 0}, {}),
        progress=Progress(0, 20),
    )


@pytest.mark.parametrize("made", [nothing_known(), some_trials_nothing_known(), None])
@pytest.mark.parametrize("state", sorted(samples.lives()))
def test_none_is_said_in_words(made: Analysis | None, state: str) -> None:
    experiment, life = samples.experiment(owner=None), samples.lives()[state]
    bare = replace(life, promoted=None, promote_opened=None, ended=None, paused=None)
    for seen in (life, bare):
        texts = [
            render.comment(experiment, seen, made, base_branch="main"),
            render.status_one(experiment, seen, made),
            render.promote_body(experiment, seen, made, data_hash="", undo="", conflicts=[]),
            render.promote_title(experiment, made),
            render.revert_message(experiment, seen, made, ""),
            render.revert_body(experiment, seen, made, "it is protected"),
            *([render.state_comment(experiment, seen, made, "main")] if seen.events else []),
            *render.alert_issue(experiment, seen, made),
            render.status_report([PortfolioRow("x", experiment, seen, made)], all=True),
            *([render.analysis_report(experiment, seen, made)] if made else []),
        ]
        for text in texts:
            assert not re.search(r"\bNone\b|\bnan\b|\binf\b|\{\}|\[\]", text), text


def test_running_without_trials_is_loud_even_if_nobody_says_so() -> None:
    row = PortfolioRow("quiet", samples.experiment(), samples.life(), None)
    text = render.status_report([row], all=False)
    assert "1 in trouble" in text
    assert "!! running and no trial has arrived" in text
    assert "NO DATA" in text


def test_trials_that_were_all_left_out_are_told_with_their_reasons() -> None:
    made = replace(
        samples.no_data(), trials=TrialCounts({"control": 0, "treatment": 0}, {"file_changed": 9})
    )
    text = render.comment(samples.experiment(), samples.life(), made, base_branch="main")
    assert text.startswith("### 🔇 No data: running for 3 days, and no trial counts\n")
    assert "9 arrived and none was usable: file changed 9." in text


def test_trials_in_one_arm_only_are_not_no_data() -> None:
    made = some_trials_nothing_known()
    text = render.comment(samples.experiment(), samples.life(), made, base_branch="main")
    assert text.startswith("### 🧪 Collecting: 0 of 20 pairs; nothing is decided yet\n")


@pytest.mark.parametrize("state", ["watching", "promoted"])
def test_a_quiet_watch_is_never_called_safe(state: str) -> None:
    life: Life = samples.lives()[state]
    for made in (samples.watching(), samples.analysis("continue", "collecting"), None):
        text = render.comment(samples.experiment(), life, made, base_branch="main")
        assert "safe" not in text.replace("safe\\_2x2", "").lower()
    head = render.comment(samples.experiment(), life, samples.watching(), base_branch="main")
    assert "No harm shown; a harm to `duration_s` of 23.0% or more would probably" in head
    unknown = replace(samples.watching(), progress=Progress(10, 20))
    head = render.comment(samples.experiment(), life, unknown, base_branch="main")
    assert (
        "No harm shown; the 95% interval leaves room for a harm to `duration_s` of up to 2.0%"
        in head
    )


def test_harm_to_a_guardrail_names_the_guardrail() -> None:
    broken = samples.comparison(
        None, None, -0.3, (-0.48, -0.11), harm=0.0004, welch=None, paired=None
    )
    made = samples.analysis("rollback", "harm_guardrail")
    made = replace(made, metrics=(samples.duration(), samples.success(broken)))
    text = render.comment(samples.experiment(), samples.life(), made, base_branch="main")
    assert text.startswith("### 🛑 Roll back: `treatment` cuts `success` by 30.0 points\n")


def test_portfolio_counts_wins_and_adds_up_cautious_ends() -> None:
    lives = samples.lives()
    won = samples.watching()  # cautiously 2.2 h a month
    rows = [
        PortfolioRow(f"p{i}", samples.experiment(), lives["promoted"], None, promotion=won)
        for i in range(3)
    ] + [
        PortfolioRow("w", samples.experiment(), lives["watching"], won),
        PortfolioRow("e", samples.experiment(), lives["expired"], samples.expired()),
    ]
    text = render.status_report(rows, all=True)
    assert "80% (4 of 5 decided, 1 still watched)" in text
    assert "at least 6.6 h (3 promoted changes, cautious ends added up" in " ".join(text.split())


def test_a_win_with_promotion_switched_off_counts_as_a_win() -> None:
    ended = samples.life(events.Stopped(at=samples.when(22), by="expci", reason_code="win"))
    assert ended.state == State.STOPPED
    row = PortfolioRow("n", samples.experiment(), ended, samples.analysis())
    assert "100% (1 of 1 decided)" in render.status_report([row], all=True)


def test_a_marker_holds_only_an_id() -> None:
    assert render.marker("report", "a-1") == "<!-- expci:report:a-1 -->"
    assert render.marker("report", "--> <b>@x") == "<!-- expci:report:--bx -->"


def test_commands_are_those_of_the_place() -> None:
    experiment, life, analysis = samples.experiment(), samples.life(), samples.analysis()
    typed = render.comment(experiment, life, analysis, base_branch="main")
    commented = render.comment(experiment, life, analysis, base_branch="main", in_comments=True)
    for verb in ("pause", "stop", "extend", "promote", "rollback"):
        assert f"- `expci {verb} parallel-review" in typed
        assert f"- `/expci {verb} parallel-review" in commented


def test_a_title_does_not_call_harm_an_improvement() -> None:
    title = render.promote_title(samples.experiment(), samples.rollback())
    assert title.endswith("(duration_s worse by 15.2%)")

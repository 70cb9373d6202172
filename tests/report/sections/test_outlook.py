"""What the report says of the money, and what it recommends."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from expci.core.lifecycle.transitions import ENDED, State
from expci.core.model.budget import BudgetUse
from expci.core.model.results import Verdict
from expci.report.documents.environment import Format
from expci.report.documents.render import analysis_report
from expci.report.sections.outlook import budget_words, next_of_plan, recommendation
from expci.report.text.phrases import in_text
from support import report_samples


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (
            BudgetUse("cost_usd", 20.0, 4.2, 0, 0.1, 11.3),
            "$4.20 of $20 spent, at most about $11 more to a decision",
        ),
        (BudgetUse("cost_usd", 20.0, 20.0, 0, 0.1, 11.3), "$20 of $20 spent"),
        (
            BudgetUse("tokens", 5e6, 1.2e6, 3, 1e4, None),
            "1,200,000 tokens of 5,000,000 tokens spent, 3 runs without a value taken as the mean "
            "of the others",
        ),
    ],
)
def test_what_was_spent_and_what_a_decision_is_likely_to_cost(use: BudgetUse, words: str) -> None:
    assert budget_words(use) == words


@pytest.mark.parametrize("verdict", get_args(Verdict))
@pytest.mark.parametrize("state", State)
def test_every_verdict_in_every_state_has_its_report(verdict: str, state: State) -> None:
    life = replace(report_samples.life(), state=state)
    experiment, look = report_samples.experiment(), report_samples.analysis(verdict)
    for form in get_args(Format):
        assert analysis_report(experiment, life, look, form).strip()


def test_a_dropped_arm_leaves_the_others_running() -> None:
    look = report_samples.analysis("drop", "harm_primary")
    advice = recommendation(report_samples.experiment(), report_samples.life(), look)
    assert in_text(advice).startswith("Let the others run without treatment.")


def after_a_plan(state: State | None, *, is_current: bool) -> str:
    """What follows a plan for the files on disk; `None`: nothing was started yet."""
    experiment = report_samples.experiment()
    life = report_samples.life() if state is None else replace(report_samples.life(), state=state)
    running = None if state is None else experiment
    look = report_samples.collecting()
    return in_text(next_of_plan(experiment, life, running, look, is_current=is_current))


def test_a_plan_says_what_is_next_for_its_state() -> None:
    start = f"expci start {report_samples.experiment().id}"
    assert after_a_plan(None, is_current=False) == start
    for state in set(State) - {State.DRAFT}:
        assert start not in after_a_plan(state, is_current=True), state
        other = after_a_plan(state, is_current=False)
        assert other.startswith(start), state
        is_live = state not in ENDED
        assert (other != start) is is_live, state
        assert (state in other) is is_live, state

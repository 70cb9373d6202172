"""What the report says of the money, and what it recommends."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from expci.core.lifecycle.transitions import State
from expci.core.model.budget import BudgetUse
from expci.core.model.results import Verdict
from expci.report.documents.environment import Format
from expci.report.documents.render import analysis_report
from expci.report.sections.outlook import budget_words, recommendation
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

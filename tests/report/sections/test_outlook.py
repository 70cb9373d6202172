"""The money in the report."""

from __future__ import annotations

import pytest

from expci.core.model.budget import BudgetUse
from expci.report.sections.outlook import budget_words


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

"""What trials cost: sums worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from expci.core.dataset.costs import budget_use, mean_cost
from expci.core.dataset.recorded import trial_columns
from expci.core.model.budget import use
from expci.core.model.experiment import Budget
from expci.core.model.trial import Trial, derived_trial_id

PLAN, OTHER = "a" * 64, "b" * 64
BUDGET = Budget("cost_usd", 10)


def trial(number: int, cost: float | None = None, **changes: Any) -> Trial:
    metrics = {} if cost is None else {"cost_usd": cost}
    one = Trial(
        id=derived_trial_id(str(number)),
        experiment="faster",
        plan=PLAN,
        mode="lab",
        arm="control",
        unit=str(number),
        started="2026-11-22T10:00:00.000Z",
        metrics=metrics,
    )
    return replace(one, **changes)


def test_every_trial_of_the_plan_costs_whatever_became_of_it() -> None:
    trials = [
        trial(1, 1.5),
        trial(2, 2.5, status="failed"),
        trial(3, 2.0, status="error"),  # a rate limit, after some calls
        trial(4, 3.0, excluded="not_exposed"),
        trial(5, 100.0, plan=OTHER),
    ]
    spent = use(BUDGET, trials, PLAN)
    assert (spent.spent, spent.unreported, spent.per_trial) == (9.0, 0, 2.25)
    assert not spent.is_spent
    assert use(BUDGET, [*trials, trial(6, 1.0)], PLAN).is_spent
    assert budget_use(BUDGET, trial_columns(trials), PLAN) == spent


def test_a_run_without_a_value_costs_as_much_as_the_others_on_average() -> None:
    trials = [trial(1, 1.0), trial(2, 3.0), trial(3, status="timeout"), trial(4)]
    spent = use(BUDGET, trials, PLAN)
    assert (spent.spent, spent.unreported) == (4.0 + 2 * 2.0, 2)
    # What never ran costs nothing.
    never = [trial(5, status="error"), trial(6, status="lost")]
    assert use(BUDGET, [*trials, *never], PLAN) == spent
    assert budget_use(BUDGET, trial_columns([*trials, *never]), PLAN) == spent


def test_nothing_gives_money_back() -> None:
    assert use(BUDGET, [trial(1, -50.0), trial(2, 4.0)], PLAN).spent == 4.0


def test_without_a_value_the_mean_is_not_known() -> None:
    spent = use(BUDGET, [trial(1)], PLAN)
    assert (spent.spent, spent.per_trial, spent.unreported) == (0.0, None, 1)
    assert mean_cost(BUDGET, trial_columns([])) is None
    pilot = [trial(1, 2.0, plan=OTHER), trial(2, 4.0)]
    assert mean_cost(BUDGET, trial_columns(pilot)) == pytest.approx(3.0)

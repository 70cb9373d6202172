"""What an experiment's trials have cost so far, against its budget. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable

from expci.core.model.arm import Budget
from expci.core.model.trial import Trial
from expci.core.value_class import dataclass

JUDGE = "judge_"  # how the names of what a judge reports of itself begin
NEVER_RAN = ("error", "lost")


@dataclass(frozen=True)
class BudgetUse:
    """How much of a budget is used.

    `spent` counts each of the `unreported` runs, which reported no value, as the mean of the
    others. `per_trial` is that mean, `None` before there is one. `to_decision` is what the
    trials that are still planned are likely to cost; `None` where that cannot be computed.
    """

    metric: str
    most: float
    spent: float
    unreported: int = 0
    per_trial: float | None = None
    to_decision: float | None = None

    @property
    def is_spent(self) -> bool:
        return self.spent >= self.most


def use(budget: Budget, trials: Iterable[Trial], plan: str) -> BudgetUse:
    """Return what the trials of `plan` have cost, counted or not: a failure costs money too.

    >>> from dataclasses import replace
    >>> paid = Trial("", "e", "plan", "lab", "control", "1", "", metrics={"usd": 0.5})
    >>> trials = [paid, replace(paid, metrics={}), replace(paid, metrics={}, status="error")]
    >>> so_far = use(Budget("usd", 1.0), trials, "plan")
    >>> so_far.spent, so_far.unreported, so_far.is_spent  # an error never ran: it costs nothing
    (1.0, 1, True)
    """
    own = [trial for trial in trials if trial.plan == plan]
    names = cost_names(budget.metric)
    costs = [
        [max(0.0, t.metrics.get(name, 0.0)) for name in names]
        for t in own
        if budget.metric in t.metrics
    ]
    silent = sum(budget.metric not in t.metrics and t.status not in NEVER_RAN for t in own)
    return use_of(budget, map(math.fsum, costs), silent)


def cost_names(metric: str) -> tuple[str, str]:
    """Return the metrics that a budget of `metric` sums: the runs' own, and the judge's beside it.

    >>> cost_names("cost_usd")
    ('cost_usd', 'judge_cost_usd')
    """
    return metric, f"{JUDGE}{metric}"


def use_of(budget: Budget, costs: Iterable[float], unreported: int) -> BudgetUse:
    """Return what runs have cost whose `costs` are reported, and others; less than 0 counts as 0.

    >>> use_of(Budget("usd", 1.0), [0.5, -2.0], unreported=1).spent
    0.75
    """
    values = [max(0.0, cost) for cost in costs]
    per_trial = math.fsum(values) / len(values) if values else None
    spent = math.fsum(values) + unreported * (per_trial or 0.0)
    return BudgetUse(budget.metric, budget.most, spent, unreported, per_trial)

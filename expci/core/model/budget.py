"""What an experiment's trials have cost so far, against its budget. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from expci.core.model.experiment import Budget
from expci.core.model.trial import Trial

_NEVER_RAN = ("error", "lost")


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
    values = _costs(budget, own)
    unreported = sum(budget.metric not in t.metrics and t.status not in _NEVER_RAN for t in own)
    return _use(budget, values, unreported)


def mean_cost(budget: Budget, trials: Iterable[Trial]) -> float | None:
    """Return what a trial costs on average, of whatever plan; `None` where none tells.

    >>> run = Trial("", "e", "p", "lab", "control", "1", "", metrics={"usd": 0.25})
    >>> mean_cost(Budget("usd", 9.0), [run]), mean_cost(Budget("tokens", 9.0), [run])
    (0.25, None)
    """
    values = _costs(budget, trials)
    return math.fsum(values) / len(values) if values else None


def _costs(budget: Budget, trials: Iterable[Trial]) -> list[float]:
    """The values that trials report; a negative one gives nothing back."""
    return [max(0.0, t.metrics[budget.metric]) for t in trials if budget.metric in t.metrics]


def _use(budget: Budget, values: Sequence[float], unreported: int) -> BudgetUse:
    per_trial = math.fsum(values) / len(values) if values else None
    spent = math.fsum(values) + unreported * (per_trial or 0.0)
    return BudgetUse(budget.metric, budget.most, spent, unreported, per_trial)

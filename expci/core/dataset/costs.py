"""What an experiment's trials have cost so far, of columns."""

from __future__ import annotations

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model import budget
from expci.core.model.budget import BudgetUse
from expci.core.model.experiment import Budget


def budget_use(limit: Budget, trials: TrialColumns, plan: str) -> BudgetUse:
    """Return what the trials of `plan` have cost, counted or not: a failure costs money too.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import PLAN, make_trial
    >>> paid = make_trial(1, "control", metrics={"usd": 0.5})
    >>> silent, error = make_trial(2, "control"), make_trial(3, "control", status="error")
    >>> so_far = budget_use(Budget("usd", 1.0), trial_columns([paid, silent, error]), PLAN)
    >>> so_far.spent, so_far.unreported, so_far.is_spent  # an error never ran: it costs nothing
    (1.0, 1, True)
    """
    own = trials.take(np.flatnonzero(trials.plan.is_any(plan)))
    cost = _costs(limit, own)
    silent = np.isnan(cost) & ~own.status.is_any(*budget.NEVER_RAN)
    return budget.use_of(limit, cost[~np.isnan(cost)].tolist(), int(silent.sum()))


def mean_cost(limit: Budget, trials: TrialColumns) -> float | None:
    """Return what a trial costs on average, of whatever plan; `None` where none tells.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.model.trial import Trial
    >>> when = "2026-11-01T12:00:00Z"
    >>> runs = [Trial("", "e", "p", "lab", "control", "1", when, metrics={"usd": 0.25})]
    >>> mean_cost(Budget("usd", 9.0), trial_columns(runs))
    0.25
    >>> mean_cost(Budget("tokens", 9.0), trial_columns(runs)) is None
    True
    """
    cost = _costs(limit, trials)
    return budget.use_of(limit, cost[~np.isnan(cost)].tolist(), 0).per_trial


def _costs(limit: Budget, trials: TrialColumns) -> FloatArray:
    """What each run has cost with its judge; nan where the run reports nothing."""
    run, judge = (trials.metric(name) for name in budget.cost_names(limit.metric))
    own = np.nan_to_num(np.maximum(judge, 0.0), nan=0.0)
    return np.asarray(np.maximum(run, 0.0) + own)

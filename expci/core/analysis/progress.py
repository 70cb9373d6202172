"""How far an experiment is: units, time, money, and the smallest harm it could show by now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, timedelta

from expci.core.analysis.hours_a_month import hours_a_month
from expci.core.analysis.look import Look
from expci.core.analysis.rate import measured_rate, runs_a_month
from expci.core.dataset.costs import budget_use
from expci.core.dataset.dataset import Dataset
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.decision.thresholds import regression_limit
from expci.core.kinds import measured_spread
from expci.core.model.budget import BudgetUse
from expci.core.model.results import MetricResult, Progress
from expci.core.statistics import sample_size
from expci.core.statistics.terms import Terms


def progress_of(
    look: Look,
    trials: TrialColumns,
    data: Dataset,
    sizes: Mapping[str, int],
    measured: Mapping[str, int],
    terms: Terms,
) -> Progress:
    """Return how far it is; `trials_needed` are units per arm (pairs), as `target` and `per_arm`.

    `trials` are all on record, as the excluded ones have cost money too; `sizes` are by treatment,
    and so are `measured`, of which the sample size takes as many.

    >>> from support.analysis_samples import DURATION, alternating, look_of, make_experiment
    >>> from support.examples import NO_TRIALS, data_of, terms_of
    >>> look = look_of(make_experiment())
    >>> data = data_of(look.experiment, alternating([10.0, 12.0], [9.0, 11.0]))
    >>> two = {"treatment": 2}
    >>> progress = progress_of(look, NO_TRIALS, data, two, two, terms_of(DURATION))
    >>> progress.per_arm, progress.trials_needed, progress.trials_per_day
    (2, None, 3.0)
    """
    per_arm, usable = (
        min((n for arm, n in of.items() if arm not in look.dropped), default=0)
        for of in (sizes, measured)
    )
    needed = None if terms.target is None else max(0, terms.target - usable)
    rate = measured_rate(data.table.trials, look.at)
    return Progress(
        in_pairs=data.table.paired,
        per_arm=per_arm,
        target=terms.target,
        trials_needed=needed,
        trials_per_day=rate,
        expected_end=_expected_end(look, needed, rate),
        minimum_detectable_harm=_detectable_harm(look, data, terms),
        budget=_budget_use(look, trials, needed),
    )


def with_hours(
    progress: Progress,
    look: Look,
    counted: TrialColumns,
    metrics: Sequence[MetricResult],
    arm: str | None,
) -> Progress:
    """Return `progress` with the hours a month that `arm` saves, where a rate is known.

    >>> from support.analysis_samples import look_of, make_experiment
    >>> from support.examples import NO_TRIALS
    >>> from support.report_samples import comparison, duration
    >>> hour_less = comparison(difference=-3600.0, difference_interval=(-7200.0, -1800.0))
    >>> metrics = [duration(comparisons=(hour_less,))]
    >>> look = look_of(make_experiment(), runs_a_month=10.0)
    >>> with_hours(Progress(2, None), look, NO_TRIALS, metrics, "treatment").hours_saved_per_month
    (5.0, 10.0)
    """
    rate = runs_a_month(look, counted)
    hours, corrected = (None, None) if rate is None else hours_a_month(rate, metrics, arm)
    return replace(
        progress,
        hours_saved_per_month=hours,
        corrected_hours_saved_per_month=corrected,
        runs_per_month=rate,
    )


def _budget_use(look: Look, trials: TrialColumns, needed: int | None) -> BudgetUse | None:
    """What was spent, and what the trials that are still needed will cost at the mean so far."""
    if look.experiment.budget is None:
        return None
    use = budget_use(look.experiment.budget, trials, look.plan)
    if needed is None or use.per_trial is None:
        return use
    return replace(use, to_decision=needed * look.arms_left * use.per_trial)


def _expected_end(look: Look, needed: int | None, rate: float | None) -> str | None:
    """The day on which the sample size or the time limit is reached, whichever is first."""
    if needed is None or not rate:
        return None
    days = min(needed * look.arms_left / rate, 36500.0)
    end = min(look.at + timedelta(days=days), max(look.deadline, look.at))
    return end.astimezone(UTC).date().isoformat()


def _detectable_harm(look: Look, data: Dataset, terms: Terms) -> float | None:
    """The smallest worsening of the primary that these trials show with the plan's power.

    One-sided at the level of harm, and at least the limit that the estimate must pass.
    """
    metric = look.experiment.primary
    spread = measured_spread(metric, data.table, look.experiment.timeout_s)
    if spread is None:
        return None
    sizes = [int(data.path(metric.name, arm).first.sum()) for arm in range(2)]
    if not min(sizes):
        return None
    units = 2 * sizes[0] * sizes[1] / sum(sizes)
    harm = sample_size.detectable_effect(
        metric, terms.design, spread, units, 2 * terms.harm_level, terms.rules.power, worse=True
    )
    limit = regression_limit(metric)
    if harm is None or metric.traits.is_share or not limit.relative:
        return harm
    return max(harm, abs(limit.value))

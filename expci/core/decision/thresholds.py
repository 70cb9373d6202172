"""What evidence is compared with: limits, thresholds and levels, from the plan alone."""

from __future__ import annotations

from expci.core.model import limits
from expci.core.model.experiment import Experiment, Limit, Metric, default_limit

# Nothing is decided under these.
MINIMUM_UNITS = {"paired": limits.MINIMUM_PAIRS, "randomized": limits.MINIMUM_UNITS}

# One failure in twenty is 5 points though 0.95 − 1 is a little less in binary.
ROUNDING = 1e-9


def regression_limit(metric: Metric) -> Limit:
    """Return what may be lost at most: as stated, or 10 % (5 points for proportions).

    >>> regression_limit(Metric("cost", "guardrail", "mean", "decrease"))
    Limit(value=0.1, relative=True)
    """
    if metric.max_regression is not None:
        return metric.max_regression
    return default_limit(metric.kind)


def promotion_threshold(experiment: Experiment) -> Limit:
    """Return the estimate needed: `promote_at`, half of `minimum_effect`, or anything above 0.

    >>> from support.analysis_samples import make_experiment
    >>> promotion_threshold(make_experiment())  # half of `minimum_effect: 15%`
    Limit(value=0.075, relative=True)
    """
    if experiment.decision.promote_at is not None:
        return experiment.decision.promote_at
    effect = experiment.primary.minimum_effect
    if effect is not None:
        return Limit(limits.PROMOTE_AT_SHARE * effect.value, effect.relative)
    return Limit(0.0, experiment.primary.traits.is_logarithmic)


def compared_with(experiment: Experiment, metric: Metric) -> tuple[Limit, ...]:
    """Return every bound that the table compares an interval of `metric` with, besides 0.

    >>> from support.analysis_samples import make_experiment
    >>> plan = make_experiment()
    >>> [str(bound) for bound in compared_with(plan, plan.primary)]
    ['-10%', '7.5%']
    """
    allowed = regression_limit(metric)
    lost = Limit(-abs(allowed.value), allowed.relative)
    return (lost, promotion_threshold(experiment)) if metric.role == "primary" else (lost,)


def harm_level(experiment: Experiment, treatments: int) -> float:
    """Return the level of each harm test: alpha over all judged metrics and treatments.

    >>> from support.analysis_samples import make_experiment
    >>> harm_level(make_experiment(alpha=0.05), treatments=2)  # a primary and a guardrail: 4 tests
    0.0125
    """
    tests = (1 + len(experiment.guardrails)) * treatments
    return experiment.effective_rules.alpha / tests


def least_trials(experiment: Experiment) -> int:
    """Return the units per arm before which nothing is promoted: never over the sample size.

    >>> from support.analysis_samples import make_experiment
    >>> least_trials(make_experiment(min_trials=20, sample_size=15))
    15
    """
    plan = experiment.plan
    return plan.min_trials if plan.sample_size is None else min(plan.min_trials, plan.sample_size)

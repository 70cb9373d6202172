"""The primary's estimates freed of the winner's curse, and what a repository's past says of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from expci.core.model.experiment import CONTROL, Metric
from expci.core.model.limits import PAST_EXPERIMENTS, PRIOR_SHARE
from expci.core.model.results import Comparison, Corrected, Interval, MetricResult


@dataclass(frozen=True)
class Prior:
    """How large effects are expected to be: half of them are within this share of the planned one.

    `experiments` are the repository's own behind it, 0 where it is the usual share.
    """

    share: float
    experiments: int


def prior_of_past(past: Iterable[tuple[MetricResult, Metric, str | None]]) -> Prior:
    """Return what decided experiments say, whichever way they were decided.

    Fewer than `PAST_EXPERIMENTS` say less than the plan does.

    >>> prior_of_past([]) == Prior(PRIOR_SHARE, 0)  # nothing decided yet: the usual share
    True
    """
    pairs = [pair for one in past if (pair := standing(*one)) is not None]
    if len(pairs) < PAST_EXPERIMENTS:
        return Prior(PRIOR_SHARE, 0)
    from expci.core.statistics.shrinkage import prior_share

    return Prior(prior_share(pairs), len(pairs))


def corrected(
    comparison: Comparison, metric: Metric, control: float | None, share: float
) -> Corrected | None:
    """Return both estimates shrunk by a prior of `share` of the planned effect.

    `None` where no effect is planned, or no estimate has a standard error. Without an interval
    where the estimate lies outside its own: about which there is nothing to shrink.

    >>> from support.report_samples import DURATION, comparison
    >>> win = comparison(improvement=0.2, interval=(0.05, 0.35), improvement_error=0.1)
    >>> fewer = corrected(win, DURATION, control=None, share=1.0)
    >>> 0 < fewer.improvement < 0.2, corrected(win, DURATION, None, share=0.0)
    (True, None)
    """
    relative, absolute = _planned(metric, control)
    improvement = _shrunk(
        comparison.improvement,
        _improvement_error(comparison, metric),
        comparison.interval,
        relative and share * relative,
    )
    difference = _shrunk(
        comparison.difference,
        comparison.difference_error,
        comparison.difference_interval,
        absolute and share * absolute,
    )
    if improvement is None and difference is None:
        return None
    return Corrected(*(improvement or (None, None)), *(difference or (None, None)))


def _improvement_error(comparison: Comparison, metric: Metric) -> float | None:
    """A share's improvement is in points, as its difference is."""
    is_share = metric.traits.is_share
    return comparison.difference_error if is_share else comparison.improvement_error


def _planned(metric: Metric, control: float | None) -> tuple[float | None, float | None]:
    """The planned effect as an improvement, and as a difference in the metric's unit."""
    effect = metric.minimum_effect
    if effect is None:
        return None, None
    if metric.traits.is_share:
        return effect.value, effect.value
    size = abs(control) if control else None
    if effect.relative:
        return effect.value, None if size is None else effect.value * size
    return None if size is None else effect.value / size, effect.value


def _shrunk(
    estimate: float | None, error: float | None, interval: Interval | None, sd: float | None
) -> tuple[float, Interval | None] | None:
    if estimate is None or error is None or not sd:
        return None
    from expci.core.statistics.effect_scale import finite, unsteady
    from expci.core.statistics.shrinkage import shrunk

    if unsteady(estimate, interval):
        interval = None
    low, high = interval or (None, None)
    ends = -math.inf if low is None else low, math.inf if high is None else high
    value, *shrunken = (finite(float(number)) for number in shrunk(estimate, error, ends, sd))
    if value is None:
        return None
    return value, None if interval is None else (shrunken[0], shrunken[1])


def standing(result: MetricResult, metric: Metric, arm: str | None) -> tuple[float, float] | None:
    """Return a treatment's estimate and standard error, both over the planned effect.

    On the scale that the effect was planned on; `None` where one of the three is missing.

    >>> from support.report_samples import DURATION, comparison, duration
    >>> result = duration(comparisons=(comparison(improvement=0.3, improvement_error=0.075),))
    >>> standing(result, DURATION, "treatment"), standing(result, DURATION, "gone")  # of 15%
    ((2.0, 0.5), None)
    """
    comparison = next((item for item in result.comparisons if item.arm == arm), None)
    effect = metric.minimum_effect
    if comparison is None or effect is None or not effect.value:
        return None
    better = 1 if metric.direction == "increase" else -1
    if effect.relative and not metric.traits.is_share:
        estimate, error = comparison.improvement, comparison.improvement_error
    else:
        difference = comparison.difference
        estimate = None if difference is None else better * difference
        error = comparison.difference_error
    if estimate is None or error is None or not math.isfinite(estimate + error):
        return None
    return estimate / effect.value, error / effect.value


def control_mean(result: MetricResult) -> float | None:
    """Return control's mean, where it has values.

    >>> from support.report_samples import duration
    >>> control_mean(duration()), control_mean(duration(arms={}))
    (12.31, None)
    """
    return result.arms[CONTROL].mean if CONTROL in result.arms else None

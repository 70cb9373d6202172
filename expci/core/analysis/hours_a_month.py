"""What a faster treatment is worth: hours a month, as measured and free of the winner's curse."""

from __future__ import annotations

import math
from collections.abc import Sequence

from expci.core.model.metric_kinds import KINDS
from expci.core.model.metric_names import is_time
from expci.core.model.results import Interval, MetricResult

Hours = tuple[float, float]


def hours_a_month(
    rate: float, metrics: Sequence[MetricResult], arm: str | None
) -> tuple[Hours | None, Hours | None]:
    """Return saving per run × runs a month, (cautious end, estimate): as measured, corrected.

    Durations only; `None` without a closed interval.

    >>> from dataclasses import replace
    >>> from support.report_samples import comparison, duration
    >>> hour_less = comparison(difference=-3600.0, difference_interval=(-7200.0, -1800.0))
    >>> hour_less = replace(hour_less, corrected=None)
    >>> hours_a_month(10.0, [duration(comparisons=(hour_less,))], "treatment")
    ((5.0, 10.0), None)
    """
    primary = next(metric for metric in metrics if metric.role == "primary")
    timed = KINDS[primary.kind].is_timed and is_time(primary.name)
    if not timed or not primary.comparisons:
        return None, None
    named = [comparison for comparison in primary.comparisons if comparison.arm == arm]
    comparison = (named or list(primary.comparisons))[0]
    fewer = comparison.corrected
    return (
        _hours(rate, primary, comparison.difference, comparison.difference_interval),
        None
        if fewer is None
        else _hours(rate, primary, fewer.difference, fewer.difference_interval),
    )


def _hours(
    rate: float, primary: MetricResult, difference: float | None, interval: Interval | None
) -> Hours | None:
    end = None if interval is None else interval[1 if primary.direction == "decrease" else 0]
    if difference is None or end is None:
        return None
    sign = -1 if primary.direction == "decrease" else 1
    seconds = 0.001 if primary.name.endswith("_ms") else 1.0
    factor = sign * seconds * rate / 3600
    saved = factor * end + 0.0, factor * difference + 0.0  # no −0
    return saved if all(math.isfinite(value) for value in saved) else None

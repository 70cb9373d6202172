"""What each counted trial's run counts as on a metric.

The rules of what a failed, timed-out or repeated run counts as live here and nowhere else.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray
from expci.core.dataset.trials_table import TrialsTable
from expci.core.model.experiment import Metric
from expci.core.model.metric_names import is_time

_WARM_UP = 10  # no evidence is weighed on fewer trials, so a first maximum over them is fair


@dataclass(frozen=True)
class MetricColumn:
    """One metric of every counted trial; nan where it has none.

    `last` is `value` with failures ranked last: a failed run takes the worst time
    up to then (durations only, else the same). `unreported` marks runs that worked and
    did not report the metric; `unusable` counts values that the kind cannot take,
    `winsorized` those that were pulled in to the plan's quantile.
    """

    value: FloatArray
    last: FloatArray
    unreported: BoolArray
    censored: int = 0
    failures: int = 0
    unusable: int = 0
    winsorized: int = 0


def metric_column(metric: Metric, table: TrialsTable, timeout_s: float) -> MetricColumn:
    """Return what each counted trial's run counts as on `metric`, outliers pulled in where asked.

    >>> from support.analysis_samples import DURATION, make_experiment, make_trial
    >>> from support.examples import data_of
    >>> ends = [("ok", 12.0), ("timeout", 70.0), ("failed", 1.0)]
    >>> runs = [make_trial(n, "control", status=end, value=v) for n, (end, v) in enumerate(ends)]
    >>> column = metric_column(DURATION, data_of(make_experiment(), runs).table, timeout_s=60.0)
    >>> column.value, column.last  # at the timeout; a failure has no time and ranks last
    (array([12., 60., nan]), array([12., 60., 60.]))
    """
    column = _counted(metric, table, timeout_s)
    return column if metric.winsorize is None else _winsorized(column, metric.winsorize)


def _winsorized(column: MetricColumn, quantile: float) -> MetricColumn:
    """Values beyond the quantile of all values up to then, of all arms, count as that.

    So what comes later changes nothing, and nothing is cut before there are 1/(1 − quantile)
    values: only an order statistic is a bound.
    """
    last, earlier = column.last.copy(), list[float]()
    for index in np.flatnonzero(~np.isnan(last)):
        bisect.insort(earlier, float(last[index]))
        cut = len(earlier) - math.ceil(quantile * len(earlier))
        last[index] = min(max(last[index], earlier[cut]), earlier[-1 - cut])
    changed = ~np.isnan(last) & (last != column.last)
    return replace(
        column,
        value=np.where(np.isnan(column.value), np.nan, last),
        last=last,
        winsorized=int(changed.sum()),
    )


def _counted(metric: Metric, table: TrialsTable, timeout_s: float) -> MetricColumn:
    """What each counted trial's run counts as on `metric`.

    `success`: 1 or what an `ok` run reported; 0 for failed, timed-out and lost runs.
    Durations: a timeout counts at the timeout; a failure has no duration of its own
    (a broken build is a fast one), it is only ranked. All else: as reported.
    """
    if metric.name == "success":
        return _whole(_success(table), metric, table)
    if metric.traits.is_timed:
        return _durations(table.metric(metric.name), metric, table, timeout_s)
    return _whole(table.metric(metric.name), metric, table)


def _success(table: TrialsTable) -> FloatArray:
    reported = table.metric("success")
    return np.where(table.worked, np.where(np.isnan(reported), 1.0, reported), 0.0)


def _whole(reported: FloatArray, metric: Metric, table: TrialsTable) -> MetricColumn:
    value = reported.astype(np.float64)
    unusable = outside(metric, value)
    value = np.where(unusable, np.nan, value)
    missing = np.isnan(value) & table.worked
    return MetricColumn(value, value, missing, unusable=int(unusable.sum()))


def outside(metric: Metric, value: FloatArray) -> BoolArray:
    """Return where a reported value is none that the kind can take.

    >>> errors = Metric("errors", "primary", "count", "decrease")
    >>> outside(errors, np.array([0.0, 3.0, 0.5, -1.0]))
    array([False, False,  True,  True])
    """
    takes = metric.traits.values
    if takes is None:
        return np.zeros(value.shape, dtype=np.bool_)
    outside = np.zeros(value.shape, dtype=np.bool_)
    if takes.above is not None:
        outside |= value <= takes.above
    if takes.least is not None:
        outside |= value < takes.least
    if takes.most is not None:
        outside |= value > takes.most
    if takes.is_whole:
        outside |= ~np.isnan(value) & (value != np.floor(value))
    return outside


def _durations(
    reported: FloatArray, metric: Metric, table: TrialsTable, timeout_s: float
) -> MetricColumn:
    unusable = outside(metric, reported)
    reported = np.where(unusable, np.nan, reported)
    late = table.timed_out
    limit = timeout_s * (1000 if metric.name.endswith("_ms") else 1)
    at_limit = late & ((metric.name == "duration_s") | (np.isnan(reported) & is_time(metric.name)))
    observed = np.where(at_limit, limit, reported)
    # What a run that was cut off would have cost nobody knows: it ranks as a failed one.
    failed = table.failed | (late & np.isnan(observed))
    value = np.where(failed, np.nan, observed)
    return MetricColumn(
        value=value,
        last=np.where(failed, _worst_so_far(observed, metric), value),
        unreported=np.isnan(value) & ~failed,
        censored=int(at_limit.sum()),
        failures=int(failed.sum()),
        unusable=int(unusable.sum()),
    )


def _worst_so_far(observed: FloatArray, metric: Metric) -> FloatArray:
    """The worst time in the ledger up to each trial (and in its first ten)."""
    if not observed.size:
        return observed
    worse = np.fmax if metric.direction == "decrease" else np.fmin
    return worse(worse.accumulate(observed), worse.reduce(observed[:_WARM_UP]))

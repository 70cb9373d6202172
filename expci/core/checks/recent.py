"""Alerts on the latest trials: what a person should look at before the evidence decides.

A warning here decides nothing. Rates and regressions must also be unlikely to be noise (0.001,
over all looks together): an alarm that is always on is no alarm.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from expci.core import number_format
from expci.core.checks.inputs import ALARM, CheckInputs, worst
from expci.core.dataset.moments import BoolArray, FloatArray, moments
from expci.core.decision.thresholds import regression_limit
from expci.core.model.experiment import Metric
from expci.core.model.results import Check
from expci.core.special_functions import special
from expci.core.statistics import signed_rank

WINDOW = 20  # the latest trials of an arm
_LEAST = 5
_STEP = 5  # units of the smaller arm between two looks of a rate or regression
_QUIET = timedelta(days=3)
_GAPS = 5  # times the usual gap between trials


def error_rate(inputs: CheckInputs) -> Check | None:
    """Check the failures among an arm's latest trials against the rate of control before those.

    >>> from dataclasses import replace
    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> trials = alternating([10.0] * 20, [10.0] * 20)
    >>> trials = [replace(t, status="failed") if t.arm == "treatment" else t for t in trials]
    >>> alert = error_rate(check_inputs(trials))
    >>> alert.status, alert.detail
    ('warning', "20 of the latest 20 trials of treatment failed; control's rate is 0%")
    """
    failed = [inputs.table.failed[inputs.table.arm == arm] for arm in range(len(inputs.arms))]
    checks = []
    for index in inputs.remaining:
        arm = inputs.arms[index]
        sizes = inputs.block_sizes(arm) if index else (1, 1)
        steps = _steps(failed[0].size // sizes[0], failed[index].size // sizes[1])
        latest = failed[index][: steps * _STEP * sizes[1]][-WINDOW:]
        control = failed[0][: steps * _STEP * sizes[0]]
        base = control if index else control[:-WINDOW]
        if base.size and latest.size >= _LEAST:
            checks.append(_more_failures(arm, latest, base, (steps, len(failed))))
    return worst(checks)


def _steps(control: int, treatment: int) -> int:
    """How often these alerts were raised or not so far: at every few units of the smaller arm."""
    return min(control, treatment) // _STEP


def _at_every_look(p_value: float, looks: int, tests: int) -> float:
    """`p_value` of the latest look so that all looks together, and all tests, hold their level.

    The k-th look has the share 1/(k(k+1)) of it, which add up to 1.
    """
    return min(1.0, p_value * looks * (looks + 1) * tests)


def _more_failures(arm: str, latest: BoolArray, base: BoolArray, looks: tuple[int, int]) -> Check:
    hits, rate = int(latest.sum()), float(base.mean())
    p_value = _at_every_look(_fisher(hits, latest.size, int(base.sum()), base.size), *looks)
    detail = (
        f"{hits} of the latest {number_format.count(latest.size, 'trial')} of {arm} failed; "
        f"control's rate is {number_format.frequency(rate)}"
    )
    grave = hits / latest.size > 2 * rate and p_value <= ALARM
    return Check("error_rate", "warning" if grave else "ok", p_value, detail)


def _fisher(hits: int, n: int, others: int, m: int) -> float:
    """Fisher's exact one-sided p-value of `hits` of n, or more, beside `others` of m.

    >>> round(_fisher(3, 4, 1, 4), 4)
    0.2429
    """
    total = hits + others
    more = np.arange(hits, min(n, total) + 1, dtype=np.float64)
    ways = _log_choose(n, more) + _log_choose(m, total - more) - _log_choose(n + m, total)
    return float(min(1.0, np.exp(ways).sum()))


def _log_choose(n: int, k: FloatArray | float) -> FloatArray:
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))


def below_alert(inputs: CheckInputs) -> Check | None:
    """Check for a metric whose latest mean is under the `alert_below` of the plan.

    >>> from dataclasses import replace
    >>> from support.analysis_samples import DURATION, alternating, make_experiment
    >>> from support.examples import check_inputs
    >>> plan = make_experiment(primary=replace(DURATION, alert_below=5.0))
    >>> below_alert(check_inputs(alternating([10.0] * 5, [4.0] * 5), plan)).detail
    'duration_s of the latest 5 in treatment is 4.00 on average; the plan alerts below 5'
    """
    checks = [
        check
        for metric in inputs.experiment.metrics
        if metric.alert_below is not None and metric.name in inputs.columns
        for index in inputs.remaining
        if (check := _below(inputs, metric, index)) is not None
    ]
    return worst(checks)


def _below(inputs: CheckInputs, metric: Metric, index: int) -> Check | None:
    latest = inputs.data.units(metric.name, index)[-WINDOW:]
    if latest.size < _LEAST or metric.alert_below is None:
        return None
    mean = moments(latest).mean
    detail = (
        f"{metric.name} of the latest {latest.size} in {inputs.arms[index]} is "
        f"{number_format.number(mean)} on "
        f"average; the plan alerts below {number_format.stated(metric.alert_below)}"
    )
    return Check("alert_below", "warning" if mean < metric.alert_below else "ok", None, detail)


def regression(inputs: CheckInputs) -> Check | None:
    """Check whether the latest trials of a treatment are worse than control's, beyond the limit.

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> times = [9.0, 10.0, 11.0, 10.5, 9.5] * 4
    >>> slower = regression(check_inputs(alternating(times, [1.5 * time for time in times])))
    >>> slower.status, slower.detail
    ('warning', 'duration_s of the latest 20 in treatment is 50.0% worse')
    """
    checks = [
        check
        for metric in _judged(inputs)
        for index in inputs.remaining[1:]
        if (check := _regressed(inputs, metric, index)) is not None
    ]
    return worst(checks)


def _judged(inputs: CheckInputs) -> list[Metric]:
    """The metrics that decide and have an average."""
    return [
        metric
        for metric in inputs.experiment.metrics
        if metric.role != "secondary"
        and metric.traits.average is not None
        and metric.name in inputs.columns
    ]


def _regressed(inputs: CheckInputs, metric: Metric, index: int) -> Check | None:
    sizes = inputs.block_sizes(inputs.arms[index])
    arms = [inputs.data.units(metric.name, arm) for arm in (0, index)]
    steps = _steps(arms[0].size // sizes[0], arms[1].size // sizes[1])
    control, treatment = (
        units[: steps * _STEP * size][-WINDOW * size :]
        for units, size in zip(arms, sizes, strict=True)
    )
    mean = moments(control).mean
    z = signed_rank.mann_whitney_z(control, treatment)
    if z is None or steps * _STEP < _LEAST or not mean:
        return None
    worse = 1 if metric.direction == "decrease" else -1
    limit = regression_limit(metric)
    loss = worse * (moments(treatment).mean - mean) / (abs(mean) if limit.relative else 1.0)
    tests = (len(inputs.arms) - 1) * len(_judged(inputs))
    p_value = _at_every_look(float(special.ndtr(-worse * z)), steps, tests)
    size = number_format.improvement(loss, metric, limit.relative, sign=False)
    latest = f"{metric.name} of the latest {treatment.size} in {inputs.arms[index]}"
    detail = f"{latest} is {size} worse" if loss > 0 else f"{latest} is not worse"
    late = loss > abs(limit.value) and p_value <= ALARM
    return Check("regression", "warning" if late else "ok", p_value, detail)


def quiet(inputs: CheckInputs) -> Check | None:
    """Check that a trial came within three days, or five times the usual gap.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> trials = [make_trial(0, "control", value=10.0)]  # on 1 November
    >>> quiet(check_inputs(trials, at=datetime(2026, 11, 9, tzinfo=UTC))).detail
    'no trial since 2026-11-01: does the workflow still run?'
    """
    if inputs.at is None or not len(inputs.table):
        return None
    started = inputs.table.trials.seconds
    latest = datetime.fromtimestamp(float(started.max()), UTC)
    usual = timedelta(seconds=float(np.ptp(started))) / max(1, started.size - 1)
    silent = inputs.at - latest > max(_QUIET, _GAPS * usual)
    detail = f"the latest trial started on {latest.date().isoformat()}"
    if silent:
        detail = f"no trial since {latest.date().isoformat()}: does the workflow still run?"
    return Check("quiet", "warning" if silent else "ok", None, detail)


def overdue(inputs: CheckInputs) -> Check | None:
    """Check whether it runs longer than the plan's `max_days`.

    >>> from support.examples import check_inputs
    >>> end = datetime(2026, 11, 15, tzinfo=UTC)
    >>> overdue(check_inputs([], at=end - timedelta(days=1), deadline=end)) is None
    True
    >>> overdue(check_inputs([], at=end, deadline=end)).detail
    'it should have ended by 2026-11-15'
    """
    if inputs.at is None or inputs.deadline is None:
        return None
    late = inputs.at >= inputs.deadline
    detail = f"it should have ended by {inputs.deadline.date().isoformat()}"
    return Check("overdue", "warning", None, detail) if late else None

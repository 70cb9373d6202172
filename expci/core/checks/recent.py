"""Alerts on the latest trials: what a person should look at before the evidence decides.

A warning here decides nothing. Rates and regressions must also be unlikely to be noise
(0.001): an alarm that is always on is no alarm.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from scipy import special

from expci.core import number_format
from expci.core.checks.inputs import ALARM, CheckInputs, Status, worst
from expci.core.dataset.moments import moments
from expci.core.decision.thresholds import regression_limit
from expci.core.model.experiment import Metric
from expci.core.model.results import Check
from expci.core.statistics import classical

WINDOW = 20  # the latest trials of an arm
_LEAST = 5
_QUIET = timedelta(days=3)
_GAPS = 5  # times the usual gap between trials


def error_rate(inputs: CheckInputs) -> Check | None:
    """Failures among an arm's latest trials against control's rate before those."""
    if len(inputs.table.trials) < 2 * _LEAST:
        return None
    rows = [np.flatnonzero(inputs.table.arm == index) for index in range(len(inputs.arms))]
    base = inputs.table.failed[rows[0][:-WINDOW] if rows[0].size > 2 * WINDOW else rows[0]]
    rate = (float(base.sum()) + 0.5) / (base.size + 1)
    checks = []
    for index in inputs.remaining:
        latest = inputs.table.failed[rows[index][-WINDOW:]]
        if latest.size >= _LEAST:
            arm = inputs.arms[index]
            checks.append(_more_failures(arm, int(latest.sum()), int(latest.size), rate))
    return worst(checks)


def _more_failures(arm: str, failed: int, n: int, rate: float) -> Check:
    tail = float(special.bdtrc(failed - 1, n, rate)) if failed else 1.0
    base = number_format.frequency(rate)
    detail = f"{failed} of the latest {n} trials of {arm} failed; control's rate is {base}"
    status: Status = "warning" if failed / n > 2 * rate and tail <= ALARM else "ok"
    return Check("error_rate", status, tail, detail)


def below_alert(inputs: CheckInputs) -> Check | None:
    """A metric whose latest mean is under the `alert_below` of the plan."""
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
    """The latest trials of a treatment against control's latest: worse than the limit?"""
    judged = [m for m in inputs.experiment.metrics if m.role != "secondary"]
    checks = [
        check
        for metric in judged
        if metric.traits.average is not None and metric.name in inputs.columns
        for index in inputs.remaining[1:]
        if (check := _regressed(inputs, metric, index)) is not None
    ]
    return worst(checks)


def _regressed(inputs: CheckInputs, metric: Metric, index: int) -> Check | None:
    control, treatment = (
        moments(inputs.data.units(metric.name, arm)[-WINDOW:]) for arm in (0, index)
    )
    gap = classical.welch_difference(control, treatment)
    if gap is None or min(control.n, treatment.n) < _LEAST or not control.mean:
        return None
    worse = 1 if metric.direction == "decrease" else -1
    limit = regression_limit(metric)
    loss = worse * gap.estimate / (abs(control.mean) if limit.relative else 1.0)
    p_value = float(special.stdtr(gap.df, -worse * gap.t))
    size = number_format.improvement(loss, metric.name, metric.kind, limit.relative, sign=False)
    detail = f"{metric.name} of the latest {treatment.n} in {inputs.arms[index]} is {size} worse"
    if loss <= 0:
        detail = f"{metric.name} of the latest {treatment.n} in {inputs.arms[index]} is not worse"
    late = loss > abs(limit.value) and p_value <= ALARM
    return Check("regression", "warning" if late else "ok", p_value, detail)


def quiet(inputs: CheckInputs) -> Check | None:
    """No trial for three days, and for five times as long as is usual here."""
    if inputs.at is None or not inputs.table.trials:
        return None
    started = inputs.table.started
    latest = datetime.fromtimestamp(float(started.max()), UTC)
    usual = timedelta(seconds=float(np.ptp(started))) / max(1, started.size - 1)
    silent = inputs.at - latest > max(_QUIET, _GAPS * usual)
    detail = f"the latest trial started on {latest.date().isoformat()}"
    if silent:
        detail = f"no trial since {latest.date().isoformat()}: does the workflow still run?"
    return Check("quiet", "warning" if silent else "ok", None, detail)


def overdue(inputs: CheckInputs) -> Check | None:
    """Running longer than the plan's `max_days`."""
    if inputs.at is None or inputs.deadline is None:
        return None
    late = inputs.at >= inputs.deadline
    detail = f"it was to end by {inputs.deadline.date().isoformat()}"
    return Check("overdue", "warning", None, detail) if late else None

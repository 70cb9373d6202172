"""Trust checks on the data themselves: do they drift, repeat or differ in kind between arms?

Each is a function from the inputs to one `Check`, or `None` where it does not apply.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from expci.core import number_format
from expci.core.checks.inputs import ALARM, CheckInputs, Status, rates_by_arm, two_groups
from expci.core.dataset.moments import FloatArray
from expci.core.model.results import Check
from expci.core.model.trial import Trial
from expci.core.statistics import change_point, t_mixture

_WINDOW = 20
_SPREAD_RATIO = 2.0
_MOST_CPUS = 5
_DIGITS = 8  # of all metrics together


def _primary(inputs: CheckInputs) -> FloatArray | None:
    """The primary's values on the scale of analysis; `None` for proportions."""
    metric = inputs.experiment.primary
    column = inputs.columns.get(metric.name)
    if column is None or metric.traits.is_share:
        return None
    return np.log(column.value) if metric.traits.is_logarithmic else column.value


def control_drift(inputs: CheckInputs) -> Check | None:
    """Did control itself change along the way? Then an arm that ran later is no fair match.

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> before, after = [9.0, 10.0, 11.0] * 8, [19.0, 20.0, 21.0] * 8
    >>> drift = control_drift(check_inputs(alternating(before + after, before + after)))
    >>> drift.status, drift.detail.split(":")[0]
    ('warning', 'control changed after 24 units')
    """
    values = _primary(inputs)
    if values is None:
        return None
    control = inputs.table.path(0, values).final
    change = change_point.change_point(control)
    if change is None:
        return Check("control_drift", "unknown", None, f"{control.size} units of control")
    p_value = t_mixture.p_value_of(change.log_e_value)
    if p_value > ALARM:
        return Check("control_drift", "ok", p_value, f"{control.size} units of control are alike")
    ends = (change.before, change.after)
    if inputs.experiment.primary.traits.is_logarithmic:
        ends = (math.exp(ends[0]), math.exp(ends[1]))
    detail = (
        f"control changed after {change.index} units: {number_format.number(ends[0])} before, "
        f"{number_format.number(ends[1])} after; "
        "what ran beside it is still compared fairly where arms took turns"
    )
    return Check("control_drift", "warning", p_value, detail)


def variance_ratio(inputs: CheckInputs) -> Check | None:
    """Do the arms vary alike? Distances from each arm's median compared (Brown & Forsythe 1974).

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> even, uneven = [9.0, 10.0, 11.0, 10.5] * 10, [2.0, 10.0, 30.0, 11.0] * 10
    >>> spread = variance_ratio(check_inputs(alternating(even, uneven)))
    >>> spread.status
    'warning'
    """
    values = _primary(inputs)
    if values is None:
        return None
    finals = [inputs.table.path(index, values).final for index in range(len(inputs.arms))]
    checks = []
    for arm, treatment in zip(inputs.arms[1:], finals[1:], strict=True):
        check = _spreads(arm, finals[0], treatment)
        if check is not None:
            checks.append(check)
    if not checks:
        return Check("variance_ratio", "unknown", None, "too few units that vary")
    return min(checks, key=lambda check: (check.status != "warning", check.p_value or 0.0))


def _spreads(arm: str, control: FloatArray, treatment: FloatArray) -> Check | None:
    if min(control.size, treatment.size) < 5:
        return None
    away = [np.abs(values - np.median(values)) for values in (control, treatment)]
    log_e = two_groups(away[0], away[1])
    means = [float(np.mean(values)) for values in away]
    if log_e is None or min(means) <= 0:
        return None
    p_value, ratio = t_mixture.p_value_of(log_e), means[1] / means[0]
    far = ratio >= _SPREAD_RATIO or ratio <= 1 / _SPREAD_RATIO
    detail = f"{arm} varies {number_format.times(ratio)} as much as control"
    return Check("variance_ratio", "warning" if far and p_value <= ALARM else "ok", p_value, detail)


def duplicates(inputs: CheckInputs) -> Check | None:
    """The same long numbers twice: a file imported again, or a result that was cached.

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> times = [10.123456789, 11.123456789, 9.123456789]
    >>> duplicates(check_inputs(alternating(times, times))).detail
    '3 of 6 trials repeat the exact numbers of another'
    """
    rows = [row for trial in inputs.table.trials if (row := _fingerprint(trial)) is not None]
    if not rows:
        return None
    counts = Counter(rows)
    again = len(rows) - len(counts)
    detail = f"{again} of {len(rows)} trials repeat the exact numbers of another"
    suspect = again >= 3 and again > 0.05 * len(rows)
    return Check("duplicates", "warning" if suspect else "ok", None, detail)


def _fingerprint(trial: Trial) -> tuple[tuple[str, float], ...] | None:
    """The metrics, where they are precise enough that chance does not repeat them."""
    written = (f"{value:.12g}".replace(".", "").strip("-0") for value in trial.metrics.values())
    precise = sum(len(digits) for digits in written) >= _DIGITS
    return tuple(sorted(trial.metrics.items())) if precise else None


def cpu_mix(inputs: CheckInputs) -> Check | None:
    """CPU models by arm; in pairs, both runs on one. They alone make 20 % of a time.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> trials = [make_trial(n, "control", value=9, context={"cpu": "EPYC 7763"}) for n in range(3)]
    >>> cpu_mix(check_inputs(trials)).detail
    'all on one CPU model'
    """
    trials = [trial for trial in inputs.table.trials if "cpu" in trial.context]
    if not trials:
        return None
    if inputs.table.paired:
        return _pairs_on_one_cpu(inputs)
    models = [cpu for cpu, _ in Counter(t.context["cpu"] for t in trials).most_common(_MOST_CPUS)]
    if len(models) < 2:
        return Check("cpu_mix", "ok", None, "all on one CPU model")
    checks = []
    for model in models:
        hit = [float(trial.context["cpu"] == model) for trial in trials]
        checks.append(rates_by_arm("cpu_mix", inputs, trials, hit, "warning", f"ran on {model}"))
    with_p_value = [check for check in checks if check.p_value is not None]
    if not with_p_value:
        return Check("cpu_mix", "unknown", None, f"{len(models)} CPU models")
    worst = min(with_p_value, key=lambda check: check.p_value or 0.0)
    p_value = min(1.0, (worst.p_value or 0.0) * len(models))
    status: Status = "warning" if p_value <= ALARM else "ok"
    return Check("cpu_mix", status, p_value, f"{len(models)} CPU models; {worst.detail}")


def _pairs_on_one_cpu(inputs: CheckInputs) -> Check:
    apart = total = 0
    for arm in range(1, len(inputs.arms)):
        pairs = inputs.table.pairs(arm)
        for control, treatment in zip(pairs.control, pairs.treatment, strict=True):
            cpus = {inputs.table.trials[row].context.get("cpu") for row in (control, treatment)}
            total, apart = total + 1, apart + (len(cpus) > 1)
    detail = f"{apart} of {total} pairs ran on two CPU models"
    return Check("cpu_mix", "warning" if apart > 0.05 * total else "ok", None, detail)


def plan_drift(inputs: CheckInputs) -> Check | None:
    """Do jobs still hold the content that the plan was written against?

    A job whose own files differ runs untouched and is left out. When almost all of the
    latest are, the base has moved on and no more evidence can come.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> trials = [make_trial(n, "control", excluded="file_changed") for n in range(20)]
    >>> drift = plan_drift(check_inputs(trials))
    >>> drift.status, drift.detail.partition(" because")[0]
    ('failed', '20 of the latest 20 trials are excluded')
    """
    changed = inputs.selection.changed
    if not changed:
        return None
    latest = sorted([*inputs.selection.counted, *changed], key=lambda t: (t.started, t.id))[
        -_WINDOW:
    ]
    ids = {trial.id for trial in changed}
    hit = sum(trial.id in ids for trial in latest)
    detail = (
        f"{hit} of the latest {len(latest)} trials are excluded because their job changes the "
        "varied files itself, or the base moved on"
    )
    share = hit / len(latest)
    if len(latest) == _WINDOW and share >= 0.8:
        return Check("plan_drift", "failed", None, detail)
    return Check("plan_drift", "warning" if hit >= 3 and share > 0.2 else "ok", None, detail)

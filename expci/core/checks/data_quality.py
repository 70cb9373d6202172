"""Trust checks on the data themselves: do they drift, repeat or differ in kind between arms?

Each is a function from the inputs to one `Check`, or `None` where it does not apply.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from expci.core import number_format
from expci.core.checks.inputs import ALARM, CheckInputs, Status, rates_by_arm, two_groups
from expci.core.dataset.moments import FloatArray
from expci.core.model.results import Check
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
    """Check whether control itself changed on the way: an arm that ran later is no fair match.

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
        return Check(
            "control_drift",
            "unknown",
            None,
            f"{number_format.count(control.size, 'unit')} of control",
        )
    p_value = t_mixture.p_value_of(change.log_e_value)
    if p_value > ALARM:
        return Check("control_drift", "ok", p_value, f"{control.size} units of control are alike")
    ends = (change.before, change.after)
    if inputs.experiment.primary.traits.is_logarithmic:
        ends = (math.exp(ends[0]), math.exp(ends[1]))
    detail = (
        f"control changed after {number_format.count(change.index, 'unit')}: "
        f"{number_format.number(ends[0])} before, {number_format.number(ends[1])} after; "
        "what ran beside it is still compared fairly where arms took turns"
    )
    return Check("control_drift", "warning", p_value, detail)


def variance_ratio(inputs: CheckInputs) -> Check | None:
    """Check that the arms vary alike, by distances from their medians (Brown & Forsythe 1974).

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
    """Check for the same long numbers twice: a file imported again, or a cached result.

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> times = [10.123456789, 11.123456789, 9.123456789]
    >>> duplicates(check_inputs(alternating(times, times))).detail
    '3 of 6 trials repeat the exact numbers of another'
    """
    columns = list(inputs.table.trials.metrics.values())
    digits = sum((_digits(column) for column in columns), np.zeros(len(inputs.table)))
    precise = np.flatnonzero(digits >= _DIGITS)  # chance does not repeat those
    if not precise.size:
        return None
    again = _repeated([column[precise] for column in columns])
    trials = number_format.count(precise.size, "trial")
    detail = f"{again} of {trials} repeat the exact numbers of another"
    suspect = again >= 3 and again > 0.05 * precise.size
    return Check("duplicates", "warning" if suspect else "ok", None, detail)


def _digits(values: FloatArray) -> FloatArray:
    """How many of a number's first 12 digits tell something: without zeros at the ends."""
    size = np.abs(np.where(np.isnan(values), 0.0, values))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.floor(np.log10(size))
        rest = np.nan_to_num(np.rint(size / 10.0**scale * 1e11)).astype(np.int64)
    digits = np.where(rest > 0, 12.0, 0.0)
    while (round := (rest > 0) & (rest % 10 == 0)).any():
        digits[round] -= 1
        rest[round] //= 10
    return digits


def _repeated(columns: Sequence[FloatArray]) -> int:
    """How many rows are those of an earlier one."""
    rows = np.arange(columns[0].size)
    for column in columns:  # most rows are unlike any other in one column already
        _, level, counts = np.unique(column[rows], return_inverse=True, return_counts=True)
        rows = rows[counts[level] > 1]
    numbers = np.nan_to_num(np.stack([column[rows] for column in columns], axis=1), nan=np.inf)
    return int(rows.size - np.unique(numbers, axis=0).shape[0])


def cpu_mix(inputs: CheckInputs) -> Check | None:
    """Check the CPU models by arm; in pairs, that both runs had one. They make 20 % of a time.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> trials = [make_trial(n, "control", value=9, context={"cpu": "EPYC 7763"}) for n in range(3)]
    >>> cpu_mix(check_inputs(trials)).detail
    'all on one CPU model'
    """
    cpu = inputs.table.trials.stated("cpu")
    if not cpu.given.any():
        return None
    if inputs.table.paired:
        return _pairs_on_one_cpu(inputs)
    numbers = np.bincount(cpu.codes + 1)
    commonest = sorted(
        (code for code in cpu.appearing() if code >= 0), key=lambda c: -numbers[c + 1]
    )
    models = [cpu.levels[code] for code in commonest[:_MOST_CPUS]]
    if len(models) < 2:
        return Check("cpu_mix", "ok", None, "all on one CPU model")
    checks = []
    arm, cpus = inputs.table.arm[cpu.given], cpu.take(np.flatnonzero(cpu.given))
    for model in models:
        hit, words = cpus.is_any(model), f"ran on {model}"
        checks.append(rates_by_arm("cpu_mix", inputs, arm, hit, "warning", words))
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
        pairs, cpu = inputs.table.pairs(arm), inputs.table.trials.stated("cpu").codes
        total += pairs.control.size
        apart += int(np.sum(cpu[pairs.control] != cpu[pairs.treatment]))
    detail = f"{apart} of {number_format.count(total, 'pair')} ran on two CPU models"
    return Check("cpu_mix", "warning" if apart > 0.05 * total else "ok", None, detail)


def plan_drift(inputs: CheckInputs) -> Check | None:
    """Check whether jobs still hold the content that the plan was written against.

    A job whose own files differ runs untouched and is excluded. When almost all of the
    latest are, the base has moved on and no more evidence can come.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> trials = [make_trial(n, "control", excluded="file_changed") for n in range(20)]
    >>> drift = plan_drift(check_inputs(trials))
    >>> drift.status, drift.detail.partition(" because")[0]
    ('failed', '20 of the latest 20 trials are excluded')
    """
    trials, changed = inputs.selection.trials, inputs.selection.changed
    if not changed.size:
        return None
    rows = np.concatenate([inputs.selection.counted, changed])
    latest = rows[np.lexsort((trials.id[rows], trials.started[rows]))][-_WINDOW:]
    hit = int(np.isin(latest, changed).sum())
    detail = (
        f"{hit} of the latest {number_format.count(latest.size, 'trial')} are excluded because "
        "their job changes the varied files itself, or the base moved on"
    )
    share = hit / latest.size
    if latest.size == _WINDOW and share >= 0.8:
        return Check("plan_drift", "failed", None, detail)
    return Check("plan_drift", "warning" if hit >= 3 and share > 0.2 else "ok", None, detail)

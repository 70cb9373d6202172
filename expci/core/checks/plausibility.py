"""Trust checks on values that cannot be what they are taken for.

Units that differ between arms, percent for a proportion, 0 for a duration, and a command
that never works. Each check is `None` where there is nothing to say.
"""

from __future__ import annotations

import numpy as np

from expci.core import number_format
from expci.core.checks.inputs import CheckInputs, Status, worst
from expci.core.dataset.moments import BoolArray, FloatArray
from expci.core.model.experiment import Metric
from expci.core.model.results import Check

LARGEST_RATIO = 50.0  # of medians; real variants differ by less, units by 60, 100 or 1,000
_FEWEST = 2  # units in an arm
_UNUSABLE_SHARE = 0.05
_FEWEST_FAILURES = 2  # the first pair


def every_run_failed(inputs: CheckInputs) -> Check | None:
    """Check that some run did its work: without one there is nothing to compare.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> arms = enumerate(("control", "treatment"))
    >>> pair = [make_trial(number, arm, status="failed") for number, arm in arms]
    >>> every_run_failed(check_inputs(pair)).detail.split(":")[0]
    'every run failed (1 in control, 1 in treatment)'
    """
    table = inputs.table
    if len(table) < _FEWEST_FAILURES or table.worked.any():
        return None
    by_arm = [f"{int((table.arm == i).sum())} in {arm}" for i, arm in enumerate(table.arms)]
    detail = (
        f"every run failed ({', '.join(by_arm)}): the command lacks something where it runs; the "
        "log of a trial says what"
    )
    return Check("every_run_failed", "warning", None, detail)


def unusable_values(inputs: CheckInputs) -> Check | None:
    """Check for values that the kind of their metric cannot take, by arm; the worst metric.

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> zeros = unusable_values(check_inputs(alternating([10.0, 11.0], [0.0, 0.0])))
    >>> zeros.status, zeros.detail.partition(",")[0]
    ('failed', 'duration_s takes values above 0')
    """
    checks = [
        check
        for metric in inputs.experiment.metrics
        if (check := _unusable(inputs, metric)) is not None
    ]
    return worst(checks)


def unusable(inputs: CheckInputs, metric: Metric) -> BoolArray:
    """Return which counted trials worked and reported a value that `metric` cannot take.

    >>> from support.analysis_samples import DURATION, alternating
    >>> from support.examples import check_inputs
    >>> unusable(check_inputs(alternating([10.0], [0.0])), DURATION)  # a duration is more than 0
    array([False,  True])
    """
    column = inputs.columns[metric.name]
    if metric.name == "success":
        return np.zeros(len(inputs.table), dtype=np.bool_)
    reported = inputs.table.metric(metric.name)
    return np.asarray(~np.isnan(reported) & np.isnan(column.value) & inputs.table.worked)


def _unusable(inputs: CheckInputs, metric: Metric) -> Check | None:
    if metric.name not in inputs.columns:
        return None
    table, hit = inputs.table, unusable(inputs, metric)
    if not hit.any():
        return None
    shares = []
    for index, arm in enumerate(table.arms):
        mine = table.worked & (table.arm == index)
        shares.append(f"{int(hit[mine].sum())} of {int(mine.sum())} in {arm}")
    values = table.metric(metric.name)[hit]
    example = number_format.number(float(values[0]))
    detail = (
        f"{metric.name} takes {_range(metric)}, and {', '.join(shares)} are outside (such as "
        f"{example}): not counted. {_advice(metric, values)}"
    )
    share = hit.sum() / max(1, table.worked.sum())
    is_grave = metric.role == "primary" and hit.sum() >= _FEWEST and share > _UNUSABLE_SHARE
    return Check("unusable_values", "failed" if is_grave else "warning", None, detail)


def _range(metric: Metric) -> str:
    return metric.traits.values.words if metric.traits.values is not None else "any number"


def _advice(metric: Metric, values: FloatArray) -> str:
    if metric.traits.is_share and values.min() >= 0 and values.max() <= 100:
        return "If they are percent, report them divided by 100"
    return metric.traits.values.advice if metric.traits.values is not None else ""


def implausible_ratio(inputs: CheckInputs) -> Check | None:
    """Check for arms a factor of 50 apart with no value in common: rather units than an effect.

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> mixed_up = implausible_ratio(check_inputs(alternating([10.0, 11.0], [9000.0, 9900.0])))
    >>> mixed_up.status, mixed_up.detail.split(":")[0]
    ('failed', 'duration_s is 10.5 in control and 9,450 in treatment, 900 times apart')
    """
    checks = [
        check
        for metric in inputs.experiment.metrics
        if metric.name in inputs.columns and metric.traits.has_single_values
        for index in range(1, len(inputs.arms))
        if (check := _ratio(inputs, metric, index)) is not None
    ]
    return worst(checks)


def _ratio(inputs: CheckInputs, metric: Metric, index: int) -> Check | None:
    control, treatment = (_finite(inputs.data.units(metric.name, arm)) for arm in (0, index))
    if min(control.size, treatment.size) < _FEWEST or min(control.min(), treatment.min()) <= 0:
        return None
    medians = float(np.median(control)), float(np.median(treatment))
    apart = control.min() > treatment.max() or treatment.min() > control.max()
    factor = max(medians) / min(medians)
    if not apart or factor < LARGEST_RATIO:
        return None
    arm = inputs.arms[index]
    detail = (
        f"{metric.name} is {number_format.number(medians[0])} in control and "
        f"{number_format.number(medians[1])} in {arm}, {number_format.number(factor)} times apart: "
        "implausible as an effect; make sure that both arms report it in the same unit"
    )
    status: Status = "failed" if metric.role in ("primary", "guardrail") else "warning"
    return Check("implausible_ratio", status, None, detail)


def _finite(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]

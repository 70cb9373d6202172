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
_CERTAIN_FAILURES = 10  # five pairs: no run will work until somebody looks
_FEWEST_ON_A_SCALE = 0.1  # the share of an arm's units


def every_run_failed(inputs: CheckInputs) -> Check | None:
    """Check that some run did its work: without one there is nothing to compare.

    A warning at the first pair; after five without a value of the primary metric, or all at the
    time limit, the numbers decide nothing.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> arms = enumerate(("control", "treatment"))
    >>> pair = [make_trial(number, arm, status="failed") for number, arm in arms]
    >>> every_run_failed(check_inputs(pair)).detail.split(":")[0]
    'every run failed (1 in control, 1 in treatment)'
    """
    table = inputs.table
    if len(table) < _FEWEST_FAILURES or (table.worked & ~table.failed).any():
        return None
    by_arm = [f"{int((table.arm == i).sum())} in {arm}" for i, arm in enumerate(table.arms)]
    why = "the command lacks something where it runs; the log of a trial says what"
    if table.timed_out.all():
        why = "each of them at the time limit, so nothing was learned; raise `timeout:`, or do less"
    detail = f"every run failed ({', '.join(by_arm)}): {why}"
    is_grave = len(table) >= _CERTAIN_FAILURES and _measured_nothing(inputs)
    return Check("every_run_failed", "failed" if is_grave else "warning", None, detail)


def _measured_nothing(inputs: CheckInputs) -> bool:
    name = inputs.experiment.primary.name
    if name == "success" or name not in inputs.columns:
        return False
    return bool(inputs.table.timed_out.all() or np.isnan(inputs.columns[name].value).all())


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
    """Check for values a factor of 50 apart: rather units than an effect.

    Whole arms with hardly a value in common, or one arm whose values lie in two such groups
    while control's do not.

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
    if min(control.size, treatment.size) < _FEWEST:
        return None
    arm = inputs.arms[index]
    detail = _arms_apart(metric, control, treatment, arm) or _two_scales(
        metric, control, treatment, arm
    )
    if not detail:
        return None
    status: Status = "failed" if metric.role in ("primary", "guardrail") else "warning"
    return Check("implausible_ratio", status, None, detail)


def _arms_apart(metric: Metric, control: FloatArray, treatment: FloatArray, arm: str) -> str:
    """What to say of two arms a factor of 50 apart; "" where a tenth of the values meet."""
    medians = float(np.median(control)), float(np.median(treatment))
    if min(medians) <= 0 or max(medians) / min(medians) < LARGEST_RATIO:
        return ""
    (low, high), (other_low, other_high) = (
        np.quantile(values, (0.1, 0.9)) for values in (control, treatment)
    )
    if low <= other_high and other_low <= high:
        return ""
    return (
        f"{metric.name} is {number_format.number(medians[0])} in control and "
        f"{number_format.number(medians[1])} in {arm}, "
        f"{number_format.number(max(medians) / min(medians))} times apart: "
        "implausible as an effect; make sure that both arms report it in the same unit"
    )


def _two_scales(metric: Metric, control: FloatArray, treatment: FloatArray, arm: str) -> str:
    """What to say of one arm with values on two scales; "" where neither or both have them."""
    groups = _groups(control), _groups(treatment)
    if (groups[0] is None) == (groups[1] is None):
        return ""
    name, (below, above) = next(
        (name, scales) for name, scales in zip(("control", arm), groups, strict=True) if scales
    )
    medians = float(np.median(below)), float(np.median(above))
    return (
        f"{metric.name} of {name} is about {number_format.number(medians[0])} in {below.size} and "
        f"about {number_format.number(medians[1])} in {above.size}, in the other arm it is not: "
        "implausible as an effect; make sure that every run reports it in the same unit"
    )


def _groups(values: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Positive values below and above a gap of a factor of 50, a tenth of them on either side."""
    ordered = np.sort(values[values > 0])
    least = max(_FEWEST, int(np.ceil(ordered.size * _FEWEST_ON_A_SCALE)))
    if ordered.size < 2 * least:
        return None
    steps = ordered[least : ordered.size - least + 1] / ordered[least - 1 : ordered.size - least]
    if steps.max() < LARGEST_RATIO:
        return None
    place = least + int(steps.argmax())
    return ordered[:place], ordered[place:]


def _finite(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]

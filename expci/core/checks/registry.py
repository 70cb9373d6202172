"""Trust checks: is what was recorded fit to be compared at all?

Each is a function from the inputs to one `Check`, or `None` where it does not apply; a
new one is added to `CHECKS`. Their p-values hold at every look, and they warn or fail at
0.001 only: an alarm that is always on is no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from expci.core import number_format
from expci.core.checks import (
    assumptions,
    conditions,
    data_quality,
    judging,
    plausibility,
    recent,
    sources,
)
from expci.core.checks.inputs import ALARM, CheckInputs, Status, rates_by_arm, two_groups, worst
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trials_table import TrialsTable, trials_table
from expci.core.decision.thresholds import harm_level
from expci.core.model.experiment import Metric
from expci.core.model.results import Check
from expci.core.statistics import t_mixture
from expci.core.statistics.constant_values import fewest_units
from expci.core.statistics.ratio import single_ratios

__all__ = ["ALARM", "CHECKS", "CheckInputs", "multinomial_log_e", "run_checks"]

CONCENTRATIONS = (2.0, 20.0, 200.0)  # of the Dirichlet priors: from gross to fine imbalances
_EXPOSURE_SHARE = 0.05
_FEWEST_CONSTANT = 5  # units in an arm


def run_checks(inputs: CheckInputs) -> tuple[Check, ...]:
    """Run all checks that apply, in a fixed order.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> one_sided = [make_trial(number, "control", value=10.0) for number in range(40)]
    >>> first, *others = run_checks(check_inputs(one_sided))
    >>> first.name, first.status, first.detail
    ('sample_ratio', 'failed', 'units per arm: control 40 (expected 20), treatment 0 (expected 20)')
    """
    return tuple(check for check in (test(inputs) for test in CHECKS) if check is not None)


def multinomial_log_e(
    counts: Sequence[int],
    shares: Sequence[float],
    concentrations: Sequence[float] = CONCENTRATIONS,
) -> float:
    """Return log E that counts do not follow `shares`: Dirichlet-multinomial on multinomial.

    Lindon & Malek (2022), "Anytime-valid inference for multinomial count data", with the
    prior's mean at `shares`; the mean over priors of several concentrations.

    >>> multinomial_log_e([50, 50], [0.5, 0.5]) < 0 < multinomial_log_e([80, 20], [0.5, 0.5])
    True
    """
    log_e = [_one_prior(counts, shares, concentration) for concentration in concentrations]
    peak = max(log_e)
    return peak + math.log(sum(math.exp(value - peak) for value in log_e) / len(log_e))


def _one_prior(counts: Sequence[int], shares: Sequence[float], concentration: float) -> float:
    total = sum(counts)
    log_e = math.lgamma(concentration) - math.lgamma(concentration + total)
    for count, share in zip(counts, shares, strict=True):
        alpha = concentration * share
        log_e += math.lgamma(alpha + count) - math.lgamma(alpha) - count * math.log(share)
    return log_e


def _sample_ratio(inputs: CheckInputs) -> Check:
    """Units per arm against the weights; in pairs, which arm's run is missing.

    The e-value of the counts as they stand now, not the largest so far: runs of a slower
    arm arrive later, and an import may come arm by arm; neither is a broken assignment.
    """
    if inputs.table.paired:
        return _incomplete_pairs(inputs)
    if inputs.weights is None:
        return Check("sample_ratio", "unknown", None, "the share of each arm is unknown")
    log_e, units, expected = 0.0, dict.fromkeys(inputs.arms, 0), dict.fromkeys(inputs.arms, 0.0)
    for counts in _units_by_epoch(inputs):
        total = sum(inputs.weights[arm] for arm in counts)
        shares = [inputs.weights[arm] / total for arm in counts]
        # Units of one epoch say nothing of those of another: their e-values multiply.
        log_e += multinomial_log_e(list(counts.values()), shares)
        for arm, share in zip(counts, shares, strict=True):
            units[arm] += counts[arm]
            expected[arm] += share * sum(counts.values())
    if not sum(units.values()):
        return Check("sample_ratio", "unknown", None, "no unit was assigned by expci yet")
    p_value = t_mixture.p_value_of(log_e)
    return Check("sample_ratio", _failed_at(p_value), p_value, _ratio_words(units, expected))


def _units_by_epoch(inputs: CheckInputs) -> list[dict[str, int]]:
    """Units per arm that drew from the same arms: one epoch, and one more for each drop.

    A unit belongs to the epoch of its first trial; a job that had its arm before the drop was
    published, and began after it, to the last epoch of that arm.
    """
    drops = sorted(inputs.dropped.items(), key=lambda drop: drop[1])
    epochs = [
        [arm for arm in inputs.arms if arm not in dict(drops[:number])]
        for number in range(len(drops) + 1)
    ]
    # A person, not the assignment, chose these arms.
    by_hand = inputs.assigned.stated("assignment").is_any("stated", "forced", "import")
    drawn = inputs.assigned.take(np.flatnonzero(~by_hand))
    arm, epoch = drawn.arm.among(inputs.arms), np.zeros(len(drawn), dtype=np.int64)
    for number, (_, at) in enumerate(drops, 1):
        remains = drawn.arm.is_any(*epochs[number])
        epoch[remains & (drawn.seconds >= at.timestamp())] = number
    first = np.full((len(inputs.arms), len(drawn.unit.levels)), -1)
    for number in reversed(range(len(epochs))):  # the earliest is written last
        own = epoch == number
        first[arm[own], drawn.unit.codes[own]] = number
    return [
        {arm: int(np.sum(first[inputs.arms.index(arm)] == number)) for arm in names}
        for number, names in enumerate(epochs)
    ]


def _ratio_words(units: Mapping[str, int], expected: Mapping[str, float]) -> str:
    counted = ", ".join(
        f"{arm} {count} (expected {number_format.count(expected[arm])})"
        for arm, count in units.items()
    )
    return f"units per arm: {counted}"


def _incomplete_pairs(inputs: CheckInputs) -> Check:
    worst, details = 1.0, []
    for index, arm in enumerate(inputs.arms[1:], start=1):
        pairs = _before_the_drop(inputs, arm).pairs(index)
        lone = (pairs.lone_control, pairs.lone_treatment)
        worst = min(worst, t_mixture.p_value_of(multinomial_log_e(lone, (0.5, 0.5))))
        runs = number_format.count(lone[0], "control run")
        details.append(f"{runs} without {arm}, {lone[1]} the other way round")
    worst = min(1.0, worst * max(1, len(details)))
    return Check(
        "sample_ratio", _failed_at(worst), worst, "incomplete pairs: " + "; ".join(details)
    )


def _before_the_drop(inputs: CheckInputs, arm: str) -> TrialsTable:
    """The runs that began while `arm` was still part of every pair."""
    end, assigned = inputs.dropped.get(arm), inputs.assigned
    if end is not None:
        assigned = assigned.take(np.flatnonzero(assigned.seconds < end.timestamp()))
    elif len(assigned) == len(inputs.table):
        return inputs.table  # whose pairs exist already
    return trials_table(assigned, inputs.arms, True)


def _failed_at(p_value: float) -> Status:
    return "failed" if p_value <= ALARM else "ok"


def _attrition(inputs: CheckInputs) -> Check:
    """Cancelled, erroneous and lost runs by arm: a variant that kills its runs hides them."""
    gone = inputs.assigned.status.is_any("cancelled", "error", "lost")
    return rates_by_arm("attrition", inputs, inputs.assigned_arm, gone, "failed", "dropped out")


def _primary_missing(inputs: CheckInputs) -> Check | None:
    """Runs that worked without reporting the primary metric, by arm."""
    return _missing("missing_primary", inputs, inputs.experiment.primary)


def _metrics_missing(inputs: CheckInputs) -> Check | None:
    """The same for the worst of the other metrics."""
    others = [
        m for m in inputs.experiment.metrics if m.role != "primary" and m.name in inputs.columns
    ]
    checks = [check for metric in others if (check := _missing("missing_metrics", inputs, metric))]
    return worst(checks)


def _missing(name: str, inputs: CheckInputs, metric: Metric) -> Check | None:
    column = inputs.columns.get(metric.name)
    if column is None or not len(inputs.table):
        return None
    worked = inputs.table.worked & ~sources.awaited(inputs, metric)
    if plausibility.unusable(inputs, metric).any():
        return None  # `unusable_values` reports them
    missing, arm = column.unreported[worked], inputs.table.arm[worked]
    bad: Status = "failed" if metric.role == "primary" else "warning"
    check = rates_by_arm(name, inputs, arm, missing, bad, f"did not report {metric.name}")
    if check.status == "ok" and missing.sum() >= max(2, 0.5 * missing.size):
        return Check(name, "warning", check.p_value, check.detail)
    return check


def _reruns(inputs: CheckInputs) -> Check:
    """Later attempts of a job are not counted; an arm that needs more of them is suspect."""
    selection, again = inputs.selection, np.zeros(len(inputs.assigned), dtype=np.bool_)
    if selection.reruns.size:
        job = selection.trials.job
        again = np.isin(job[selection.assigned], job[selection.reruns])
    return rates_by_arm("reruns", inputs, inputs.assigned_arm, again, "warning", "were run again")


def _exposure(inputs: CheckInputs) -> Check:
    """Trials in which the arm's files were not what ran (an action restored its own)."""
    count = inputs.selection.not_exposed.size
    total = len(inputs.table) + count
    detail = f"{count} of {number_format.count(total, 'trial')} ran without their arm's files"
    if count > max(1.0, _EXPOSURE_SHARE * total):
        return Check("exposure", "failed", None, detail)
    return Check("exposure", "warning" if count else "ok", None, detail)


def _one_arm_per_unit(inputs: CheckInputs) -> Check | None:
    """A unit that ran in two arms is compared with itself, unnoticed."""
    if inputs.experiment.assignment.design == "paired":
        return None
    # The units of an arm that was dropped went on in other arms, as drawn.
    remaining = np.isin(inputs.table.arm, inputs.remaining)
    own = inputs.table.unit[remaining]  # a unit in an arm has a code of its own
    seats = (int(own.max(initial=-1)) // len(inputs.arms) + 1) * len(inputs.arms)
    units = np.bincount(own, minlength=seats) > 0
    arms = units.reshape(-1, len(inputs.arms)).sum(axis=1)
    both = int(np.sum(arms > 1))
    detail = (
        f"{both} of {number_format.count(int(np.sum(arms > 0)), 'unit')} ran in more than one arm"
    )
    return Check("one_arm_per_unit", "warning" if both else "ok", None, detail)


def _zero_variance(inputs: CheckInputs) -> Check | None:
    """A primary metric that never changes in some arms, or is the same in all, measures nothing.

    One that never changes in any arm and differs between them is exact.
    """
    column = inputs.columns.get(inputs.experiment.primary.name)
    if column is None or inputs.experiment.primary.traits.is_share:
        return None
    constant: dict[str, tuple[int, float]] = {}
    for index, arm in enumerate(inputs.arms):
        final = _unit_values(inputs, index)
        if final.size >= _FEWEST_CONSTANT and final.min() == final.max():
            constant[arm] = final.size, float(final[0])
    if not constant:
        return Check("zero_variance", "ok", None, "the values vary")
    counts = (f"{arm} ({n} times {number_format.number(v)})" for arm, (n, v) in constant.items())
    detail = f"always the same value in {', '.join(counts)}"
    if len(constant) < len(inputs.arms) or len({v for _, v in constant.values()}) == 1:
        return Check("zero_variance", "warning", None, detail)
    fewest = min(n for n, _ in constant.values())
    return Check("zero_variance", "ok", None, f"{detail}: {_weighed_as(inputs, fewest)}")


def _weighed_as(inputs: CheckInputs, units: int) -> str:
    """How the evidence takes values that never vary and differ between the arms."""
    metric = inputs.experiment.primary
    if metric.traits.is_one_by_one:
        return f"a {metric.kind} is weighed by its own test all the same"
    needed = fewest_units(harm_level(inputs.experiment, len(inputs.arms) - 1))
    if units < needed:
        return f"exact once each arm has {needed} units"
    return "exact, no test is needed"


def _unit_values(inputs: CheckInputs, arm: int) -> FloatArray:
    """The primary's values by unit; of a ratio each unit's own."""
    metric = inputs.experiment.primary
    if metric.denominator is None:
        return inputs.data.units(metric.name, arm)
    parts = inputs.columns[metric.name].value, inputs.table.metric(metric.denominator)
    gap = np.isnan(parts[0] + parts[1])
    top, bottom = (inputs.table.path(arm, np.where(gap, np.nan, part)).final for part in parts)
    return single_ratios(top, bottom)


def _order_effect(inputs: CheckInputs) -> Check | None:
    """Does it matter which arm of a pair runs first? The estimate is freed of it anyway."""
    return _in_pairs(inputs, "order_effect", carry_over=False)


def _carry_over(inputs: CheckInputs) -> Check | None:
    """Order × arm: pair sums by order (Jones & Kenward 2014, section 2.3). Not removed."""
    return _in_pairs(inputs, "order_by_arm", carry_over=True)


def _in_pairs(inputs: CheckInputs, name: str, carry_over: bool) -> Check | None:
    metric = inputs.experiment.primary
    column = inputs.columns.get(metric.name)
    if not inputs.table.paired or column is None or metric.traits.pairing == "never":
        return None
    values = np.log(column.last) if metric.traits.is_logarithmic else column.last
    sign, pairs = 1 if carry_over else -1, inputs.table.pairs(1)
    pairs = pairs.only(~np.isnan(values[pairs.treatment] + values[pairs.control]))
    contrast = values[pairs.treatment] + sign * values[pairs.control]
    groups = [contrast[pairs.treatment_first == side] for side in (1.0, -1.0)]
    log_e = two_groups(groups[0], groups[1])
    first = number_format.count(groups[0].size, "pair")
    detail = f"treatment ran first in {first}, control in {groups[1].size}"
    if log_e is None:
        return Check(name, "unknown", None, detail)
    p_value = t_mixture.p_value_of(log_e)
    return Check(name, "warning" if p_value <= ALARM else "ok", p_value, detail)


CHECKS: tuple[Callable[[CheckInputs], Check | None], ...] = (
    _sample_ratio,
    _attrition,
    _exposure,
    _primary_missing,
    _metrics_missing,
    _reruns,
    _one_arm_per_unit,
    _zero_variance,
    _order_effect,
    _carry_over,
    data_quality.plan_drift,
    data_quality.control_drift,
    data_quality.variance_ratio,
    assumptions.long_tail,
    assumptions.dependence,
    data_quality.duplicates,
    plausibility.unusable_values,
    plausibility.implausible_ratio,
    plausibility.every_run_failed,
    data_quality.cpu_mix,
    conditions.context_drift,
    judging.position_bias,
    sources.source_values,
    recent.error_rate,
    recent.below_alert,
    recent.regression,
    recent.quiet,
    recent.overdue,
)

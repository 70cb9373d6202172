"""Durations (and costs compared like them): the ratio of geometric means, by the t-mixture.

A timed-out run counts at the timeout; a failed one has no time, and a pair that it is in no
difference. A win must also hold in the arithmetic mean, and with failures ranked last: that by a
one-sided test at nine tenths of alpha, since it asks in one direction whether failures hide slow
runs, and false wins of a treatment that kills them must stay within alpha.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.decision.inputs import Safeguard
from expci.core.decision.numbers import DurationGuard
from expci.core.kinds import continuous, draws, spreads
from expci.core.kinds.continuous import adjusted_units, pilot_values, weigh_units
from expci.core.kinds.contrast import Contrast, Simulated
from expci.core.kinds.draws import ControlValues, Draw
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.kinds.trial_arrays import simulated_column
from expci.core.model import limits
from expci.core.model.experiment import Metric
from expci.core.model.results import Comparison
from expci.core.statistics.constant_values import constant_values
from expci.core.statistics.effect_scale import from_logs, log_change, signed
from expci.core.statistics.failures_last import ranked_pairs, ranked_runs
from expci.core.statistics.t_statistic import TStatistic
from expci.core.statistics.terms import Terms
from expci.core.statistics.weighed import Weighed

__all__ = ["compare", "draw", "look_evidence", "pilot_values", "spread", "stated_values"]

spread = spreads.of_means


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Compare by the ratio of geometric means; a primary's safeguard beside it.

    >>> from support.examples import contrast_of
    >>> timed = Metric("duration_s", "primary", "duration", "decrease")
    >>> result, safeguard = compare(contrast_of(timed, [4.0, 16.0] * 5, [2.0, 8.0] * 5))
    >>> round(result.improvement, 6), round(safeguard.saving, 6), safeguard.failures
    (0.5, 5.0, (0, 0))
    """
    comparison = continuous.compare_logs(contrast)
    if contrast.metric.role != "primary":
        return comparison, None
    return comparison, _safeguard(contrast, comparison)


def _safeguard(contrast: Contrast, comparison: Comparison) -> Safeguard:
    table, contrast = contrast.table, replace(contrast, terms=_one_sided(contrast.terms))
    ranked, _ = adjusted_units(_ranked(contrast), contrast)
    arms, level = contrast.sample(contrast.column.last).arms(), contrast.terms.harm_level
    constant = constant_values(*arms, level)
    weighed = weigh_units(ranked, constant, contrast)
    change = log_change(contrast.metric, weighed.opened_units(ranked).difference(), weighed)
    p_value = weighed.summary.p_value if weighed.summary else None
    failures = [int(np.sum(table.failed & (table.arm == index))) for index in (0, contrast.arm)]
    return Safeguard(
        saving=None if comparison.difference is None else contrast.better * comparison.difference,
        p_value=None if p_value is None else p_value / 2,
        low=change.interval[0] if change.interval else None,
        failures=(failures[0], failures[1]),
        is_exact=weighed.is_exact,
    )


def _ranked(contrast: Contrast) -> FloatArray:
    """The logarithms with failed runs last; of pairs the difference, beside a control of 0."""
    column, logs = contrast.column, np.log(contrast.column.value)
    if not column.failures:
        return logs
    worse, ended, ranked = -contrast.better, ~column.unreported, np.full(logs.shape, np.nan)
    if not contrast.terms.paired:
        ranked[ended] = worse * ranked_runs(worse * logs[None, ended])[0]
        return ranked
    pairs = contrast.table.pairs(contrast.arm)
    pairs = pairs.only(ended[pairs.control] & ended[pairs.treatment])
    both = (worse * logs[None, side] for side in (pairs.control, pairs.treatment))
    ranked[pairs.control], ranked[pairs.treatment] = (
        0.0,
        worse * ranked_pairs(*both)[0],
    )
    return ranked


def _ranked_arrays(simulated: Simulated, value: FloatArray) -> FloatArray:
    """The same of simulated trials."""
    arrays, worse, logs = simulated.arrays, -simulated.better, np.log(value)
    if not arrays.failed.any():
        return logs
    if not arrays.paired:
        return worse * ranked_runs(worse * logs)
    difference = worse * ranked_pairs(*arrays.pair_values(worse * logs, simulated.arm))
    return arrays.in_trials({0: np.zeros(difference.shape), simulated.arm: difference})


def _one_sided(terms: Terms) -> Terms:
    """The same with the level of this test on each side."""
    alpha = 2 * limits.FAILURES_LEVEL * terms.rules.alpha
    return replace(terms, rules=replace(terms.rules, alpha=alpha))


def look_evidence(simulated: Simulated) -> LookEvidence:
    """Return the evidence at every look of simulated experiments.

    >>> from support.examples import simulated_of
    >>> timed = Metric("duration_s", "primary", "duration", "decrease")
    >>> evidence = look_evidence(simulated_of(timed, [4.0, 16.0] * 5, [2.0, 8.0] * 5))
    >>> round(float(evidence.relative.estimate[0, -1]), 6)
    0.5
    """
    metric, arrays, arm = simulated.metric, simulated.arrays, simulated.arm
    column, better = simulated_column(metric, arrays), simulated.better

    def weigh(values: FloatArray, by: Simulated) -> tuple[TStatistic, Weighed, FloatArray]:
        """In the plan's mode, and the difference at every look."""
        rules = continuous.tuned_rules(metric, by.terms)
        statistic = arrays.mean_statistic(values, arm, rules)
        weighed = by.weighed(statistic)
        return statistic, weighed, weighed.estimated(statistic.difference)

    on_logs, scaled, difference = weigh(np.log(column.value), simulated)
    in_unit, raw, raw_difference = weigh(column.value, simulated)

    def guard() -> DurationGuard:
        by = replace(simulated, terms=_one_sided(simulated.terms))
        _, ranked, last = weigh(_ranked_arrays(simulated, column.value), by)
        low = from_logs(last, ranked.interval, better).low
        nowhere = np.zeros(low.shape, dtype=np.bool_)
        return DurationGuard(better * raw_difference, ranked.p_value / 2, low, nowhere)

    return LookEvidence(
        scaled,
        np.minimum(*arrays.counts(column.value, arm)),
        lambda: from_logs(difference, scaled.interval, better),
        lambda: signed(raw_difference, raw.interval, better),
        lambda: scaled.estimated(on_logs.error) * np.exp(difference),
        lambda: raw.estimated(in_unit.error),
        guard,
    )


def stated_values(metric: Metric) -> ControlValues | None:
    """Return lognormal values with the stated mean and standard deviation.

    >>> from expci.core.model.experiment import Baseline
    >>> stated = Baseline(10.0, 2.0)
    >>> timed = Metric("duration_s", "primary", "duration", "decrease", baseline=stated)
    >>> values = stated_values(timed)
    >>> round(math.exp(values.mean + values.sd**2 / 2), 6)  # the mean of the lognormal
    10.0
    """
    values = draws.normal(metric)
    if values is None or values.mean <= 0:
        return None
    sd = math.sqrt(math.log1p((values.sd / values.mean) ** 2))
    return replace(values, mean=math.log(values.mean) - sd * sd / 2, sd=sd)


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Draw times of which the treatment takes a share.

    >>> from expci.core.model.experiment import Baseline, Limit
    >>> from support.examples import drawing
    >>> stated = Baseline(10.0, 2.0)
    >>> timed = Metric("duration_s", "primary", "duration", "decrease", baseline=stated)
    >>> times = draw(drawing(timed, stated_values(timed), Limit(0.2, relative=True)))["duration_s"]
    >>> round(times[0, :1000].mean()), round(times[0, 1000:].mean())
    (10, 8)
    """
    return {values.metric.name: np.exp(draws.shifted(values, _log_shift(values)))}


def _log_shift(values: Draw) -> float:
    effect, control = values.effect, values.control
    if effect is None:
        return 0.0
    better = 1 if values.metric.direction == "increase" else -1
    mean = math.exp(control.mean + control.sd**2 / 2)
    share = effect.value if effect.relative else effect.value / mean
    return math.log1p(max(better * share, -0.999))

"""What durations and means share: the t-mixture on the scale of analysis, covariates beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expci.core import number_format
from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.unit_history import covariate_names
from expci.core.decision.inputs import Safeguard
from expci.core.decision.numbers import DurationGuard, Improvement
from expci.core.kinds.contrast import (
    Contrast,
    Simulated,
    asymptotic,
    compared,
    compared_by_t,
    ended_well,
    with_difference,
)
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Metric
from expci.core.model.results import Comparison
from expci.core.statistics import ancova, classical, posterior, t_mixture
from expci.core.statistics.ancova import Adjusted, adjusted
from expci.core.statistics.ancova_pairs import BLOCK, AdjustedPairs, adjusted_pairs, arrival_blocks
from expci.core.statistics.constant_values import ConstantValues, constant_values, exact
from expci.core.statistics.effect_scale import (
    as_share,
    differs_from_zero,
    from_logs,
    log_change,
    relative_change,
    signed,
    where_clear,
)
from expci.core.statistics.outcome import Outcome, Words
from expci.core.statistics.sample_size import Spread, planned_effect, scale_sd
from expci.core.statistics.t_statistic import by_t
from expci.core.statistics.terms import Terms, rules_of
from expci.core.statistics.two_arms import Sample
from expci.core.statistics.weighed import Weighed


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    metric, terms = contrast.metric, contrast.terms
    log = metric.kind == "duration"
    counted = _counted(contrast)
    scaled, how = _units(np.log(counted) if log else counted, contrast)
    raw, _ = _units(counted, contrast)
    constant = constant_values(*contrast.sample(counted).arms(), terms)
    weighed = _weigh(scaled, constant, contrast)
    on_raw = _weigh(raw, constant, contrast) if log else weighed
    change = (
        log_change(metric, weighed.opened_units(scaled).difference(), weighed)
        if log
        else relative_change(metric, weighed.opened_units(raw), weighed, terms.rules.alpha)
    )
    change = replace(change, notes=(*change.notes, *how))
    found = compared(contrast, weighed, change, contrast.sample(counted))
    seen, seen_raw = weighed.opened_units(scaled), on_raw.opened_units(raw)
    found = with_difference(found, seen_raw.difference(), on_raw)
    found = _with_posterior(found, seen.estimated(), seen_raw.estimated(), contrast.better)
    found = replace(found, power=_power(contrast, scaled, raw))
    if not log or metric.role != "primary":
        return found, None
    return found, _safeguard(contrast, found)


def _counted(contrast: Contrast) -> FloatArray:
    """The values that are compared. A pair is never dropped for a failure: its failed run takes
    the worst time so far. But of an arm in which no run ever ended well, no time is known."""
    known = ended_well(contrast, 0) and ended_well(contrast, contrast.arm)
    return contrast.column.last if contrast.terms.paired and known else contrast.column.value


def _units(column: FloatArray, contrast: Contrast) -> tuple[AnyUnits, tuple[str, ...]]:
    """The units with the covariates that the plan asks for, and what came of them."""
    names = covariate_names(contrast.metric)
    plain, notes = contrast.sample(column), tuple[str, ...]()
    if not names:
        return plain, ()
    if BLOCK in names:
        names = tuple(name for name in names if name != BLOCK)
        plain, notes = _in_blocks(plain, column, contrast)
    if not names:
        return plain, notes
    listed = ", ".join(name for name in contrast.metric.adjust_by if name != BLOCK)
    found: Adjusted | AdjustedPairs | None
    if plain.pairs is None:
        found, why = adjusted(contrast.table, contrast.arm, column, names), "it never varied"
    else:
        found, why = adjusted_pairs(contrast.table, plain, names), "it never differed within a pair"
    if found is None:
        return plain, (*notes, f"not adjusted by {listed}: {why}")
    gain = found.gain()
    took = "" if gain is None else f": {number_format.frequency(gain)} less variance"
    return found, (*notes, f"adjusted by {listed}{took}")


AnyUnits = Sample | Adjusted | AdjustedPairs


def _in_blocks(
    plain: Sample, column: FloatArray, contrast: Contrast
) -> tuple[Sample, tuple[str, ...]]:
    """The k-th units of both arms side by side, where the design makes them neighbours."""
    sizes = contrast.terms.block_sizes(contrast.table.arms[contrast.arm])
    if contrast.terms.paired:
        return plain, ("not adjusted by block: pairs are blocks already",)
    if contrast.terms.experiment.assignment.design != "blocked" or sizes != (1, 1):
        return plain, (
            "not adjusted by block: only `blocked` designs with equal weights have them",
        )
    found = arrival_blocks(contrast.table, contrast.arm, column)
    if found is None:
        return plain, ("not adjusted by block: a unit has several trials",)
    return found, ("adjusted by block: the k-th units of both arms are compared as a pair",)


def _weigh(units: AnyUnits, constant: ConstantValues | None, contrast: Contrast) -> Outcome:
    terms = contrast.terms
    if isinstance(units, Adjusted | AdjustedPairs):
        weighed = asymptotic(units, ancova.WORDS, ancova.START, contrast)
    else:
        rules = rules_of(contrast.metric, terms, planned_scale(contrast.metric, terms))
        weighed = compared_by_t(units, Words(), rules, terms)
    return exact(weighed, constant, weighed.opened_units(units).difference(), terms)


def planned_scale(metric: Metric, terms: Terms) -> float:
    """g: the square of the planned standardised effect, if stated before any trial, else 0.5.

    Never from the data that are tested. Kept within the range that was simulated.
    """
    if metric.baseline is None or terms.paired:
        return t_mixture.SCALE
    spread = Spread(metric.baseline.mean, metric.baseline.sd)
    effect = planned_effect(metric, spread)
    sd = scale_sd(metric, spread, terms.design)
    if not effect or not sd:
        return t_mixture.SCALE
    return min(2.0, max(0.1, (effect / sd) ** 2))


def _with_posterior(
    comparison: Comparison,
    on_scale: classical.Difference | None,
    on_raw: classical.Difference | None,
    better: int,
) -> Comparison:
    """The chance on the scale of analysis, the loss in the metric's unit."""
    return replace(
        comparison,
        chance_to_beat=None if on_scale is None else posterior.chance_to_beat(on_scale, better),
        expected_loss=None if on_raw is None else posterior.expected_loss(on_raw, better),
    )


def _power(contrast: Contrast, scaled: AnyUnits, raw: AnyUnits) -> float | None:
    """Power of the fixed test at the planned effect, with the n and sd so far."""
    control, now = raw.control_mean(), scaled.estimated()
    if control.sd is None or now is None:
        return None
    effect = planned_effect(contrast.metric, Spread(control.mean, control.sd))
    if effect is None:
        return None
    return classical.t_test_power(effect / now.error, now.df, contrast.terms.rules.alpha)


def _safeguard(contrast: Contrast, comparison: Comparison) -> Safeguard:
    table = contrast.table
    ranked, _ = _units(np.log(contrast.column.last), contrast)
    constant = constant_values(*contrast.sample(contrast.column.last).arms(), contrast.terms)
    weighed = _weigh(ranked, constant, contrast)
    change = log_change(contrast.metric, weighed.opened_units(ranked).difference(), weighed)
    failures = [int(np.sum(table.failed & (table.arm == index))) for index in (0, contrast.arm)]
    return Safeguard(
        saving=None if comparison.difference is None else contrast.better * comparison.difference,
        p_value=weighed.summary.p_value if weighed.summary else None,
        low=change.interval[0] if change.interval else None,
        failures=(failures[0], failures[1]),
        is_exact=weighed.is_exact,
    )


def look_evidence(simulated: Simulated) -> LookEvidence:
    """The same at every look of simulated experiments."""
    metric, arrays, arm = simulated.metric, simulated.arrays, simulated.arm
    log, better = metric.kind == "duration", simulated.better
    column = simulated_column(metric, arrays)
    counted = column.last if arrays.paired else column.value
    rules = rules_of(metric, simulated.terms, planned_scale(metric, simulated.terms))

    def weigh(values: FloatArray) -> tuple[Weighed, FloatArray]:
        """In the plan's mode, and the difference at every look."""
        statistic = by_t(arrays.mean_looks(values, arm), rules)
        weighed = simulated.weighed(statistic)
        return weighed, weighed.estimated(statistic.difference)

    scaled, difference = weigh(np.log(counted) if log else counted)
    raw, raw_difference = weigh(counted) if log else (scaled, difference)

    def in_logs() -> Improvement:
        return from_logs(difference, scaled.interval, better)

    def of_means() -> Improvement:
        n, mean, squared_error = map(scaled.estimated, arrays.control_moments(counted, arm))
        clear = differs_from_zero(n, mean, squared_error, rules.alpha)
        return where_clear(as_share(difference, mean, scaled.relative, better), clear)

    def guard() -> DurationGuard:
        ranked, last = scaled, difference
        if not arrays.paired and arrays.failed.any():
            ranked, last = weigh(np.log(column.last))
        low = from_logs(last, ranked.interval, better).low
        nowhere = np.zeros(low.shape, dtype=np.bool_)
        return DurationGuard(better * raw_difference, ranked.p_value, low, nowhere)

    return LookEvidence(
        scaled,
        np.minimum(*arrays.counts(column.value, arm)),
        in_logs if log else of_means,
        lambda: signed(raw_difference, raw.interval, better),
        guard if log else None,
    )


def simulated_column(metric: Metric, arrays: TrialArrays) -> MetricColumn:
    """The values of simulated trials as `metric_column` gives those of real ones."""
    reported = arrays.values[metric.name]
    unreported = np.zeros(reported.shape, dtype=np.bool_)
    if metric.kind != "duration" or not arrays.failed.any():
        return MetricColumn(reported, reported, unreported)
    value = np.where(arrays.failed, np.nan, reported)
    longest = np.fmax.accumulate(reported, axis=1)
    first = np.fmax.reduce(reported[:, :10], axis=1, keepdims=True)
    last = np.where(arrays.failed, np.fmax(longest, first), value)
    return MetricColumn(value, last, unreported)

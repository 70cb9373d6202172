"""What kinds that compare means share: the t-mixture on the scale of analysis, and covariates."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from expci.core import number_format
from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trials_table import TrialsTable
from expci.core.dataset.unit_history import covariate_names
from expci.core.decision.numbers import Improvement
from expci.core.kinds import draws, spreads
from expci.core.kinds.contrast import (
    Contrast,
    Simulated,
    asymptotic,
    compared,
    compared_by_t,
    last_error,
    on_scale,
    with_difference,
)
from expci.core.kinds.draws import ControlValues
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.model.experiment import Metric
from expci.core.model.results import Comparison
from expci.core.statistics import ancova, classical, posterior, t_mixture
from expci.core.statistics.ancova import Adjusted, adjusted
from expci.core.statistics.ancova_pairs import BLOCK, AdjustedPairs, adjusted_pairs, arrival_blocks
from expci.core.statistics.constant_values import ConstantValues, constant_values, exact
from expci.core.statistics.effect_scale import (
    as_share,
    differs_from_zero,
    finite,
    log_change,
    relative_change,
    signed,
    where_clear,
)
from expci.core.statistics.outcome import Outcome, Words
from expci.core.statistics.sample_size import Spread, planned_effect, scale_sd
from expci.core.statistics.t_statistic import TStatistic
from expci.core.statistics.terms import Terms, rules_of
from expci.core.statistics.two_arms import Sample
from expci.core.statistics.weighed import Weighed

AnyUnits = Sample | Adjusted | AdjustedPairs


def compare_raw(contrast: Contrast) -> Comparison:
    """Compare arithmetic means: by the difference in the unit, and as a share of control's mean.

    >>> from support.examples import contrast_of
    >>> cost = Metric("usd", "primary", "mean", "decrease")
    >>> result = compare_raw(contrast_of(cost, [4.0, 6.0] * 5, [3.0, 5.0] * 5))
    >>> result.difference, result.improvement  # one of five dollars less
    (-1.0, 0.2)
    """
    counted = contrast.column.value
    units, notes = adjusted_units(counted, contrast)
    constant = constant_values(*contrast.sample(counted).arms(), contrast.terms.harm_level)
    weighed = weigh_units(units, constant, contrast)
    opened = weighed.opened_units(units)
    change = relative_change(contrast.metric, opened, weighed, contrast.terms.rules.alpha)
    change = replace(change, notes=(*change.notes, *notes))
    comparison = compared(contrast, weighed, change, contrast.sample(counted))
    comparison = with_difference(comparison, opened.difference(), weighed)
    now = opened.estimated()
    comparison = _with_posterior(comparison, now, now, contrast.better)
    error, control = _error(weighed, opened), abs(opened.control_mean().mean)
    return replace(
        comparison,
        power=_power(contrast, units, units),
        difference_error=error,
        improvement_error=finite(error / control) if error is not None and control else None,
    )


def compare_logs(contrast: Contrast) -> Comparison:
    """Compare geometric means by their ratio, with the difference of arithmetic means beside.

    >>> from support.examples import contrast_of
    >>> timed = Metric("duration_s", "primary", "duration", "decrease")
    >>> result = compare_logs(contrast_of(timed, [4.0, 16.0] * 5, [2.0, 8.0] * 5))
    >>> round(result.improvement, 6), round(result.difference, 6)  # half the time
    (0.5, -5.0)
    """
    counted = contrast.column.value
    scaled, notes = adjusted_units(np.log(counted), contrast)
    raw, _ = adjusted_units(counted, contrast)
    constant = constant_values(*contrast.sample(counted).arms(), contrast.terms.harm_level)
    weighed, on_raw = (weigh_units(units, constant, contrast) for units in (scaled, raw))
    opened, opened_raw = weighed.opened_units(scaled), on_raw.opened_units(raw)
    change = log_change(contrast.metric, opened.difference(), weighed)
    change = replace(change, notes=(*change.notes, *notes))
    comparison = compared(contrast, weighed, change, contrast.sample(counted))
    comparison = with_difference(comparison, opened_raw.difference(), on_raw)
    estimates = opened.estimated(), opened_raw.estimated()
    comparison = _with_posterior(comparison, *estimates, contrast.better)
    ratio = None if change.improvement is None else 1 + contrast.better * change.improvement
    error = _error(weighed, opened)
    return replace(
        comparison,
        power=_power(contrast, scaled, raw),
        difference_error=_error(on_raw, opened_raw),
        improvement_error=None if error is None or ratio is None else finite(error * ratio),
    )


def _error(weighed: Outcome, opened: AnyUnits) -> float | None:
    """The standard error of the difference of the units that the evidence uses."""
    return weighed.error if weighed.opened is None else last_error(opened.looks())


def adjusted_units(column: FloatArray, contrast: Contrast) -> tuple[AnyUnits, tuple[str, ...]]:
    """Return the units with the covariates that the plan asks for, and what came of them.

    >>> from dataclasses import replace
    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase", adjust_by=("lines",))
    >>> contrast = contrast_of(score, [4.0, 6.0], [7.0, 9.0])
    >>> adjusted_units(contrast.column.value, contrast)[1]
    ('not adjusted by lines: it never varied',)
    """
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
    fit: Adjusted | AdjustedPairs | None
    if plain.pairs is None:
        fit, why = adjusted(contrast.table, contrast.arm, column, names), "it never varied"
    else:
        fit, why = adjusted_pairs(contrast.table, plain, names), "it never differed within a pair"
    if fit is None:
        return plain, (*notes, f"not adjusted by {listed}: {why}")
    gain = fit.gain()
    took = "" if gain is None else f": {number_format.frequency(gain)} less variance"
    return fit, (*notes, f"adjusted by {listed}{took}")


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
    pairs = arrival_blocks(contrast.table, contrast.arm, column)
    if pairs is None:
        return plain, ("not adjusted by block: a unit has several trials",)
    return pairs, ("adjusted by block: the k-th units of both arms are compared as a pair",)


def weigh_units(units: AnyUnits, constant: ConstantValues | None, contrast: Contrast) -> Outcome:
    """Return the evidence of a difference of means; exact where the values never vary.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0] * 10, [7.0] * 10)
    >>> never_vary = constant_values(*contrast.sample(contrast.column.value).arms(), 0.05)
    >>> weigh_units(contrast.sample(contrast.column.value), never_vary, contrast).is_exact
    True
    """
    terms = contrast.terms
    if isinstance(units, Adjusted | AdjustedPairs):
        weighed = asymptotic(units, ancova.WORDS, ancova.START, contrast)
    else:
        rules = tuned_rules(contrast.metric, terms)
        weighed = compared_by_t(units, Words(), rules, terms)
    return exact(weighed, constant, weighed.opened_units(units).difference(), terms)


def tuned_rules(metric: Metric, terms: Terms) -> t_mixture.Rules:
    """Return how evidence is weighed, tuned to the effect that was planned before any trial.

    >>> from support.examples import terms_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> rules = tuned_rules(score, terms_of(score))
    >>> rules.alpha, rules.start, rules.scale
    (0.05, 5, 0.5)
    """
    rules = rules_of(metric, terms, planned_scale(metric, terms))
    return replace(rules, planned=terms.planned_effect(metric))


def planned_scale(metric: Metric, terms: Terms) -> float:
    """Return g: the squared standardised effect that is stated before any trial, else 0.5.

    Never from the data that are tested. Kept within the range that was simulated.

    >>> from expci.core.model.experiment import Baseline, Limit
    >>> from support.examples import terms_of
    >>> effect, baseline = Limit(1.0, relative=False), Baseline(mean=5.0, sd=2.0)
    >>> score = Metric("score", "primary", "mean", "increase", effect, baseline=baseline)
    >>> planned_scale(score, terms_of(score))  # (1.0 / 2.0)²
    0.25
    """
    if metric.baseline is None or terms.paired:
        return t_mixture.SCALE
    spread = Spread(metric.baseline.mean, metric.baseline.sd)
    effect = planned_effect(metric, spread)
    sd = scale_sd(metric, spread, terms.design)
    if not effect or not sd:
        return t_mixture.SCALE
    return min(math.sqrt(2.0), max(math.sqrt(0.1), abs(effect / sd))) ** 2


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


def share_of_means(
    simulated: Simulated, statistic: TStatistic, weighed: Weighed, counted: FloatArray
) -> LookEvidence:
    """Return the evidence of a difference of arithmetic means at every look.

    >>> from expci.core.statistics.t_statistic import by_t
    >>> from support.examples import simulated_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> simulated = simulated_of(score, [4.0, 6.0] * 5, [5.0, 7.0] * 5)
    >>> value, rules = simulated.arrays.values["score"], tuned_rules(score, simulated.terms)
    >>> statistic = by_t(simulated.arrays.mean_looks(value, 1), rules)
    >>> evidence = share_of_means(simulated, statistic, simulated.weighed(statistic), value)
    >>> float(evidence.relative.estimate[0, -1])
    0.2
    """
    arrays, arm, better = simulated.arrays, simulated.arm, simulated.better
    difference = weighed.estimated(statistic.difference)

    def shares() -> Improvement:
        n, mean, squared_error = map(weighed.estimated, arrays.control_moments(counted, arm))
        clear = differs_from_zero(n, mean, squared_error, statistic.rules.alpha)
        return where_clear(as_share(difference, mean, weighed.relative, better), clear)

    def share_errors() -> FloatArray:
        mean = arrays.control_moments(counted, arm)[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return weighed.estimated(statistic.error / np.abs(mean))

    return LookEvidence(
        weighed,
        np.minimum(*arrays.counts(counted, arm)),
        shares,
        lambda: signed(difference, weighed.interval, better),
        lambda: weighed.estimated(
            statistic.error / np.abs(arrays.control_moments(counted, arm)[1])
        ),
        lambda: weighed.estimated(statistic.error),
    )


def pilot_values(metric: Metric, table: TrialsTable, column: MetricColumn) -> ControlValues | None:
    """Return control's values on the scale of analysis, with the noise that covariates leave.

    They are not simulated themselves.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0, 8.0], [7.0, 9.0, 9.0])
    >>> values = pilot_values(score, contrast.table, contrast.column)
    >>> values.mean, values.sd
    (6.0, 2.0)
    """
    values = draws.standardised(table, on_scale(metric, column.value))
    if values is None or not metric.adjust_by or table.paired:
        return values
    spread = spreads.of_means(metric, table, column, None)
    sd = None if spread is None else spread.log_sd if metric.traits.is_logarithmic else spread.sd
    return values if sd is None else replace(values, sd=sd)

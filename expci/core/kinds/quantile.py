"""Quantiles: the difference of the arms' quantiles, from exact counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trials_table import TrialsTable
from expci.core.decision.inputs import Safeguard
from expci.core.kinds import draws, rows, spreads
from expci.core.kinds.contrast import (
    Contrast,
    Simulated,
    compared,
    normal_power,
    with_difference,
    with_errors,
)
from expci.core.kinds.draws import ControlValues, Draw
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.model.experiment import Metric
from expci.core.model.results import Comparison
from expci.core.special_functions import special
from expci.core.statistics import quantile, t_mixture
from expci.core.statistics.effect_scale import Change, refusal_at_zero, share_of
from expci.core.statistics.outcome import outcome
from expci.core.statistics.quantile import QuantileTest
from expci.core.statistics.row_by_row import one_experiment
from expci.core.statistics.sample_size import Spread
from expci.core.statistics.terms import rules_of
from expci.core.statistics.visit_stages import visit_stages


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Compare by the difference of the arms' quantiles, from exact counts.

    >>> from support.examples import contrast_of
    >>> p90 = Metric("latency_ms", "primary", "quantile", "decrease", quantile=0.9)
    >>> result, _ = compare(contrast_of(p90, [1.0, 2.0, 3.0] * 20, [1.0, 2.0, 2.0] * 20))
    >>> result.difference
    -1.0
    """
    q, terms = contrast.metric.quantile or 0.5, contrast.terms
    units = contrast.sample(contrast.column.last)
    rules = rules_of(contrast.metric, terms, t_mixture.SCALE, start=2)
    total = None if terms.planned is None else 2 * terms.planned
    row = one_experiment(units, lambda: quantile.samples_at_looks(units))
    n, strength = np.array([[units.n]], dtype=np.float64), quantile.strength_for(total)
    test = QuantileTest(rules, n, [row], visit_stages(terms.experiment), q, strength)
    weighed = outcome(test, units.n, quantile.WORDS, rules, terms)
    opened = weighed.opened_units(units)
    difference, control = quantile.difference(opened, q), quantile.value(opened.arms()[0], q)
    change = Change()
    if difference is not None and control is not None:
        if quantile.excludes_zero(opened.arms()[0], q):
            exact = terms.rules.inference == "anytime"
            note = quantile.RELATIVE if exact else quantile.FIELLER
            change = share_of(contrast.metric, difference, control, weighed, note)
        else:
            change = Change(coded=refusal_at_zero(contrast.metric, None))
    comparison = with_difference(compared(contrast, weighed, change, None), difference, weighed)
    now = quantile.one_look(opened, q)
    chance = None if now is None else float(special.ndtr(contrast.better * now.z))
    comparison = replace(
        comparison, chance_to_beat=chance, power=normal_power(contrast, control, now)
    )
    return with_errors(comparison, now, control), None


def look_evidence(simulated: Simulated) -> LookEvidence:
    """Return the evidence at every look of simulated experiments.

    >>> from support.examples import simulated_of
    >>> p90 = Metric("latency_ms", "primary", "quantile", "decrease", quantile=0.9)
    >>> evidence = look_evidence(simulated_of(p90, [1.0, 2.0, 3.0] * 20, [1.0, 2.0, 2.0] * 20))
    >>> float(evidence.absolute.estimate[0, -1])
    1.0
    """
    q, terms = simulated.metric.quantile or 0.5, simulated.terms
    rules = rules_of(simulated.metric, terms, t_mixture.SCALE, start=2)
    strength = quantile.strength_for(None if terms.planned is None else 2 * terms.planned)
    paths = rows.simulated_rows(simulated, q)
    n, units = rows.smaller_arms(simulated), [path.row() for path in paths]
    test = QuantileTest(rules, n, units, visit_stages(terms.experiment), q, strength)

    def difference(control: FloatArray, treatment: FloatArray, paired: bool) -> float:
        del paired
        values = quantile.value(treatment, q), quantile.value(control, q)
        return math.nan if values[0] is None or values[1] is None else values[0] - values[1]

    return rows.look_evidence(simulated, test, paths, difference)


def spread(
    metric: Metric, table: TrialsTable, column: MetricColumn, units: int | None
) -> Spread | None:
    """Return control's quantile, and the sd of one unit by its order statistics.

    >>> from support.examples import contrast_of
    >>> p90 = Metric("latency_ms", "primary", "quantile", "decrease", quantile=0.9)
    >>> contrast = contrast_of(p90, [float(n) for n in range(101)], [1.0] * 101)
    >>> spread(p90, contrast.table, contrast.column, None).mean
    90.0
    """
    q, control = metric.quantile or 0.5, table.path(0, column.value).final[:units]
    if control.size < 2:
        return None
    error, value = quantile.error(control, q), quantile.value(control, q)
    if error is None or value is None:
        return None
    pairs = spreads.first_pairs(table, column.value, units)
    apart = None if pairs is None else spreads.pair_sd(quantile.one_look(pairs, q), pairs.n)
    return spreads.of_estimate(value, error * math.sqrt(control.size), apart)


def stated_values(metric: Metric) -> ControlValues | None:
    """Return normal values about the stated quantile.

    >>> from expci.core.model.experiment import Baseline
    >>> base = Baseline(9.0, 2.0)
    >>> half = Metric("ms", "primary", "quantile", "decrease", quantile=0.5, baseline=base)
    >>> stated_values(half).mean, stated_values(replace(half, quantile=0.9)).mean < 9
    (9.0, True)
    """
    values = draws.normal(metric)
    if values is None:
        return None
    beyond = float(special.ndtri(metric.quantile or 0.5))
    return replace(values, mean=values.mean - beyond * values.sd, center=values.mean)


def pilot_values(metric: Metric, table: TrialsTable, column: MetricColumn) -> ControlValues | None:
    """Return control's values; effects refer to their quantile.

    >>> from support.examples import contrast_of
    >>> p90 = Metric("latency_ms", "primary", "quantile", "decrease", quantile=0.9)
    >>> contrast = contrast_of(p90, [1.0, 2.0, 3.0] * 20, [1.0] * 60)
    >>> values = pilot_values(p90, contrast.table, contrast.column)
    >>> values.mean, values.center
    (2.0, 3.0)
    """

    values = draws.standardised(table, column.value)
    if values is None:
        return None
    control = column.value[table.arm == 0]
    center = float(np.quantile(control[~np.isnan(control)], metric.quantile or 0.5))
    return replace(values, center=center)


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Draw values to which the treatment adds its effect.

    >>> from expci.core.model.experiment import Baseline, Limit
    >>> from support.examples import drawing
    >>> base = Baseline(9.0, 2.0)
    >>> p90 = Metric("ms", "primary", "quantile", "decrease", quantile=0.9, baseline=base)
    >>> times = draw(drawing(p90, stated_values(p90), Limit(3.0, relative=False)))["ms"][0]
    >>> round(np.quantile(times[:1000], 0.9)), round(np.quantile(times[1000:], 0.9))
    (9, 6)
    """
    return {values.metric.name: draws.shifted(values, draws.shift(values))}

"""Ratios of means: the difference of the arms' ratios, by the delta method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trials_table import TrialsTable
from expci.core.decision.inputs import Safeguard
from expci.core.decision.numbers import Improvement
from expci.core.kinds import draws, spreads
from expci.core.kinds.contrast import (
    Contrast,
    Simulated,
    asymptotic,
    asymptotic_rules,
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
from expci.core.statistics import ratio
from expci.core.statistics.constant_values import constant_values, exact
from expci.core.statistics.effect_scale import (
    FIELLER,
    Change,
    as_share,
    differs_from_zero,
    refusal_at_zero,
    share_of,
    signed,
    where_clear,
)
from expci.core.statistics.outcome import Outcome
from expci.core.statistics.sample_size import Spread
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import (
    Snapshot,
    TStatistic,
    by_t,
    of_units_and_pairs,
    t_snapshot,
)
from expci.core.statistics.two_arms import sample

stated_values = draws.normal


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Compare the arms' ratios by their difference; no estimate without a denominator.

    >>> from dataclasses import replace
    >>> from support.examples import ratio_contrast
    >>> result, _ = compare(ratio_contrast([2.0, 4.0] * 5, [1.0, 2.0] * 5, below=[1.0, 3.0] * 5))
    >>> result.difference  # 1.5/2 − 3/2
    -0.75
    """
    denominator = contrast.table.metric(contrast.metric.denominator or "")
    value = contrast.column.value
    both = np.isnan(value) | np.isnan(denominator)
    units = ratio.Fractions(
        contrast.sample(np.where(both, np.nan, value)),
        contrast.sample(np.where(both, np.nan, denominator)),
    )
    constant = constant_values(*units.single_ratios(), contrast.terms.harm_level)
    weighed = asymptotic(units, ratio.WORDS, ratio.START, contrast)
    values = weighed.opened_units(units).values()
    difference = None if values is None else values[1] - values[0]
    weighed = exact(weighed, constant, difference, contrast.terms)
    opened = weighed.opened_units(units)
    spread = t_snapshot(opened.looks())
    change = Change()
    if values is not None and difference is not None:
        change = _over(contrast, values[0], difference, weighed, spread, FIELLER)
    comparison = compared(contrast, weighed, change, None)
    comparison = with_difference(comparison, difference, weighed)
    chance = None if spread is None else float(special.ndtr(contrast.better * spread.z))
    power = normal_power(contrast, values[0] if values else None, spread)
    comparison = replace(
        comparison, chance_to_beat=chance, power=power, welch=None, cohens_d=None, hedges_g=None
    )
    return with_errors(comparison, spread, values[0] if values else None), None


def _over(
    contrast: Contrast,
    control: float,
    difference: float,
    weighed: Outcome,
    now: Snapshot | None,
    note: str,
) -> Change:
    """Relative to control's value, refused where that does not differ from 0 for sure."""
    is_clear = weighed.is_exact or (now is not None and now.clear)
    if not control or not is_clear:
        return Change(coded=refusal_at_zero(contrast.metric, None))
    return share_of(contrast.metric, difference, control, weighed, note)


def look_evidence(simulated: Simulated) -> LookEvidence:
    """Return the evidence at every look of simulated experiments.

    >>> from support.examples import simulated_of
    >>> ratio_of = Metric("usd", "primary", "ratio", "decrease", denominator="tasks")
    >>> simulated = simulated_of(ratio_of, [2.0, 4.0] * 5, [1.0, 2.0] * 5)
    >>> simulated.arrays.values["tasks"] = np.array([[1.0, 1.0, 3.0, 3.0] * 5])
    >>> float(look_evidence(simulated).absolute.estimate[0, -1])
    0.75
    """
    arrays, metric = simulated.arrays, simulated.metric
    top, bottom = arrays.values[metric.name], arrays.values[metric.denominator or ""]
    rules = asymptotic_rules(metric, simulated.terms, ratio.START)
    statistic = _statistic(simulated, _both(top, bottom), rules)
    looks = statistic.looks
    weighed, better = simulated.weighed(statistic), simulated.better
    difference = weighed.estimated(looks.difference)
    control = weighed.estimated(looks.control)

    def shares() -> Improvement:
        squared_error = weighed.estimated(looks.control_variance)
        clear = differs_from_zero(np.full(control.shape, np.inf), control, squared_error, 0.05)
        return where_clear(as_share(difference, control, weighed.relative, better), clear)

    return LookEvidence(
        weighed,
        looks.n,
        shares,
        lambda: signed(difference, weighed.interval, better),
        lambda: weighed.estimated(looks.error) / np.abs(control),
        lambda: weighed.estimated(looks.error),
    )


def _statistic(
    simulated: Simulated, both: tuple[FloatArray, FloatArray], rules: Rules
) -> TStatistic:
    """The difference of the ratios at every look, as an analysis weighs it."""
    arrays, arm = simulated.arrays, simulated.arm
    if not arrays.paired:
        (y, y_before), (x, x_before) = map(arrays.unit_means, both)
        before = None if y_before is None or x_before is None else (y_before, x_before)
        return by_t(ratio.two_sample(arrays.arm, y, x, arm, before), rules)
    top, bottom = (arrays.pair_values(column, arm) for column in both)
    of_pairs = ratio.paired(top, bottom)
    if arrays.unit is None:
        return by_t(of_pairs, rules)
    gap = np.isnan(top[0] + top[1])
    paths = [[arrays.case_means(np.where(gap, np.nan, c)) for c in pair] for pair in (top, bottom)]
    now, before_it = ([[path[i] for path in pair] for pair in paths] for i in (0, 1))
    looks = ratio.paired(now[0], now[1], (before_it[0], before_it[1]))
    return of_units_and_pairs(looks, of_pairs, rules)


def spread(
    metric: Metric, table: TrialsTable, column: MetricColumn, units: int | None
) -> Spread | None:
    """Return what one unit adds to the ratio's error, by the delta method.

    >>> from support.examples import ratio_contrast
    >>> contrast = ratio_contrast([2.0, 4.0] * 5, [1.0, 2.0] * 5, below=[1.0, 3.0] * 5)
    >>> spread(contrast.metric, contrast.table, contrast.column, None).mean
    1.5
    """
    both = _both(column.value, table.metric(metric.denominator or ""))
    top, bottom = (table.path(0, part).final for part in both)
    if units is not None and top.size < units:
        return None
    arm = ratio.one_arm(top[:units], bottom[:units])
    return None if arm is None else spreads.of_estimate(*arm, _pair_sd(table, column, both, units))


def _pair_sd(
    table: TrialsTable,
    column: MetricColumn,
    both: tuple[FloatArray, FloatArray],
    units: int | None,
) -> float | None:
    pairs = spreads.first_pairs(table, column.value, units)
    if pairs is None:
        return None
    fractions = ratio.Fractions(*(sample(table, 1, part, True) for part in both))
    return spreads.pair_sd(t_snapshot(fractions.until(pairs.n).looks()), pairs.n)


def _both(top: FloatArray, bottom: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two columns with the gaps of either."""
    gap = np.isnan(top) | np.isnan(bottom)
    return np.where(gap, np.nan, top), np.where(gap, np.nan, bottom)


def pilot_values(metric: Metric, table: TrialsTable, column: MetricColumn) -> ControlValues | None:
    """Return control's linearised shares in the ratio, with the denominators beside them.

    >>> from support.examples import ratio_contrast
    >>> contrast = ratio_contrast([2.0, 4.0] * 5, [1.0, 2.0] * 5, below=[1.0, 3.0] * 5)
    >>> values = pilot_values(contrast.metric, contrast.table, contrast.column)
    >>> values.mean, values.bottom[:2]
    (1.5, array([1., 3.]))
    """
    bottom = table.metric(metric.denominator or "")
    bottom = np.where(np.isnan(column.value), np.nan, bottom)
    top = np.where(np.isnan(bottom), np.nan, column.value)
    control = table.arm == 0
    mine = control & ~np.isnan(top)
    size = float(np.mean(bottom[mine])) if mine.any() else 0.0
    if not size:
        return None
    value = float(np.mean(top[mine])) / size
    values = draws.standardised(table, value + (top - value * bottom) / size)
    return None if values is None else replace(values, bottom=bottom[control])


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Draw denominators, and numerators with the linearised shares in the ratio.

    >>> from expci.core.model.experiment import Limit
    >>> from support.examples import drawing
    >>> cost = Metric("usd", "primary", "ratio", "decrease", denominator="tasks")
    >>> values = ControlValues(2.0, 0.5, np.empty(0))
    >>> columns = draw(drawing(cost, values, Limit(0.5, relative=True)))
    >>> round(columns["usd"][0, :1000].mean()), round(columns["usd"][0, 1000:].mean())
    (2, 1)
    """
    change = draws.shift(values)
    share, below = draws.shifted(values, change), _denominators(values)
    value = values.control.mean + np.where(values.arm == 1, change, 0.0)
    size = float(np.mean(below))
    numerators = np.asarray(value * below + (share - value) * size)
    return {values.metric.name: numerators, values.metric.denominator or "": below}


def _denominators(values: Draw) -> FloatArray:
    """The pilot's, row by row; those already drawn where they are a metric of their own."""
    drawn, bottom = values.drawn.get(values.metric.denominator or ""), values.control.bottom
    if drawn is not None:
        return drawn
    if bottom is None or not bottom.size:
        return np.ones(values.row.shape)
    column = bottom[values.row]
    return np.where(np.isnan(column), float(np.nanmean(bottom)), column)

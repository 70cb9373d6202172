"""Ratios of means: the difference of the arms' ratios, by the delta method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import special

from expci.core.decision.numbers import Improvement
from expci.core.kinds.contrast import (
    Contrast,
    Simulated,
    asymptotic,
    asymptotic_rules,
    compared,
    normal_power,
    with_difference,
)
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.model.results import Comparison
from expci.core.statistics import ratio
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
from expci.core.statistics.t_statistic import Snapshot, by_t, t_snapshot


def compare(contrast: Contrast) -> Comparison:
    """Difference of the arms' ratios, by the delta method; no estimate without a denominator."""
    denominator = contrast.table.metric(contrast.metric.denominator or "")
    value = contrast.column.value
    both = np.isnan(value) | np.isnan(denominator)
    units = ratio.Fractions(
        contrast.sample(np.where(both, np.nan, value)),
        contrast.sample(np.where(both, np.nan, denominator)),
    )
    weighed = asymptotic(units, ratio.WORDS, ratio.START, contrast)
    seen = weighed.opened_units(units)
    values, spread = seen.values(), t_snapshot(seen.looks())
    change, difference = Change(), None
    if values is not None:
        difference = values[1] - values[0]
        change = _over(contrast, values[0], difference, weighed, spread, FIELLER)
    found = compared(contrast, weighed, change, None)
    found = with_difference(found, difference, weighed)
    chance = None if spread is None else float(special.ndtr(contrast.better * spread.z))
    power = normal_power(contrast, values[0] if values else None, spread)
    return replace(
        found, chance_to_beat=chance, power=power, welch=None, cohens_d=None, hedges_g=None
    )


def _over(
    contrast: Contrast,
    control: float,
    difference: float,
    weighed: Outcome,
    now: Snapshot | None,
    note: str,
) -> Change:
    """Relative to control's value, refused where that cannot be told from 0."""
    if not control or now is None or not now.clear:
        return Change(coded=refusal_at_zero(contrast.metric, None))
    return share_of(contrast.metric, difference, control, weighed, note)


def look_evidence(simulated: Simulated) -> LookEvidence:
    """The same at every look of simulated experiments."""
    arrays, arm, metric = simulated.arrays, simulated.arm, simulated.metric
    top, bottom = arrays.values[metric.name], arrays.values[metric.denominator or ""]
    if arrays.paired:
        looks = ratio.paired(arrays.pair_values(top, arm), arrays.pair_values(bottom, arm))
    else:
        gap = np.isnan(top + bottom)
        (y, y_before), (x, x_before) = (
            arrays.unit_means(np.where(gap, np.nan, column)) for column in (top, bottom)
        )
        before = None if y_before is None or x_before is None else (y_before, x_before)
        looks = ratio.two_sample(arrays.arm, y, x, arm, before)
    statistic = by_t(looks, asymptotic_rules(metric, simulated.terms, ratio.START))
    weighed, better = simulated.weighed(statistic), simulated.better
    difference = weighed.estimated(looks.difference)
    control = weighed.estimated(looks.control)

    def shares() -> Improvement:
        squared_error = weighed.estimated(looks.control_variance)
        clear = differs_from_zero(np.full(control.shape, np.inf), control, squared_error, 0.05)
        return where_clear(as_share(difference, control, weighed.relative, better), clear)

    return LookEvidence(
        weighed, looks.n, shares, lambda: signed(difference, weighed.interval, better)
    )

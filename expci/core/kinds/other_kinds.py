"""The comparison of each kind of metric but means and durations."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import special

from expci.core.kinds.asked import Asked, asymptotic, compared, with_difference
from expci.core.model.results import Comparison
from expci.core.statistics import cliffs_delta, proportion, quantile, ratio, signed_rank, t_mixture
from expci.core.statistics.effect_scale import (
    CROSSED,
    FIELLER,
    Change,
    refusal_at_zero,
    share_of,
    unsteady,
)
from expci.core.statistics.inference import Snapshot, Weighed, rules_of, t_snapshot, weigh
from expci.core.statistics.sample_size import Spread, planned_effect


def _power(asked: Asked, control: float | None, now: Snapshot | None) -> float | None:
    """Power of one look at the planned effect, by the normal with the error so far."""
    if control is None or now is None:
        return None
    effect = planned_effect(asked.metric, Spread(control, 1.0))
    low, high = now.ends(1.0)[0]
    if effect is None or not 0 < high - low < math.inf:
        return None
    size, critical = 2 * effect / (high - low), float(special.ndtri(asked.terms.rules.alpha / 2))
    return float(special.ndtr(critical + size) + special.ndtr(critical - size))


def proportions(asked: Asked) -> Comparison:
    """Difference of shares in points; improvement is it, signed."""
    terms, better = asked.terms, asked.better
    units = asked.samples(asked.column.value)
    sizes = terms.block_sizes(asked.table.arms[asked.arm])
    rules = rules_of(asked.metric, terms, t_mixture.SCALE, start=1)
    weighed = weigh(proportion.measured(units, sizes), rules, terms)
    seen, ends = weighed.seen(units), weighed.interval
    difference, crossed = seen.difference(), ends is not None and ends[0] > ends[1]
    if crossed:
        ends = None
    turned = None if ends is None else sorted(better * end for end in ends)
    improvement = None if difference is None else better * difference
    interval = None if turned is None else (turned[0], turned[1])
    notes = (CROSSED,) if crossed else unsteady(improvement, interval)
    change = Change(improvement, interval, notes)
    found = compared(asked, weighed, change, None)
    values = seen.control.final, seen.treatment.final
    beats = proportion.flat_prior(*values, better)
    odds = proportion.log_odds_ratio(*values, terms.level)
    return replace(
        found,
        difference=difference,
        difference_interval=ends,
        power=proportion.power(asked.metric, units.control, units.treatment, terms.rules.alpha),
        chance_to_beat=beats[0] if beats else None,
        expected_loss=beats[1] if beats else None,
        log_odds_ratio=odds[0] if odds else None,
        log_odds_ratio_interval=odds[1] if odds else None,
    )


def ratios(asked: Asked) -> Comparison:
    """Difference of the arms' ratios, by the delta method; no estimate without a denominator."""
    denominator = asked.table.metric(asked.metric.denominator or "")
    value = asked.column.value
    both = np.isnan(value) | np.isnan(denominator)
    units = ratio.Fractions(
        asked.sample(np.where(both, np.nan, value)),
        asked.sample(np.where(both, np.nan, denominator)),
    )
    weighed = asymptotic(units, ratio.WORDS, ratio.START, asked)
    seen = weighed.seen(units)
    values, spread = seen.values(), t_snapshot(seen.looks())
    change, difference = Change(), None
    if values is not None:
        difference = values[1] - values[0]
        change = _over(asked, values[0], difference, weighed, spread, FIELLER)
    found = compared(asked, weighed, change, None)
    found = with_difference(found, difference, weighed)
    chance = None if spread is None else float(special.ndtr(asked.better * spread.z))
    power = _power(asked, values[0] if values else None, spread)
    return replace(
        found, chance_to_beat=chance, power=power, welch=None, cohens_d=None, hedges_g=None
    )


def _over(
    asked: Asked,
    control: float,
    difference: float,
    weighed: Weighed,
    now: Snapshot | None,
    note: str,
) -> Change:
    """Relative to control's value, refused where that cannot be told from 0."""
    known = now is not None and all(math.isfinite(end) for end in now.ends(1.96)[1])
    if not control or not known:
        return Change(notes=(refusal_at_zero(asked.metric, None),))
    return share_of(asked.metric, difference, control, weighed, note)


def ranks(asked: Asked) -> Comparison:
    """A shift by ranks (Hodges-Lehmann), Cliff's delta beside it."""
    units = asked.sample(asked.column.last)
    rules = rules_of(asked.metric, asked.terms, t_mixture.SCALE)
    weighed = weigh(signed_rank.measured(units), rules, asked.terms)
    seen = weighed.seen(units)
    shift, median = signed_rank.shift(seen), signed_rank.control_median(seen)
    change = Change()
    if shift is not None and median is not None:
        if quantile.excludes_zero(seen.arms()[0], 0.5):
            change = share_of(asked.metric, shift, median, weighed, signed_rank.RELATIVE)
        else:
            change = Change(notes=(refusal_at_zero(asked.metric, None),))
    found = with_difference(compared(asked, weighed, change, None), shift, weighed)
    apart = weighed.seen(asked.samples(asked.column.value))
    values = apart.control.final, apart.treatment.final
    delta = cliffs_delta.cliffs_delta(*values)
    return replace(
        found,
        power=_power(asked, median, signed_rank.snapshot(seen)),
        effect_size_word=cliffs_delta.word(delta),
        cliffs_delta=delta,
        cliffs_delta_interval=cliffs_delta.interval(*values, asked.terms.level),
        chance_to_beat=None if delta is None else (1 + asked.better * delta) / 2,
        notes=(*found.notes, CHANCE_OF_ONE),
    )


CHANCE_OF_ONE = "chance to beat: that one run of the treatment is better than one of control"


def quantiles(asked: Asked) -> Comparison:
    """Difference of the arms' quantiles, from exact counts."""
    q, terms = asked.metric.quantile or 0.5, asked.terms
    units = asked.sample(asked.column.last)
    rules = rules_of(asked.metric, terms, t_mixture.SCALE, start=2)
    total = None if terms.planned is None else 2 * terms.planned
    weighed = weigh(quantile.measured(units, q, total), rules, terms)
    seen = weighed.seen(units)
    difference, control = quantile.difference(seen, q), quantile.value(seen.arms()[0], q)
    change = Change()
    if difference is not None and control is not None:
        if quantile.excludes_zero(seen.arms()[0], q):
            exact = terms.rules.inference == "anytime"
            note = quantile.RELATIVE if exact else quantile.FIELLER
            change = share_of(asked.metric, difference, control, weighed, note)
        else:
            change = Change(notes=(refusal_at_zero(asked.metric, None),))
    found = with_difference(compared(asked, weighed, change, None), difference, weighed)
    now = quantile.snapshot(seen, q)
    chance = None if now is None else float(special.ndtr(asked.better * now.z))
    return replace(found, chance_to_beat=chance, power=_power(asked, control, now))

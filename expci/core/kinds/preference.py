"""Which of a pair's two outputs is better: points above one half, by the exact sign test.

A trial of a treatment is 1 where it was preferred to control's, 0 where control's was, ½ for a
tie; control is ½ by definition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.dataset.trials_table import TrialsTable
from expci.core.decision.inputs import Safeguard
from expci.core.decision.numbers import Improvement
from expci.core.kinds import draws, spreads
from expci.core.kinds.contrast import Contrast, Simulated, compared
from expci.core.kinds.draws import ControlValues, Draw
from expci.core.kinds.look_evidence import LookEvidence, no_share
from expci.core.model.experiment import Metric
from expci.core.model.judge import KEY, answer_counts
from expci.core.model.results import Comparison, NoteCode
from expci.core.special_functions import special
from expci.core.statistics import classical, sign_test, t_mixture
from expci.core.statistics.bets import USUAL, Bets, planned_bets
from expci.core.statistics.effect_scale import UNSTEADY, Change, finite, signed, unsteady
from expci.core.statistics.outcome import outcome
from expci.core.statistics.sample_size import Spread
from expci.core.statistics.sign_test import SignTest
from expci.core.statistics.statistic import RowEnds
from expci.core.statistics.terms import Terms, rules_of
from expci.core.statistics.two_arms import Sample
from expci.core.statistics.visit_stages import visit_stages

_EVEN = 0.5
_LEAST_PAIRS = 3

stated_values = draws.normal


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Compare the treatment's share of the pairs with one half, in points.

    >>> from support.examples import preferences
    >>> result, _ = compare(preferences(1.0, 1.0, 1.0, 0.5))
    >>> result.difference, result.improvement  # ⅞ of the points, above one half
    (0.375, 0.375)
    """
    terms, metric = contrast.terms, contrast.metric
    units = contrast.sample(contrast.column.value)
    rules = rules_of(metric, terms, t_mixture.SCALE, start=1)
    test = _test(units, rules, metric, terms)
    weighed = outcome(test, units.n, sign_test.WORDS, rules, terms)
    opened, ends = weighed.opened_units(units), weighed.interval
    crossed = ends is not None and ends[0] > ends[1]
    gaps = np.empty(0) if opened.pairs is None else np.diff(opened.pair_values(), axis=0)[0]
    difference = float(gaps.mean()) if gaps.size else None
    interval = None if crossed else ends
    codes = UNSTEADY if crossed else unsteady(difference, interval)
    comparison = compared(contrast, weighed, _change(contrast, difference, interval, codes), None)
    comparison = replace(
        comparison,
        difference=difference,
        difference_interval=interval,
        difference_error=finite(_sd(gaps) / math.sqrt(gaps.size)) if gaps.size else None,
        power=_power(metric, gaps, terms.rules.alpha),
        chance_to_beat=_chance(gaps, contrast.better),
        notes=(*comparison.notes, *_answer_notes(contrast, gaps)),
    )
    return comparison, None


def _answer_notes(contrast: Contrast, gaps: FloatArray) -> Iterator[str]:
    """How the units came out, and what the judge's two answers were."""
    if not gaps.size:
        return
    won, lost = (int(np.sum(sign * contrast.better * gaps > 0)) for sign in (1, -1))
    yield f"preferred {won} times, control {lost} times, {gaps.size - won - lost} ties"
    mine = contrast.table.arm == contrast.arm
    answers = contrast.table.trials.stated(KEY).take(np.flatnonzero(mine)).words()
    counts = answer_counts(word for word in answers if word is not None)
    if counts.followed:
        yield (
            f"{counts.followed} of {counts.judged} answers turned with the order of the outputs: "
            "ties"
        )
    if counts.unanswered:
        yield f"{counts.unanswered} pairs have no answer of the judge"


def _test(units: Sample, rules: t_mixture.Rules, metric: Metric, terms: Terms) -> SignTest | None:
    if units.pairs is None or not units.n:
        return None
    gaps, unit = sign_test.gaps_of(units)
    codes = None if unit is None else unit[None, :]
    return sign_test.sign_test(
        gaps[None, :], codes, rules, _bets(metric, terms), visit_stages(terms.experiment)
    )


def _bets(metric: Metric, terms: Terms) -> Bets:
    """The bets for the planned effect of the primary; the usual ones without one."""
    effect, planned = metric.minimum_effect, terms.planned_effect(metric)
    if effect is None or not planned:
        return USUAL
    gap = 2 * abs(effect.value)  # bets are on twice the gap
    size, sd = terms.experiment.plan.sample_size, gap / planned
    return planned_bets(gap, sd / math.sqrt(2), (1, 1), size, terms.rules.alpha)


def _change(
    contrast: Contrast,
    difference: float | None,
    interval: RowEnds | None,
    codes: Mapping[NoteCode, str],
) -> Change:
    better = contrast.better
    turned = None if interval is None else sorted(better * end for end in interval)
    improvement = None if difference is None else better * difference
    return Change(improvement, None if turned is None else (turned[0], turned[1]), coded=codes)


def _power(metric: Metric, gaps: FloatArray, alpha: float) -> float | None:
    """Power of one look at the planned effect, with the pairs and ties so far."""
    if metric.minimum_effect is None or gaps.size < 2 or not np.any(gaps):
        return None
    return classical.one_sample_power(metric.minimum_effect.value, _sd(gaps), gaps.size, alpha)


def _chance(gaps: FloatArray, better: int) -> float | None:
    """The flat prior's chance that the treatment is preferred in more than half of such pairs."""
    wins, losses = int(np.sum(better * gaps > 0)), int(np.sum(better * gaps < 0))
    return float(special.betainc(1 + losses, 1 + wins, _EVEN)) if wins + losses else None


def look_evidence(simulated: Simulated) -> LookEvidence:
    """Return the evidence at every look of simulated experiments.

    >>> from expci.core.kinds.trial_arrays import TrialArrays
    >>> from support.examples import preferences
    >>> contrast, arm = preferences(1.0, 0.5), np.array([[0, 1, 0, 1]])
    >>> values, failed = {"preference": np.array([[0.5, 1.0, 0.5, 0.5]])}, arm < 0
    >>> arrays = TrialArrays(arm, 2, values, failed, paired=True)
    >>> simulated = Simulated(contrast.metric, arrays, 1, contrast.terms, (), np.array([-1]))
    >>> look_evidence(simulated).absolute.estimate  # after each pair
    array([[0.5 , 0.25]])
    """
    arrays, metric, terms = simulated.arrays, simulated.metric, simulated.terms
    control, treatment = arrays.pair_values(arrays.values[metric.name], simulated.arm)
    rules = rules_of(metric, terms, t_mixture.SCALE, start=1)
    bounds = (0.0, *(bound.value for bound in simulated.bounds))
    bets, stages = _bets(metric, terms), visit_stages(terms.experiment)
    gaps = treatment - control
    test = sign_test.sign_test(gaps, arrays.pair_units, rules, bets, stages, bounds)
    weighed = simulated.weighed(test)

    def differences() -> Improvement:
        return signed(weighed.estimated(test.difference), weighed.interval, simulated.better)

    def empties(rows: BoolArray, look: IntArray) -> BoolArray:
        return test.crossed(rows, look)

    return LookEvidence(
        weighed,
        test.n,
        lambda: no_share(test.n),
        differences,
        lambda: np.full(test.n.shape, np.nan),
        lambda: weighed.estimated(test.error),
        empties=empties if weighed.plan is None else None,
    )


def spread(
    metric: Metric, table: TrialsTable, column: MetricColumn, units: int | None
) -> Spread | None:
    """Return one half, and the sd about it that the ties of the first pairs leave.

    >>> from support.examples import preferences
    >>> contrast = preferences(1.0, 0.0, 0.5, 0.5)
    >>> half = spread(contrast.metric, contrast.table, contrast.column, None)
    >>> half.mean, round(half.sd, 4)  # two of four are ties: √(2 · ¼ / 4)
    (0.5, 0.3536)
    """
    del metric
    pairs = spreads.first_pairs(table, column.value, units)
    sd = None if pairs is None else _sd(np.diff(pairs.pair_values(), axis=0)[0])
    return Spread(_EVEN, sd, difference_sd=sd) if sd else None


def _sd(gaps: FloatArray) -> float:
    """About 0, which is what the gaps' mean is under no preference."""
    return float(np.sqrt(np.mean(gaps * gaps)))


def pilot_values(metric: Metric, table: TrialsTable, column: MetricColumn) -> ControlValues | None:
    """Return how many pairs of the pilot are ties, as a spread; it tells nothing else.

    >>> from support.examples import preferences
    >>> contrast = preferences(1.0, 0.0, 0.5, 0.5)
    >>> values = pilot_values(contrast.metric, contrast.table, contrast.column)
    >>> values.mean, round(values.sd, 4)
    (0.5, 0.3536)
    """
    del metric
    pairs = spreads.first_pairs(table, column.value, None)
    if pairs is None or pairs.pairs_run < _LEAST_PAIRS:
        return None
    sd = _sd(sign_test.gaps_of(pairs)[0])
    if not sd:
        return None
    values = ControlValues(_EVEN, sd, np.empty(0))
    return draws.with_case_shares(values, spreads.run_pairs(table, column.value))


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Draw wins, losses and ties of the treatment; an effect of δ makes ½ + δ of the mean.

    >>> from expci.core.model.experiment import Limit
    >>> from support.examples import drawing, preferences
    >>> control = ControlValues(0.5, 0.5, np.empty(0))  # without ties
    >>> better = drawing(preferences(1.0).metric, control, Limit(0.2, relative=False))
    >>> column = draw(better)["preference"][0]
    >>> float(column[:1000].mean()), round(float(column[1000:].mean()), 1)
    (0.5, 0.7)
    """
    sign = 1 if values.metric.direction == "increase" else -1
    change = 0.0 if values.effect is None else sign * values.effect.value
    decisive = min(1.0, max(4 * values.control.sd**2, 2 * abs(change)))
    in_first = np.where(values.arm == 1, change, 0.0)
    chance = values.uniform()
    won = chance < decisive / 2 + in_first
    lost = ~won & (chance < decisive)
    column = np.where(won, 1.0, np.where(lost, 0.0, _EVEN))
    return {values.metric.name: np.where(values.arm == 0, _EVEN, column)}

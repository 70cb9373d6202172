"""Shares of successes: the difference in points, by the safe 2 × 2 test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.decision.inputs import Safeguard
from expci.core.decision.numbers import Improvement
from expci.core.decision.thresholds import regression_limit
from expci.core.kinds import draws, spreads
from expci.core.kinds.contrast import Contrast, Simulated, compared
from expci.core.kinds.draws import ControlValues, Draw
from expci.core.kinds.look_evidence import LookEvidence, no_share
from expci.core.model.experiment import Metric
from expci.core.model.results import Comparison
from expci.core.statistics import betting, proportion, t_mixture
from expci.core.statistics.effect_scale import UNSTEADY, Change, signed, unsteady
from expci.core.statistics.no_loss import no_loss_odds
from expci.core.statistics.outcome import outcome
from expci.core.statistics.proportion import SafeTest, bets_of
from expci.core.statistics.sample_size import Spread
from expci.core.statistics.terms import rules_of

stated_values = draws.normal


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Compare by the difference of shares in points; the improvement is the same, signed.

    >>> from support.examples import contrast_of
    >>> passed = Metric("passed", "primary", "proportion", "increase")
    >>> result, _ = compare(contrast_of(passed, [0.0, 1.0] * 5, [1.0, 1.0] * 5))
    >>> result.difference, result.improvement  # both in points
    (0.5, 0.5)
    """
    terms, better = contrast.terms, contrast.better
    units = contrast.samples(contrast.column.value)
    sizes = terms.block_sizes(contrast.table.arms[contrast.arm])
    rules = rules_of(contrast.metric, terms, t_mixture.SCALE, start=1)
    test = proportion.safe_test(units, sizes, rules, bets_of(contrast.metric, terms, sizes))
    weighed = outcome(test, units.n, proportion.WORDS, rules, terms)
    opened, ends = weighed.opened_units(units), weighed.interval
    difference, crossed = opened.difference(), ends is not None and ends[0] > ends[1]
    if crossed:
        ends = None
    turned = None if ends is None else sorted(better * end for end in ends)
    improvement = None if difference is None else better * difference
    interval = None if turned is None else (turned[0], turned[1])
    coded = UNSTEADY if crossed else unsteady(improvement, interval)
    change = Change(improvement, interval, coded=coded)
    comparison = compared(contrast, weighed, change, None)
    values = opened.control.final, opened.treatment.final
    beats = proportion.flat_prior(*values, better)
    odds = proportion.log_odds_ratio(*values, terms.level)
    comparison = replace(
        comparison,
        difference=difference,
        difference_interval=ends,
        power=proportion.power(contrast.metric, units.control, units.treatment, terms.rules.alpha),
        chance_to_beat=beats[0] if beats else None,
        expected_loss=beats[1] if beats else None,
        log_odds_ratio=odds[0] if odds else None,
        log_odds_ratio_interval=odds[1] if odds else None,
    )
    return _with_odds(comparison, contrast, *values), None


def _with_odds(
    comparison: Comparison, contrast: Contrast, control: FloatArray, treatment: FloatArray
) -> Comparison:
    """With the standard error and the odds of no loss, where both arms have units."""
    if not control.size or not treatment.size:
        return comparison
    counts, totals = (
        (np.array(float(f(control))), np.array(float(f(treatment)))) for f in (np.size, np.sum)
    )
    limit = regression_limit(contrast.metric).value
    odds = no_loss_odds(counts, totals, limit, contrast.better)
    error = proportion.agresti_caffo(counts, totals)[2]
    return replace(comparison, difference_error=float(error), no_loss_odds=float(odds))


def look_evidence(simulated: Simulated) -> LookEvidence:
    """Return the evidence at every look of simulated experiments.

    >>> from support.examples import simulated_of
    >>> passed = Metric("passed", "primary", "proportion", "increase")
    >>> evidence = look_evidence(simulated_of(passed, [0.0, 1.0] * 5, [1.0, 1.0] * 5))
    >>> float(evidence.absolute.estimate[0, -1]), float(evidence.relative.estimate[0, -1])
    (0.5, nan)
    """
    arrays, arm, terms = simulated.arrays, simulated.arm, simulated.terms
    value = arrays.values[simulated.metric.name]
    rules = rules_of(simulated.metric, terms, t_mixture.SCALE, start=1)
    sizes = terms.block_sizes(simulated.name)
    if arrays.unit is None:
        blocks = betting.blocks(arrays.arm, value, arm, sizes)
    else:
        blocks = betting.blocks_of_repeats(arrays.arm, arrays.unit, value, arm, sizes)
    bets = bets_of(simulated.metric, terms, sizes)
    test = SafeTest(
        rules,
        arrays.counts(value, arm),
        arrays.totals(value, arm),
        replace(blocks, count=arrays.at_looks(blocks.count), bets=bets),
        (0.0, *(bound.value for bound in simulated.bounds)),
    )
    weighed = simulated.weighed(test)

    def differences() -> Improvement:
        return signed(weighed.estimated(test.difference), weighed.interval, simulated.better)

    def empties(rows: BoolArray, look: IntArray) -> BoolArray:
        return betting.crossed(test.blocks.of(rows), look, rules.alpha)

    on_grid, limit = weighed.plan is None, regression_limit(simulated.metric).value
    return LookEvidence(
        weighed,
        test.n,
        lambda: no_share(test.n),
        differences,
        lambda: np.full(test.n.shape, np.nan),
        lambda: weighed.estimated(test.error),
        empties=empties if on_grid else None,
        odds=lambda: weighed.estimated(test.no_loss_odds(limit)),
    )


def spread(
    metric: Metric, table: TrialsTable, column: MetricColumn, units: int | None
) -> Spread | None:
    """Return control's share and its standard deviation.

    >>> from support.examples import contrast_of
    >>> passed = Metric("passed", "primary", "proportion", "increase")
    >>> contrast = contrast_of(passed, [0.0, 1.0, 0.0, 1.0], [1.0] * 4)
    >>> spread(passed, contrast.table, contrast.column, None).mean
    0.5
    """
    del metric
    arm = spreads.control_moments(table, column.value, units)
    return None if arm is None or arm.sd is None else Spread(arm.mean, arm.sd)


def pilot_values(metric: Metric, table: TrialsTable, column: MetricColumn) -> ControlValues | None:
    """Return control's values, resampled as they are.

    >>> from support.examples import contrast_of
    >>> passed = Metric("passed", "primary", "proportion", "increase")
    >>> contrast = contrast_of(passed, [0.0, 1.0, 1.0], [1.0] * 3)
    >>> pilot_values(passed, contrast.table, contrast.column).z
    array([0., 1., 1.])
    """
    del metric
    control = draws.rows_of_control(table, column.value)
    if control is None:
        return None
    summary = moments(control[~np.isnan(control)])
    values = ControlValues(summary.mean, summary.sd or 0.0, control)
    pairs = spreads.run_pairs(table, column.value) if table.paired else None
    return draws.with_case_shares(values, pairs)


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Draw values in [0, 1]; an effect turns a share of them into 1 (or 0) to move the mean.

    >>> from expci.core.model.experiment import Baseline, Limit
    >>> from support.examples import drawing
    >>> passed = Metric("passed", "primary", "proportion", "increase", baseline=Baseline(0.5, 0.5))
    >>> column = draw(drawing(passed, stated_values(passed), Limit(0.5, relative=False)))["passed"]
    >>> float(column[0, 1000:].mean())  # the effect turns the rest into 1
    1.0
    """
    control, rng, shape = values.control, values.rng, values.row.shape
    if control.z.size:
        column = control.z[values.row]
    else:
        column = (values.uniform() < control.mean).astype(float)
    if values.effect is None:
        return {values.metric.name: column}
    change = values.effect.value * (1 if values.metric.direction == "increase" else -1)
    room = 1 - control.mean if change > 0 else control.mean
    share = min(1.0, abs(change) / room) if room > 0 else 0.0
    turned = (values.arm == 1) & (rng.random(shape) < share)
    return {values.metric.name: np.where(turned, float(change > 0), column)}

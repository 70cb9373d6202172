"""Shares of successes: the difference in points, by the safe 2 × 2 test."""

from __future__ import annotations

from dataclasses import replace

from expci.core.dataset.moments import BoolArray, IntArray
from expci.core.decision.numbers import Improvement
from expci.core.kinds.contrast import Contrast, Simulated, compared
from expci.core.kinds.look_evidence import LookEvidence, no_share
from expci.core.model.results import Comparison
from expci.core.statistics import betting, proportion, t_mixture
from expci.core.statistics.effect_scale import UNSTEADY, Change, signed, unsteady
from expci.core.statistics.outcome import outcome
from expci.core.statistics.proportion import SafeTest
from expci.core.statistics.terms import rules_of


def compare(contrast: Contrast) -> Comparison:
    """Difference of shares in points; improvement is it, signed."""
    terms, better = contrast.terms, contrast.better
    units = contrast.samples(contrast.column.value)
    sizes = terms.block_sizes(contrast.table.arms[contrast.arm])
    rules = rules_of(contrast.metric, terms, t_mixture.SCALE, start=1)
    weighed = outcome(
        proportion.safe_test(units, sizes, rules), units.n, proportion.WORDS, rules, terms
    )
    seen, ends = weighed.opened_units(units), weighed.interval
    difference, crossed = seen.difference(), ends is not None and ends[0] > ends[1]
    if crossed:
        ends = None
    turned = None if ends is None else sorted(better * end for end in ends)
    improvement = None if difference is None else better * difference
    interval = None if turned is None else (turned[0], turned[1])
    coded = UNSTEADY if crossed else unsteady(improvement, interval)
    change = Change(improvement, interval, coded=coded)
    found = compared(contrast, weighed, change, None)
    values = seen.control.final, seen.treatment.final
    beats = proportion.flat_prior(*values, better)
    odds = proportion.log_odds_ratio(*values, terms.level)
    return replace(
        found,
        difference=difference,
        difference_interval=ends,
        power=proportion.power(contrast.metric, units.control, units.treatment, terms.rules.alpha),
        chance_to_beat=beats[0] if beats else None,
        expected_loss=beats[1] if beats else None,
        log_odds_ratio=odds[0] if odds else None,
        log_odds_ratio_interval=odds[1] if odds else None,
    )


def look_evidence(simulated: Simulated) -> LookEvidence:
    """The same at every look of simulated experiments."""
    arrays, arm, terms = simulated.arrays, simulated.arm, simulated.terms
    value = arrays.values[simulated.metric.name]
    rules = rules_of(simulated.metric, terms, t_mixture.SCALE, start=1)
    found = betting.blocks(arrays.arm, value, arm, terms.block_sizes(simulated.name))
    test = SafeTest(
        rules,
        arrays.counts(value, arm),
        arrays.totals(value, arm),
        betting.Blocks(found.new, arrays.at_looks(found.count)),
        (0.0, *(bound.value for bound in simulated.bounds)),
    )
    weighed = simulated.weighed(test)

    def differences() -> Improvement:
        return signed(weighed.estimated(test.difference), weighed.interval, simulated.better)

    def empties(rows: BoolArray, look: IntArray) -> BoolArray:
        return betting.crossed(test.blocks.of(rows), look, rules.alpha)

    on_grid = weighed.plan is None
    return LookEvidence(
        weighed,
        test.n,
        lambda: no_share(test.n),
        differences,
        empties=empties if on_grid else None,
    )

"""Shifts by ranks (Hodges-Lehmann), for heavy tails; Cliff's delta beside them."""

from __future__ import annotations

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
from expci.core.statistics import cliffs_delta, quantile, signed_rank, t_mixture
from expci.core.statistics.effect_scale import Change, refusal_at_zero, share_of
from expci.core.statistics.outcome import outcome
from expci.core.statistics.row_by_row import one_experiment
from expci.core.statistics.sample_size import Spread
from expci.core.statistics.signed_rank import RankTest
from expci.core.statistics.terms import rules_of
from expci.core.statistics.visit_stages import visit_stages

CHANCE_OF_ONE = "chance to beat: that one run of the treatment is better than one of control"
_ENOUGH = 200  # order statistics of an arm for the estimate of a simulated shift

stated_values = draws.normal


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Compare by a shift by ranks (Hodges-Lehmann), Cliff's delta beside it.

    >>> from support.examples import contrast_of
    >>> latency = Metric("ms", "primary", "rank", "decrease")
    >>> result, _ = compare(contrast_of(latency, [10.0, 11.0, 900.0], [5.0, 6.0, 700.0]))
    >>> result.difference  # the median of the nine differences
    -5.0
    """
    units = contrast.sample(contrast.column.last)
    rules = rules_of(contrast.metric, contrast.terms, t_mixture.SCALE)
    words = signed_rank.PAIRWISE if units.pairs is None else signed_rank.WORDS
    row = one_experiment(units, sizes=contrast.terms.block_sizes(contrast.table.arms[contrast.arm]))
    stages = visit_stages(contrast.terms.experiment)
    test = RankTest(rules, np.array([[units.n]], dtype=np.float64), [row], stages)
    weighed = outcome(test, units.n, words, rules, contrast.terms)
    opened = weighed.opened_units(units)
    shift, median = signed_rank.shift(opened), signed_rank.control_median(opened)
    change = Change()
    if shift is not None and median is not None:
        if quantile.excludes_zero(opened.arms()[0], 0.5):
            change = share_of(contrast.metric, shift, median, weighed, signed_rank.RELATIVE)
        else:
            change = Change(coded=refusal_at_zero(contrast.metric, None))
    comparison = with_difference(compared(contrast, weighed, change, None), shift, weighed)
    apart = weighed.opened_units(contrast.samples(contrast.column.value))
    values = apart.control.final, apart.treatment.final
    delta = cliffs_delta.cliffs_delta(*values)
    comparison = replace(
        comparison,
        power=normal_power(contrast, median, signed_rank.one_look(opened)),
        effect_size_word=cliffs_delta.word(delta),
        cliffs_delta=delta,
        cliffs_delta_interval=cliffs_delta.interval(*values, contrast.terms.level),
        chance_to_beat=None if delta is None else (1 + contrast.better * delta) / 2,
        notes=(*comparison.notes, CHANCE_OF_ONE),
    )
    return with_errors(comparison, signed_rank.one_look(opened), median), None


def look_evidence(simulated: Simulated) -> LookEvidence:
    """Return the evidence at every look of simulated experiments.

    >>> from support.examples import simulated_of
    >>> latency = Metric("ms", "primary", "rank", "decrease")
    >>> evidence = look_evidence(simulated_of(latency, [10.0, 11.0, 900.0], [5.0, 6.0, 700.0]))
    >>> float(evidence.absolute.estimate[0, -1])
    5.0
    """
    rules = rules_of(simulated.metric, simulated.terms, t_mixture.SCALE)
    paths = rows.simulated_rows(simulated, 0.5)
    units, stages = [path.row() for path in paths], visit_stages(simulated.terms.experiment)
    test = RankTest(rules, rows.smaller_arms(simulated), units, stages)
    return rows.look_evidence(simulated, test, paths, _shift)


def _shift(control: FloatArray, treatment: FloatArray, paired: bool) -> float:
    if paired:
        differences = signed_rank.thinned(treatment - control, _ENOUGH)
        return signed_rank.shift_of(np.zeros(differences.size), differences, True)
    c, t = (signed_rank.thinned(values, _ENOUGH) for values in (control, treatment))
    return signed_rank.shift_of(c, t, False)


def spread(
    metric: Metric, table: TrialsTable, column: MetricColumn, units: int | None
) -> Spread | None:
    """Return control's median, and the sd by the normal's quartiles.

    >>> from support.examples import contrast_of
    >>> latency = Metric("ms", "primary", "rank", "decrease")
    >>> contrast = contrast_of(latency, [10.0, 11.0, 12.0, 900.0, 9.0], [5.0] * 5)
    >>> spread(latency, contrast.table, contrast.column, None).mean
    11.0
    """
    del metric
    control = table.path(0, column.value).final[:units]
    if control.size < 2:
        return None
    low, middle, high = (float(x) for x in np.quantile(control, [0.25, 0.5, 0.75]))
    pairs = spreads.first_pairs(table, column.value, units)
    apart = None if pairs is None else spreads.pair_sd(signed_rank.one_look(pairs), pairs.n)
    return spreads.of_estimate(middle, (high - low) / 1.3489795, apart)


def pilot_values(metric: Metric, table: TrialsTable, column: MetricColumn) -> ControlValues | None:
    """Return control's values; effects refer to their median.

    >>> from support.examples import contrast_of
    >>> latency = Metric("ms", "primary", "rank", "decrease")
    >>> contrast = contrast_of(latency, [10.0, 11.0, 12.0, 900.0, 9.0], [5.0] * 5)
    >>> pilot_values(latency, contrast.table, contrast.column).center
    11.0
    """
    del metric
    values = draws.standardised(table, column.value)
    if values is None:
        return None
    control = column.value[table.arm == 0]
    center = float(np.quantile(control[~np.isnan(control)], 0.5))
    return replace(values, center=center)


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Draw values to which the treatment adds its effect.

    >>> from expci.core.model.experiment import Baseline, Limit
    >>> from support.examples import drawing
    >>> latency = Metric("ms", "primary", "rank", "decrease", baseline=Baseline(10.0, 2.0))
    >>> times = draw(drawing(latency, stated_values(latency), Limit(0.2, relative=True)))["ms"][0]
    >>> round(np.median(times[:1000])), round(np.median(times[1000:]))
    (10, 8)
    """
    return {values.metric.name: draws.shifted(values, draws.shift(values))}

"""Arithmetic means: the difference in the metric's unit, by the t-mixture."""

from __future__ import annotations

from collections.abc import Mapping

from expci.core.dataset.moments import FloatArray
from expci.core.decision.inputs import Safeguard
from expci.core.kinds import continuous, draws, spreads
from expci.core.kinds.continuous import pilot_values
from expci.core.kinds.contrast import Contrast, Simulated
from expci.core.kinds.draws import Draw
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.model.results import Comparison

__all__ = ["compare", "draw", "look_evidence", "pilot_values", "spread", "stated_values"]

spread = spreads.of_means
stated_values = draws.normal


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Compare by the difference of means; the improvement is its share of control's mean.

    >>> from expci.core.model.experiment import Metric
    >>> from support.examples import contrast_of
    >>> cost = Metric("usd", "primary", "mean", "decrease")
    >>> compare(contrast_of(cost, [4.0, 6.0] * 5, [3.0, 5.0] * 5))[0].difference
    -1.0
    """
    return continuous.compare_raw(contrast), None


def look_evidence(simulated: Simulated) -> LookEvidence:
    """Return the evidence at every look of simulated experiments.

    >>> from expci.core.model.experiment import Metric
    >>> from support.examples import simulated_of
    >>> cost = Metric("usd", "primary", "mean", "decrease")
    >>> evidence = look_evidence(simulated_of(cost, [4.0, 6.0] * 5, [3.0, 5.0] * 5))
    >>> float(evidence.absolute.estimate[0, -1])
    1.0
    """
    metric, terms, arrays = simulated.metric, simulated.terms, simulated.arrays
    value = arrays.values[metric.name]
    rules = continuous.tuned_rules(metric, terms)
    statistic = arrays.mean_statistic(value, simulated.arm, rules)
    return continuous.share_of_means(simulated, statistic, simulated.weighed(statistic), value)


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Draw values to which the treatment adds its effect.

    >>> from expci.core.model.experiment import Baseline, Limit, Metric
    >>> from support.examples import drawing
    >>> cost = Metric("usd", "primary", "mean", "decrease", baseline=Baseline(10.0, 2.0))
    >>> costs = draw(drawing(cost, stated_values(cost), Limit(3.0, relative=False)))["usd"]
    >>> round(costs[0, :1000].mean()), round(costs[0, 1000:].mean())
    (10, 7)
    """
    return {values.metric.name: draws.shifted(values, draws.shift(values))}

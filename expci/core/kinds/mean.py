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
from expci.core.statistics.t_statistic import by_t

__all__ = ["compare", "draw", "look_evidence", "pilot_values", "spread", "stated_values"]

spread = spreads.of_means
stated_values = draws.normal


def compare(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Difference of means; improvement is it as a share of control's mean."""
    return continuous.compare_raw(contrast), None


def look_evidence(simulated: Simulated) -> LookEvidence:
    """The same at every look of simulated experiments."""
    metric, terms, arrays = simulated.metric, simulated.terms, simulated.arrays
    value = arrays.values[metric.name]
    rules = continuous.tuned_rules(metric, terms)
    statistic = by_t(arrays.mean_looks(value, simulated.arm), rules)
    return continuous.share_of_means(simulated, statistic, simulated.weighed(statistic), value)


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Values to which the treatment adds its effect."""
    return {values.metric.name: draws.shifted(values, draws.shift(values))}

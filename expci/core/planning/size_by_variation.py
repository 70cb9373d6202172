"""The sample size by how much control's runs vary, for a plan that no pilot has measured yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from expci.core.model.experiment import Experiment, PlanRules
from expci.core.planning.settled import settled
from expci.core.statistics.sample_size import Spread, required_sample_size

VARIATIONS = (0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class SizeAtVariation:
    """Units per arm (pairs) where the sd of control's runs is `variation` of their mean.

    `expected_days` is `None` without a rate of trials.
    """

    variation: float
    per_arm: int
    expected_days: float | None


def sizes_by_variation(
    experiment: Experiment, trials_per_day: float | None
) -> Iterator[SizeAtVariation]:
    """Yield the formula's size for each of `VARIATIONS`, under the inference that it leads to.

    Nothing where variation relative to the mean does not tell it: for shares, whose variation
    follows from the share itself, and for effects in the metric's own unit.

    >>> from support.report_samples import experiment
    >>> [row.variation for row in sizes_by_variation(experiment(), None)]
    [0.05, 0.1, 0.2, 0.4]
    """
    metric = experiment.primary
    effect = metric.minimum_effect
    if metric.traits.is_share or effect is None or not effect.relative:
        return
    for variation in VARIATIONS:
        spread = Spread(mean=1.0, sd=variation)
        rules = settled(experiment, spread).effective_rules
        size = _size(experiment, rules, spread)
        if size is not None:
            size = max(size, rules.min_trials)
            days = size * len(experiment.arms) / trials_per_day if trials_per_day else None
            yield SizeAtVariation(variation, size, days)


def _size(experiment: Experiment, rules: PlanRules, spread: Spread) -> int | None:
    """The formula's size; `None` also where no number of visits shows the effect on the cases."""
    if experiment.cases is not None:
        from expci.core.planning.cases_needed import cases_needed  # numpy

        cases = cases_needed(experiment, None, spread)
        return None if cases is None else cases.pairs
    design, weights = experiment.assignment.design, experiment.arm_weights
    return required_sample_size(experiment.primary, rules, design, spread, weights)

"""The sample size by what control may be like, for a plan that no pilot has measured yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from expci.core.model.experiment import Baseline, Experiment, Limit, Metric, PlanRules
from expci.core.planning.settled import settled
from expci.core.statistics.sample_size import Spread, as_spread, required_sample_size

VARIATIONS = (0.05, 0.1, 0.2, 0.4)  # sd over mean
SDS = (0.5, 1.0, 2.0, 4.0)  # sd over the hoped-for effect
SHARES = (0.05, 0.2, 0.5, 0.8, 0.95)


@dataclass(frozen=True, kw_only=True)
class SizeAtVariation:
    """Units per arm (pairs) for one guess at control, by what tells how much its runs vary.

    One of three is there: `variation`, the sd over the mean, for a relative effect; `sd`, in the
    metric's unit, for an absolute one; `share`, control's own, for a share. `expected_days` is
    `None` without a rate of trials.
    """

    variation: float | None = None
    per_arm: int
    expected_days: float | None
    sd: float | None = None
    share: float | None = None


def sizes_by_variation(
    experiment: Experiment, trials_per_day: float | None
) -> Iterator[SizeAtVariation]:
    """Yield the formula's size for each guess at control, under the inference that it leads to.

    Nothing where no single number tells it: for an absolute effect on a duration, which control's
    mean decides too, and for preferences, whose control is known.

    >>> from support.report_samples import experiment
    >>> [row.variation for row in sizes_by_variation(experiment(), None)]
    [0.05, 0.1, 0.2, 0.4]
    """
    metric = experiment.primary
    if metric.minimum_effect is None or metric.traits.control is not None:
        return
    for guess, control in _guesses(metric, metric.minimum_effect):
        size = _size(experiment, control)
        if size is not None:
            days = size * len(experiment.arms) / trials_per_day if trials_per_day else None
            yield SizeAtVariation(per_arm=size, expected_days=days, **guess)


def _guesses(metric: Metric, effect: Limit) -> Iterator[tuple[dict[str, float], Baseline]]:
    """What a row says of control, and the control that it stands for."""
    if metric.traits.is_share:
        change = effect.value if metric.direction == "increase" else -effect.value
        for share in SHARES:
            if 0 <= share + change <= 1:
                yield {"share": share}, Baseline(mean=share, sd=0.0)
    elif effect.relative:
        for variation in VARIATIONS:
            yield {"variation": variation}, Baseline(mean=1.0, sd=variation)
    elif not metric.traits.is_logarithmic:
        for multiple in SDS:
            sd = multiple * abs(effect.value)
            yield {"sd": sd}, Baseline(mean=0.0, sd=sd)


def _size(experiment: Experiment, control: Baseline) -> int | None:
    spread = as_spread(experiment.primary, control)
    rules = settled(experiment, spread).effective_rules
    size = _formula(experiment, rules, spread)
    return None if size is None else max(size, rules.min_trials)


def _formula(experiment: Experiment, rules: PlanRules, spread: Spread) -> int | None:
    """The formula's size; `None` also where no number of visits shows the effect on the cases."""
    if experiment.cases is not None:
        from expci.core.planning.cases_needed import cases_needed  # numpy

        cases = cases_needed(experiment, None, spread)
        return None if cases is None else cases.pairs
    design, weights = experiment.assignment.design, experiment.arm_weights
    return required_sample_size(experiment.primary, rules, design, spread, weights)

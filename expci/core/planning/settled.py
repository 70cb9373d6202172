"""What `inference: auto` becomes once a pilot or a baseline tells how much control varies.

The file alone knows whether it states a sample size (`core/model/auto_inference`). With the spread
a size can be computed, and a stated one be compared with what is needed.
"""

from __future__ import annotations

import math
from dataclasses import replace

from expci.core.model import limits
from expci.core.model.auto_inference import at_every_look, at_planned_looks
from expci.core.model.experiment import Experiment, PlanRules
from expci.core.statistics.sample_size import Spread, planned_effect, required_sample_size, scale_sd

# Mean trials of `anytime` plans at the planned effect, as a share of the most that they need.
_MEAN_SHARE = 0.6
_CLEARLY = 1.2
_SMALLEST_EFFECT, _LARGEST_EFFECT = 0.05, math.sqrt(2.0)  # that evidence is tuned to


def settled(experiment: Experiment, spread: Spread | None) -> Experiment:
    """Return the experiment with the inference that decides soonest, and its planned effect.

    The inference stays where the file states one, or nothing tells of the size needed. A size
    that planned looks are spread over and that is still to be computed stays `None`.

    >>> from dataclasses import replace
    >>> from support.analysis_samples import make_experiment
    >>> plan = make_experiment(inference_basis="no_size")  # `auto`, and no size in the file
    >>> chosen = settled(plan, Spread(mean=10.0, sd=2.0, log_sd=0.2)).plan
    >>> plan.plan.inference, chosen.inference, chosen.inference_basis
    ('anytime', 'group-sequential', 'computed_size')
    """
    if spread is None:
        return experiment
    chosen = replace(experiment, plan=_chosen(experiment, spread))
    return replace(
        chosen, plan=replace(chosen.plan, planned_effect=_standardised_effect(chosen, spread))
    )


def _chosen(experiment: Experiment, spread: Spread) -> PlanRules:
    rules = experiment.plan
    if rules.inference_basis not in ("stated_size", "no_size"):
        return rules
    fixed = fixed_size(experiment, spread)
    if fixed is None:
        return rules
    if rules.sample_size is None:
        return at_planned_looks(rules, "computed_size")
    if _every_look_is_sooner(experiment, rules.sample_size / fixed):
        return at_every_look(rules, "ample_size")
    return rules


def _standardised_effect(experiment: Experiment, spread: Spread) -> float | None:
    """`minimum_effect` in standard deviations of a unit (in pairs: of a difference).

    `None` where none is planned, or no evidence is tuned to one.
    """
    rules, metric = experiment.plan, experiment.primary
    if not metric.traits.is_tunable or (rules.inference != "anytime" and not rules.reserve):
        return None
    effect = planned_effect(metric, spread)
    sd = scale_sd(metric, spread, experiment.assignment.design)
    return min(max(abs(effect / sd), _SMALLEST_EFFECT), _LARGEST_EFFECT) if effect and sd else None


def fixed_size(experiment: Experiment, spread: Spread) -> int | None:
    """Return units per arm that one look at the end needs; `None` where no effect is planned.

    >>> from support.analysis_samples import make_experiment
    >>> fixed_size(make_experiment(), Spread(mean=10.0, sd=2.0, log_sd=0.2))
    25
    """
    rules = replace(experiment.effective_rules, inference="fixed")
    return required_sample_size(
        experiment.primary, rules, experiment.assignment.design, spread, experiment.arm_weights
    )


def _every_look_is_sooner(experiment: Experiment, ratio: float) -> bool:
    """Whether `anytime` decides clearly sooner where the size is `ratio` times the fixed one.

    Looks that are spread over far more trials than needed spend hardly any alpha on the first.
    """
    metric = experiment.primary
    factor = limits.TUNED_FACTOR if metric.traits.is_tunable else metric.traits.anytime_factor
    at_any_time = _MEAN_SHARE * factor
    return _mean_at_planned_looks(experiment.effective_rules, ratio) > _CLEARLY * at_any_time


def _mean_at_planned_looks(rules: PlanRules, ratio: float) -> float:
    """Mean trials at the planned effect as a multiple of the fixed sample, by the normal theory.

    `ratio` is the sample size over the fixed one.
    """
    from expci.core.statistics import group_sequential

    fractions = group_sequential.fractions_of(limits.AUTO_LOOKS)
    spending = limits.AUTO_SPENDING, limits.RHO
    alpha = rules.alpha * (1 - limits.AUTO_RESERVE)
    bounds = group_sequential.boundaries(fractions, alpha, *spending)
    drift = group_sequential.fixed_drift(rules.alpha, rules.power) * ratio**0.5
    return ratio * group_sequential.mean_fraction(fractions, bounds, drift)

"""What each inference would need for the planned effect, beside one look at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from expci.core.model.auto_inference import at_every_look, at_planned_looks
from expci.core.model.experiment import Experiment, Inference, PlanRules
from expci.core.planning.operating_characteristics import (
    EXPERIMENTS,
    Question,
    characteristics,
    confirmed_size,
    usual_experiments,
)
from expci.core.planning.scenarios import Scenario, Source
from expci.core.planning.settled import settled
from expci.core.statistics.sample_size import Spread, required_sample_size

_MOST_EXPERIMENTS = 1000


@dataclass(frozen=True)
class InferenceNeeds:
    """What an inference needs to promote the planned effect with the plan's power.

    `sample_size` is units per arm at most, `trials_mean` their mean over simulated experiments
    where the effect is true, until any verdict (`None`: too dear to simulate); `chosen` is the
    plan's own.
    """

    inference: Inference
    sample_size: int
    trials_mean: float | None
    chosen: bool


def inference_needs(
    experiment: Experiment, spread: Spread, source: Source | None, experiments: int | None
) -> tuple[InferenceNeeds, ...]:
    """Return the fixed design first; nothing where no effect is planned.

    >>> from support.analysis_samples import make_experiment
    >>> needs = inference_needs(make_experiment(), Spread(10.0, 2.0, log_sd=0.2), None, None)
    >>> [(one.inference, one.sample_size, one.chosen) for one in needs]
    [('fixed', 25, False), ('group-sequential', 28, False), ('anytime', 38, True)]
    """
    needs = (_needs(experiment, rules, spread, source, experiments) for rules in _each(experiment))
    return tuple(one for one in needs if one is not None)


def _each(experiment: Experiment) -> tuple[PlanRules, ...]:
    """The rules of each inference; the plan's own as they are."""
    own = replace(experiment.plan, sample_size=None)
    others = (
        replace(at_every_look(own, "stated"), inference="fixed"),
        at_planned_looks(own, "computed_size"),
        at_every_look(own, "stated"),
    )
    return tuple(own if rules.inference == own.inference else rules for rules in others)


def _needs(
    experiment: Experiment,
    rules: PlanRules,
    spread: Spread,
    source: Source | None,
    experiments: int | None,
) -> InferenceNeeds | None:
    # What the evidence of an inference is tuned to follows from the spread.
    as_stated = replace(rules, inference_basis="stated", planned_effect=None)
    plan = settled(replace(experiment, plan=as_stated), spread)
    size = required_sample_size(
        plan.primary, plan.effective_rules, plan.assignment.design, spread, plan.arm_weights
    )
    if size is None:
        return None
    size, mean = max(size, rules.min_trials), None
    if source is not None and usual_experiments(plan) == EXPERIMENTS:
        size, mean = _simulated(
            plan, source, size, min(experiments or EXPERIMENTS, _MOST_EXPERIMENTS)
        )
    return InferenceNeeds(rules.inference, size, mean, rules.inference == experiment.plan.inference)


def _simulated(
    plan: Experiment, source: Source, size: int, experiments: int
) -> tuple[int, float | None]:
    """The confirmed size, and the mean trials at it."""
    question = Question(plan, source, size, experiments=experiments)
    size, _ = confirmed_size(question) or (size, False)
    effect = plan.primary.minimum_effect
    scenario = Scenario("hoped_effect", {plan.primary.name: effect} if effect else {})
    row = characteristics(replace(question, size=size), scenario)
    return size, None if row is None else row.trials_mean

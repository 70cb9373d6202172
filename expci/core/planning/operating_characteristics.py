"""Operating characteristics: how often a plan promotes, rolls back, stops, and after how many.

The whole decision table runs over simulated experiments, looked at after every trial, until
the sample size or the plan's last day. The seed is fixed: the same plan and pilot give the
same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from expci.core.decision.thresholds import regression_limit
from expci.core.model.experiment import Experiment, Limit
from expci.core.planning.scenarios import Scenario, Source, measured_share, simulated_trials
from expci.core.planning.simulation import VERDICTS, Outcomes, first_decisions

EXPERIMENTS = 2000
ON_CASES = 1000  # where the evidence is over cases, which takes longer
FEWER = 400  # where the evidence of a kind is weighed one experiment at a time
_SEED = 20_261
_CHUNK = 150_000  # trials at once: what fits a processor's cache
_BUDGET = 6_000_000  # trials of one scenario
_MOST_TRIALS = 30_000  # of one experiment
_LEAST_EXPERIMENTS = 200
_BUDGET_OF_FEWER = 600_000
_BUDGET_ON_CASES = 1_500_000
_LEAST_OF_FEWER = 100
_UNKNOWN_SIZE = 200  # units per arm that are simulated without a sample size
_LARGEST_RAISE = 3.0


@dataclass(frozen=True)
class Question:
    """A plan to be simulated: at most `size` units per arm, and `trials` in all arms.

    `extra` is how many of `size` an extension adds after the start.
    """

    experiment: Experiment
    source: Source
    size: int | None
    trials: int | None = None
    experiments: int = EXPERIMENTS
    extra: int = 0


@dataclass(frozen=True)
class OperatingCharacteristics:
    """What the plan does where one scenario is true, as shares of simulated experiments.

    `effect` is the improvement of the primary that is assumed, `guardrail_effect` that of the
    metric `guardrail`. `expire` are experiments whose
    time was over before anything was decided, `undecided` those that nothing ended;
    `looks_harmful` are the stops with an estimate worse than the limit. `trials_mean`,
    `trials_median` and `trials_p90` are units per arm.
    """

    scenario: str
    effect: Limit | None
    rollback: float
    invalid: float
    promote: float
    stop: float
    expire: float
    undecided: float
    looks_harmful: float
    trials_mean: float
    trials_median: int
    trials_p90: int
    experiments: int
    guardrail: str | None = None
    guardrail_effect: Limit | None = None


def usual_experiments(experiment: Experiment) -> int:
    """Return how many are simulated where nobody asks for a number.

    >>> from support.analysis_samples import make_experiment
    >>> from expci.core.model.experiment import Metric
    >>> ranks = Metric("latency_ms", "primary", "rank", "decrease")
    >>> usual_experiments(make_experiment()), usual_experiments(make_experiment(primary=ranks))
    (2000, 400)
    """
    metrics = (experiment.primary, *experiment.guardrails)
    if any(metric.traits.is_one_by_one for metric in metrics):
        return FEWER
    return EXPERIMENTS if experiment.cases is None else ON_CASES


def standard_scenarios(experiment: Experiment) -> tuple[Scenario, ...]:
    """Return no effect, the hoped-for effect, harm of the limit and of twice that, on the primary;
    the hoped-for effect while a guardrail loses twice its limit.

    >>> from support.analysis_samples import make_experiment
    >>> [scenario.name for scenario in standard_scenarios(make_experiment())]
    ['no_effect', 'hoped_effect', 'harm', 'harm_twice', 'broken_guardrail']
    """
    primary = experiment.primary
    scenarios = [Scenario("no_effect")]
    if primary.minimum_effect is not None:
        scenarios.append(Scenario("hoped_effect", {primary.name: primary.minimum_effect}))
    limit = regression_limit(primary)
    for name, times in (("harm", 1), ("harm_twice", 2)):
        if limit.value:
            harm = Limit(-times * abs(limit.value), limit.relative)
            scenarios.append(Scenario(name, {primary.name: harm}))
    return (*scenarios, *_broken_guardrails(experiment))


def _broken_guardrails(experiment: Experiment) -> Iterator[Scenario]:
    primary = experiment.primary
    if primary.minimum_effect is None:
        return
    for metric in experiment.guardrails:
        limit = regression_limit(metric)
        if limit.value:
            loss = Limit(-2 * abs(limit.value), limit.relative)
            effects = {primary.name: primary.minimum_effect, metric.name: loss}
            yield Scenario("broken_guardrail", effects, metric.name)


def scenario_of_effect(experiment: Experiment, effect: Limit) -> Scenario:
    """Return an improvement of the primary that somebody asks about; negative is harm.

    >>> from support.analysis_samples import make_experiment
    >>> scenario_of_effect(make_experiment(), Limit(-0.2, relative=True)).effects
    {'duration_s': Limit(value=-0.2, relative=True)}
    """
    if experiment.primary.traits.is_share:
        effect = replace(effect, relative=False)
    return Scenario("effect", {experiment.primary.name: effect})


def characteristics(question: Question, scenario: Scenario) -> OperatingCharacteristics | None:
    """Return what the plan does where `scenario` is true; `None` where it would take too long.

    >>> from support.examples import planned
    >>> [nothing, hoped, *_] = standard_scenarios(planned().experiment)
    >>> row = characteristics(planned(), hoped)
    >>> row.promote > 0.8, row.rollback < 0.05
    (True, True)
    """
    horizon = _horizon(question)
    experiments = _affordable(question, horizon)
    if experiments is None:
        return None
    outcomes = simulate(question, scenario, horizon, experiments)
    late = outcomes.share("undecided")
    in_time = question.trials is None or question.trials > horizon
    median, p90 = _quantiles(outcomes.per_arm)
    return OperatingCharacteristics(
        scenario=scenario.name,
        effect=scenario.effects.get(question.experiment.primary.name),
        rollback=outcomes.share("rollback"),
        invalid=outcomes.share("invalid"),
        promote=outcomes.share("promote"),
        stop=outcomes.share("stop"),
        expire=0.0 if in_time else late,
        undecided=late if in_time else 0.0,
        looks_harmful=float(np.mean(outcomes.looks_harmful)),
        trials_mean=round(float(outcomes.per_arm.mean()), 1),
        trials_median=median,
        trials_p90=p90,
        experiments=experiments,
        guardrail=scenario.guardrail,
        guardrail_effect=scenario.effects.get(scenario.guardrail or ""),
    )


def _quantiles(per_arm: Any) -> tuple[int, int]:
    both = np.quantile(per_arm, (0.5, 0.9), method="inverted_cdf")
    return int(both[0]), int(both[1])


def _horizon(question: Question) -> int:
    """Trials after which nothing is decided any more."""
    experiment, size = question.experiment, _units_to_run(question)
    arms, design = len(experiment.arms), experiment.assignment.design
    trials = arms * size
    if design != "paired":
        weights = [experiment.assignment.weights.get(arm.name, 1.0) for arm in experiment.arms]
        # In all but one of thousands every arm has its units by then.
        slack = 4 * math.sqrt(size) if design == "randomized" else 1
        trials = math.ceil((size + slack) * sum(weights) / min(weights)) + sum(map(int, weights))
    if question.trials is not None:
        trials = min(trials, question.trials)
    return trials - trials % arms if design == "paired" else trials


def _units_to_run(question: Question) -> int:
    """Units per arm that must be run for the size to be measured: a failed run has no duration."""
    size = question.size or _UNKNOWN_SIZE
    measured = measured_share(question.experiment, question.source)
    if not 0 < measured < 1:
        return size
    # In all but one of thousands every arm has its units by then.
    return math.ceil((size + 4 * math.sqrt(size * (1 - measured))) / measured)


def _affordable(question: Question, horizon: int) -> int | None:
    if not 0 < horizon <= _MOST_TRIALS:
        return None
    usual = usual_experiments(question.experiment)
    if usual == FEWER:
        return min(question.experiments, max(_LEAST_OF_FEWER, _BUDGET_OF_FEWER // horizon))
    budget = _BUDGET if usual == EXPERIMENTS else _BUDGET_ON_CASES
    return min(question.experiments, max(_LEAST_EXPERIMENTS, budget // horizon))


def outcomes_of(question: Question, scenario: Scenario) -> Outcomes:
    """Return what is decided in `question.experiments` experiments, however long that takes.

    >>> from support.examples import planned
    >>> int(outcomes_of(planned(), Scenario("no_effect")).per_arm.max())  # its size
    60
    """
    return simulate(question, scenario, _horizon(question), question.experiments)


# As for an analysis: near the edge of a float sums overflow, and what they make is not known.
@np.errstate(over="ignore", invalid="ignore")
def simulate(question: Question, scenario: Scenario, horizon: int, experiments: int) -> Outcomes:
    """Simulate in chunks: one seed for every scenario, so that they differ by the effect alone.

    >>> from support.examples import planned
    >>> outcomes = simulate(planned(), Scenario("no_effect"), horizon=80, experiments=200)
    >>> outcomes.verdict.shape, outcomes.share("promote") < 0.05
    ((200,), True)
    """
    rng = np.random.default_rng(_SEED)
    rows, parts = max(1, _CHUNK // horizon), []
    for start in range(0, experiments, rows):
        size = (min(rows, experiments - start), horizon)
        trials = simulated_trials(question.experiment, question.source, scenario, size, rng)
        plan = question.experiment
        parts.append(first_decisions(plan, trials, question.size, question.extra))
    return Outcomes(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("verdict", "look", "per_arm", "looks_harmful", "measured")
        )
    )


def confirmed_size(question: Question) -> tuple[int, bool] | None:
    """Return the size per arm, raised until the whole table promotes with the plan's power.

    Starts from `question.size`; (size, whether the power is reached). Time plays no part.
    `None` where no effect is planned or it would take too long to simulate.

    >>> from support.examples import planned
    >>> confirmed_size(planned())
    (60, True)
    """
    experiment, size = question.experiment, question.size
    if size is None or experiment.primary.minimum_effect is None:
        return None
    hoped = Scenario("hoped_effect", {experiment.primary.name: experiment.primary.minimum_effect})
    at_every_look = usual_experiments(experiment) != FEWER
    if experiment.plan.inference == "anytime" and at_every_look:
        return _by_quantile(question, hoped, size)
    return _by_raising(question, hoped, size)


def _by_quantile(question: Question, hoped: Scenario, size: int) -> tuple[int, bool] | None:
    """An anytime plan's size matters only where it stops: one long run tells all sizes."""
    longest = math.ceil(_LARGEST_RAISE * size)
    horizon = _horizon(replace(question, size=longest, trials=None))
    experiments = _affordable(question, horizon)
    if experiments is None:
        return None
    outcomes = simulate(replace(question, size=longest), hoped, horizon, experiments)
    won = np.sort(outcomes.measured[outcomes.verdict == VERDICTS.index("promote")])
    needed = math.ceil(question.experiment.plan.power * experiments)
    if won.size < needed:
        return size, False
    return max(size, int(won[needed - 1])), True


def _by_raising(question: Question, hoped: Scenario, size: int) -> tuple[int, bool] | None:
    power, first = question.experiment.plan.power, size
    while size <= _LARGEST_RAISE * first:
        row = characteristics(replace(question, size=size, trials=None), hoped)
        if row is None:
            return None
        error = math.sqrt(power * (1 - power) / row.experiments)
        if row.promote >= power - 2 * error:
            return size, True
        size = math.ceil(1.1 * size)
    return first, False


__all__ = [
    "EXPERIMENTS",
    "OperatingCharacteristics",
    "Question",
    "characteristics",
    "confirmed_size",
    "outcomes_of",
    "scenario_of_effect",
    "standard_scenarios",
    "usual_experiments",
]

"""The default plan: what `inference: auto` needs and errs by, beside one look at the end."""

from __future__ import annotations

from dataclasses import dataclass

from expci.core.model.auto_inference import as_stated
from expci.core.model.experiment import (
    Arm,
    Assignment,
    Baseline,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.planning.design_report import frozen_experiment
from expci.core.planning.operating_characteristics import Question, outcomes_of
from expci.core.planning.scenarios import Scenario, source_of
from expci.core.planning.simulation import Outcomes

ALPHA = 0.05
EXPERIMENTS = 10_000
MOST_SIZE, MOST_MEAN = 1.15, 0.85  # of the fixed design
DESIGNS = ("paired", "blocked", "randomized")


@dataclass(frozen=True)
class Setting:
    """A primary metric and the effect that the plan hopes for."""

    name: str
    metric: Metric


def _metric(name: str, kind: str, direction: str, effect: Limit, baseline: Baseline) -> Metric:
    return Metric(name, "primary", kind, direction, minimum_effect=effect, baseline=baseline)  # type: ignore[arg-type]


SETTINGS = (
    Setting(
        "duration, cv .3, −15 %",
        _metric("time_s", "duration", "decrease", Limit(0.15, True), Baseline(60.0, 18.0)),
    ),
    Setting(
        "mean, d = .5",
        _metric("score", "mean", "increase", Limit(0.5, False), Baseline(10.0, 1.0)),
    ),
    Setting(
        "mean, d = .8",
        _metric("score", "mean", "increase", Limit(0.8, False), Baseline(10.0, 1.0)),
    ),
    Setting(
        "proportion, .80 → .90",
        _metric("success", "proportion", "increase", Limit(0.1, False), Baseline(0.8, 0.4)),
    ),
    Setting(
        "proportion, .50 → .70",
        _metric("success", "proportion", "increase", Limit(0.2, False), Baseline(0.5, 0.5)),
    ),
)


def plan(setting: Setting, design: str) -> Experiment:
    """The default plan, `min_trials` aside, as the start freezes it."""
    experiment = Experiment(
        id="default",
        name="",
        hypothesis="",
        arms=(Arm("control"), Arm("treatment")),
        metrics=(setting.metric,),
        assignment=Assignment(design=design),  # type: ignore[arg-type]
        plan=as_stated(PlanRules(min_trials=1)),
        decision=DecisionRules(),
    )
    return frozen_experiment(experiment, ())[0]


def outcomes(
    experiment: Experiment, effect: Limit | None, experiments: int, extra: int = 0
) -> Outcomes:
    """What the frozen plan decides where the primary improves by `effect`."""
    source, size = source_of(experiment, ()), experiment.plan.sample_size
    if source is None or size is None:
        raise ValueError("the plan states its baseline")
    scenario = Scenario("", {experiment.primary.name: effect} if effect else {})
    question = Question(experiment, source, size + extra, experiments=experiments, extra=extra)
    return outcomes_of(question, scenario)

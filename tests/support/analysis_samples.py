"""Experiments and trials for the statistical core, made in a few words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from expci.core.analysis.analyze import analyse
from expci.core.analysis.look import Look
from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model.experiment import (
    Arm,
    Assignment,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.model.results import Analysis
from expci.core.model.trial import Trial, derived_trial_id, timestamp

START = datetime(2026, 11, 1, tzinfo=UTC)
PLAN = "a" * 64
DURATION = Metric("duration_s", "primary", "duration", "decrease", minimum_effect=Limit(0.15, True))
SUCCESS = Metric("success", "guardrail", "proportion", "increase")


def make_experiment(
    *,
    primary: Metric = DURATION,
    others: Sequence[Metric] = (SUCCESS,),
    treatments: Sequence[str] = ("treatment",),
    design: str = "randomized",
    weights: dict[str, float] | None = None,
    decision: DecisionRules | None = None,
    **plan: Any,
) -> Experiment:
    return Experiment(
        id="faster",
        name="Faster",
        hypothesis="It is faster.",
        arms=(Arm("control"), *(Arm(name, files=f"{name}/") for name in treatments)),
        metrics=(primary, *others),
        assignment=Assignment(design=design, weights=weights or {}),  # type: ignore[arg-type]
        plan=PlanRules(**plan),
        decision=decision or DecisionRules(),
        timeout_s=100.0,
    )


def make_trial(index: int, arm: str, **changes: Any) -> Trial:
    """Trial number `index`: one an hour, its own unit."""
    metrics = changes.pop("metrics", {})
    if "value" in changes:
        metrics = {"duration_s": changes.pop("value"), **metrics}
    trial = Trial(
        id=derived_trial_id(str(index), arm),
        experiment="faster",
        plan=PLAN,
        mode="live",
        arm=arm,
        unit=f"run-{index}",
        started=timestamp(START + timedelta(hours=index)),
        metrics=metrics,
    )
    return replace(trial, **changes)


def alternating(
    control: Iterable[float], treatment: Iterable[float], name: str = "duration_s"
) -> list[Trial]:
    """Control and treatment in turn, one metric each."""
    trials = []
    for index, (c, t) in enumerate(zip(control, treatment, strict=True)):
        trials.append(make_trial(2 * index, "control", metrics={name: float(c)}))
        trials.append(make_trial(2 * index + 1, "treatment", metrics={name: float(t)}))
    return trials


def in_pairs(
    control: Iterable[float], treatment: Iterable[float], name: str = "duration_s"
) -> list[Trial]:
    """Pairs whose order alternates AB, BA."""
    trials = []
    for index, (c, t) in enumerate(zip(control, treatment, strict=True)):
        runs = [("control", c), ("treatment", t)][:: 1 if index % 2 == 0 else -1]
        for order, (arm, value) in enumerate(runs, start=1):
            trials.append(
                make_trial(
                    2 * index + order - 1,
                    arm,
                    unit=f"job-{index}",
                    block=f"pair-{index}",
                    order=order,
                    metrics={name: float(value)},
                )
            )
    return trials


def look_at(experiment: Experiment, trials: Sequence[Trial], **changes: Any) -> Analysis:
    return look_at_columns(experiment, trial_columns(trials), **changes)


def look_at_columns(experiment: Experiment, trials: TrialColumns, **changes: Any) -> Analysis:
    return analyse(look_of(experiment, **changes), trials)


def look_of(experiment: Experiment, **changes: Any) -> Look:
    """Five days after its start."""
    look = Look(experiment, PLAN, "c" * 40, "running", START + timedelta(days=5), START)
    return replace(look, **changes)

"""The numbers of a decision, made to measure: what the decision table reads, without trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from expci.core.decision.inputs import DecisionInput, OneLook, Safeguard
from expci.core.decision.numbers import DurationGuard, FloatArray, Improvement, LookNumbers
from expci.core.model.experiment import Experiment
from expci.core.model.results import (
    ArmSummary,
    Check,
    Comparison,
    Evidence,
    MetricResult,
    NoteCode,
)
from support.analysis_samples import START, make_experiment

NAN = float("nan")


def looks(*values: float) -> FloatArray:
    """One experiment at so many looks."""
    return np.array([values], dtype=np.float64)


def effect(estimate: float = 0.3, low: float = 0.1, high: float = 0.5) -> Improvement:
    return Improvement(looks(estimate), looks(low), looks(high))


def guard(saving: float = 2.0, p_value: float = 0.01, low: float = 0.1) -> DurationGuard:
    return DurationGuard(looks(saving), looks(p_value), looks(low), np.array([[False]]))


def evidence(**changes: Any) -> OneLook:
    """A clear win on a duration."""
    win = OneLook(
        p_value=looks(0.01),
        harm_p_value=looks(1.0),
        relative=effect(),
        absolute=effect(3.0, 1.0, 5.0),
        relative_error=looks(0.01),
        absolute_error=looks(0.01),
        no_loss_odds=looks(NAN),
        units=looks(40),
        futile=np.array([[False]]),
        exact=np.array([[False]]),
        guard=guard(),
    )
    return replace(win, **changes)


def numbers(
    experiment: Experiment | None = None,
    evidences: Mapping[tuple[str, str], OneLook] | None = None,
    **changes: Any,
) -> LookNumbers:
    """One look at one experiment: a clear win, unless `evidences` or `changes` say otherwise."""
    experiment = experiment or make_experiment()
    arms = [arm.name for arm in experiment.treatments]
    judged = (experiment.primary, *experiment.guardrails)
    usual = {(metric.name, arm): evidence() for metric in judged for arm in arms}
    look = LookNumbers(
        experiment=experiment,
        evidence={**usual, **(evidences or {})},
        units={arm: looks(40) for arm in arms},
        measured=looks(40),
        target=100.0,
        counted=looks(80),
        overdue=np.array([[False]]),
        checks={"sample_ratio": looks(1)},
        paired=experiment.assignment.design == "paired",
    )
    return replace(look, **changes)


@dataclass(frozen=True)
class Effect:
    """One comparison as the analysis reports it."""

    p_value: float | None = 0.01
    harm_p_value: float | None = 1.0
    improvement: float | None = 0.3
    interval: tuple[float | None, float | None] | None = (0.1, 0.5)
    difference: float | None = -3.0
    difference_interval: tuple[float | None, float | None] | None = (-5.0, -1.0)
    error: float | None = 0.01
    units: int = 40
    futile: bool | None = None
    looks: int | None = None
    method: str = "test"
    holm_p_value: float | None = None
    notes: tuple[str, ...] = ()
    note_codes: Mapping[NoteCode, str] = field(default_factory=dict)

    def comparison(self, arm: str) -> Comparison:
        evidence = Evidence(
            self.method, self.p_value, None, self.looks, None, self.harm_p_value, 0.025, None
        )
        return Comparison(
            arm=arm,
            difference=self.difference,
            difference_interval=self.difference_interval,
            difference_error=self.error,
            improvement_error=self.error,
            improvement=self.improvement,
            interval=self.interval,
            level=0.95,
            evidence=replace(evidence, futile=self.futile),
            welch=None,
            paired=None,
            cohens_d=None,
            hedges_g=None,
            power=None,
            holm_p_value=self.holm_p_value,
            notes=self.notes,
            note_codes=self.note_codes,
        )


_LARGER = Effect(difference=3.0, difference_interval=(1.0, 5.0))


@dataclass(frozen=True)
class LookSample:
    """A look of which only what matters is said; all else is a clear win on day 5 of 14."""

    experiment: Experiment = field(default_factory=make_experiment)
    effects: Mapping[tuple[str, str], Effect] = field(default_factory=dict)
    checks: Sequence[Check] = (Check("sample_ratio", "ok", 0.5, "20 and 20"),)
    units: Mapping[str, int] = field(default_factory=dict)
    target: int | None = 100
    at: datetime = START + timedelta(days=5)
    trials: int = 80
    more: Mapping[str, Any] = field(default_factory=dict)

    def input(self) -> DecisionInput:
        arms = [arm.name for arm in self.experiment.treatments]
        return DecisionInput(
            experiment=self.experiment,
            metrics=[self._result(metric.name, arms) for metric in self.experiment.metrics],
            checks=self.checks,
            units={arm: self.units.get(arm, 40) for arm in arms},
            target=self.target,
            at=self.at,
            deadline=START + timedelta(days=14),
            trials=self.trials,
            **{
                "paired": self.experiment.assignment.design == "paired",
                "safeguards": {arm: Safeguard(2.0, 0.01, 0.1, (1, 2)) for arm in arms},
                **self.more,
            },
        )

    def _result(self, name: str, arms: Sequence[str]) -> MetricResult:
        metric = next(metric for metric in self.experiment.metrics if metric.name == name)
        better = Effect() if metric.direction == "decrease" else _LARGER
        effects = {arm: self.effects.get((name, arm), better) for arm in arms}
        summaries = {arm: ArmSummary(one.units, 1.0, 1.0, 0.0, 2.0) for arm, one in effects.items()}
        control = ArmSummary(45, 1.0, 1.0, 0.0, 2.0)
        return MetricResult(
            metric.name,
            metric.role,
            metric.kind,
            metric.direction,
            {"control": control, **summaries},
            tuple(one.comparison(arm) for arm, one in effects.items()),
        )

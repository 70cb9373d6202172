"""The design report of a plan: how many trials, what they can see, how long they take.

Heavy imports are made where they are used, so that reading a plan stays quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from expci.core.model import CONTROL, Experiment, PlanRules
from expci.core.sample_size import (
    FACTORS,
    Spread,
    detectable_effect,
    measured_spread,
    planned_power,
    required_sample_size,
)
from expci.core.trials import Trial

__all__ = ["PlanReport", "arm_weights", "effective_rules", "plan_report", "required_sample_size"]

HOPELESS = 0.6  # under this power, trials are wasted


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """The `expci.plan/1` document; `None` where nothing tells."""

    schema: str = "expci.plan/1"
    experiment: str
    sample_size: dict[str, Any]
    minimum_detectable_effect: float | None
    power: float | None
    trials_per_day: float | None
    expected_days: float | None
    operating_characteristics: tuple[dict[str, Any], ...] = ()
    advice: tuple[str, ...] = ()


def plan_report(
    experiment: Experiment, pilot: Sequence[Trial], trials_per_day: float | None
) -> PlanReport:
    """What this plan needs and can see, from a pilot or the stated baseline of its primary."""
    spread, basis = _pilot_spread(experiment, pilot)
    metric, rules = experiment.primary, effective_rules(experiment)
    design = experiment.assignment.design
    needed = (
        None
        if spread is None
        else required_sample_size(metric, rules, design, spread, arm_weights(experiment))
    )
    size = rules.sample_size or (None if needed is None else max(needed, rules.min_trials))
    days = _expected_days(experiment, size, trials_per_day)
    power = seen = None
    if spread is not None and size is not None:
        power = planned_power(metric, rules, design, spread, size)
        factor = FACTORS[rules.inference]
        seen = detectable_effect(metric, design, spread, size, rules.alpha, rules.power, factor)
    return PlanReport(
        experiment=experiment.id,
        sample_size={"per_arm": size, "needed": needed, "basis": basis},
        minimum_detectable_effect=seen,
        power=power,
        trials_per_day=trials_per_day,
        expected_days=days,
        advice=_advice(experiment, spread, size, needed, power, days),
    )


def effective_rules(experiment: Experiment) -> PlanRules:
    """The plan's rules with the alpha that is used: `risk: high` tests at 0.01 or less."""
    if experiment.risk != "high":
        return experiment.plan
    return replace(experiment.plan, alpha=min(experiment.plan.alpha, 0.01))


def arm_weights(experiment: Experiment) -> tuple[float, float]:
    """Control's weight and the smallest treatment's; equal where none is stated."""
    weights = experiment.assignment.weights
    treatments = [weights.get(arm.name, 1.0) for arm in experiment.treatments]
    return weights.get(CONTROL, 1.0), min(treatments, default=1.0)


def _pilot_spread(experiment: Experiment, pilot: Sequence[Trial]) -> tuple[Spread | None, str]:
    stated = experiment.primary.baseline
    if pilot:
        from expci.core import observation

        names = tuple(arm.name for arm in experiment.arms)
        usable = tuple(
            trial
            for trial in pilot
            if trial.arm in names
            and trial.excluded is None
            and trial.status not in ("cancelled", "error")
        )
        paired = experiment.assignment.design == "paired"
        table = observation.frame(usable, names, paired)
        found = measured_spread(experiment.primary, table, experiment.timeout_s)
        if found is not None:
            return found, "pilot"
    if stated is not None:
        return Spread(stated.mean, stated.sd), "baseline"
    return None, "unknown"


def _expected_days(experiment: Experiment, size: int | None, rate: float | None) -> float | None:
    if size is None or not rate:
        return None
    return size * len(experiment.arms) / rate


def _advice(
    experiment: Experiment,
    spread: Spread | None,
    size: int | None,
    needed: int | None,
    power: float | None,
    days: float | None,
) -> tuple[str, ...]:
    unit = "pairs" if experiment.assignment.design == "paired" else "trials per arm"
    advice = []
    if experiment.primary.minimum_effect is None:
        advice.append("No minimum_effect is stated, so no sample size can be computed.")
    elif spread is None:
        advice.append(
            "Nothing tells how much the metric varies: record a pilot or state a baseline."
        )
    if power is not None and power < HOPELESS and size and needed:
        advice.append(_hopeless(experiment, spread, size, needed, power, unit))
    if days is not None and days > experiment.plan.max_days:
        advice.append(
            f"At the present rate {size} {unit} take {days:.0f} days, and the plan ends after "
            f"{experiment.plan.max_days:g}: raise max_days, or plan for a larger effect."
        )
    if experiment.plan.inference == "group-sequential":
        advice.append("inference: group-sequential is not available in this version.")
    if experiment.primary.kind not in ("duration", "mean", "proportion"):
        advice.append(f"kind: {experiment.primary.kind} is not available in this version.")
    return tuple(advice)


def _hopeless(
    experiment: Experiment,
    spread: Spread | None,
    size: int,
    needed: int,
    power: float,
    unit: str,
) -> str:
    cv = spread.cv if spread is not None else None
    varies = "" if cv is None else f" when single runs vary by {100 * cv:.0f} %"
    effect = str(experiment.primary.minimum_effect)
    words = (
        f"{size} {unit} can hardly see {effect}{varies}: power {100 * power:.0f} %. "
        f"It takes {needed}"
    )
    if experiment.assignment.design == "paired":
        return words + "."
    return words + ", or the paired design, if both arms can run in one job."

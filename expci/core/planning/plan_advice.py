"""What is to be thought over before the start: power, time, money, cases, the pilot's noise.

Heavy imports stand where they are used, so that reading a plan stays quick.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from expci.core import number_format
from expci.core.model import limits
from expci.core.model.budget import BudgetUse
from expci.core.model.experiment import Experiment
from expci.core.planning.planned_size import NeededSize, constant_of_pilot, pilot_of_plan
from expci.core.statistics.sample_size import (
    required_sample_size,
)

if TYPE_CHECKING:
    from expci.core.dataset.trial_columns import TrialColumns
    from expci.core.planning.cases_needed import CasesNeeded
    from expci.core.planning.scenarios import Source


DURATION, CPU_TIME = "duration_s", "cpu_s"
_COMPUTES = 0.2  # of its time: what a run that waits for nothing gets beside four others
_FAR_FEWER = 0.5


@dataclass(frozen=True)
class PlanFigures:
    """What the advice rests on: the size, what it can see and the means to reach it."""

    needed: NeededSize
    source: Source | None
    size: int | None
    power: float | None
    days: float | None
    use: BudgetUse | None
    cases: CasesNeeded | None


def plan_advice(
    experiment: Experiment, pilot: TrialColumns, figures: PlanFigures
) -> tuple[str, ...]:
    """Return what is to be thought over before this plan starts, a sentence or two each.

    >>> from support.examples import NO_TRIALS, planned
    >>> size = NeededSize(None, "unknown", None, None)
    >>> figures = PlanFigures(size, None, 30, None, 20.0, None, None)
    >>> plan_advice(planned().experiment, NO_TRIALS, figures)[0]
    'Nothing tells how much the metric varies: record a pilot or state a baseline.'
    """
    return (
        *_size_advice(experiment, figures),
        *_failure_advice(experiment, figures),
        *_pilot_advice(experiment, pilot),
        *_budget_advice(experiment, figures.use, figures.size),
        *_clock_advice(experiment, pilot, figures.needed),
        *_case_advice(experiment, figures),
    )


def _case_advice(experiment: Experiment, figures: PlanFigures) -> tuple[str, ...]:
    if figures.cases is None:
        return ()
    from expci.core.planning.cases_needed import case_advice

    return (
        *case_advice(experiment, figures.cases),
        *_must_pass_advice(experiment, figures.cases, figures.source is not None, figures.size),
    )


def _must_pass_advice(
    experiment: Experiment, cases: CasesNeeded, is_simulated: bool, size: int | None
) -> Iterator[str]:
    """How often such a case fails by chance is not known: it is not as any other case."""
    if experiment.must_pass and is_simulated:
        yield (
            "must_pass is not in the simulation, where the treatment passes every case of it. One "
            "that fails a case which control passes is not promoted, whatever these shares say."
        )
    if experiment.must_pass and size is not None and size < cases.cases * cases.repeats:
        yield (
            f"{number_format.count(size, 'pair')} visit not all of "
            f"{number_format.count(cases.cases, 'case')}, and nothing is promoted before each case "
            f"of must_pass was run: `expci trial {experiment.id} --case NAME` runs those first."
        )


def _budget_advice(
    experiment: Experiment, use: BudgetUse | None, size: int | None
) -> tuple[str, ...]:
    if use is None:
        return ()
    if use.per_trial is None:
        return (
            f"No run has reported {use.metric} yet, so what a decision costs is open: a pilot "
            "tells.",
        )
    payable = int(use.most / (use.per_trial * len(experiment.arms))) if use.per_trial > 0 else None
    if size is None or payable is None or payable >= size:
        return ()
    unit = "pairs" if experiment.assignment.design == "paired" else "trials per arm"
    each = number_format.amount_of(use.per_trial, use.metric)
    most = number_format.amount_of(use.most, use.metric)
    return (
        f"The budget of {most} pays for {payable} of the {size} {unit}, at {each} a run: raise "
        "it, or plan for a larger effect.",
    )


def _size_advice(experiment: Experiment, figures: PlanFigures) -> tuple[str, ...]:
    needed, size = figures.needed, figures.size
    unit = "pairs" if experiment.assignment.design == "paired" else "trials per arm"
    advice = []
    if experiment.primary.minimum_effect is None:
        advice.append("No minimum_effect is stated, so no sample size can be computed.")
    elif needed.spread is None:
        advice.append(
            "Nothing tells how much the metric varies: record a pilot or state a baseline."
        )
    elif figures.source is None:
        from expci.core.kinds.draws import LEAST_ROWS

        advice.append(
            f"Too few runs of control to simulate this plan: record {LEAST_ROWS} or more."
        )
    power, days = figures.power, figures.days
    if power is not None and power < limits.HOPELESS_POWER and size and needed.confirmed:
        advice.append(_hopeless(experiment, needed, size, power, unit))
    if not needed.reached:
        advice.append(_out_of_reach(experiment, needed, unit))
    if size and experiment.effective_rules.min_trials >= size:
        advice.append(
            f"min_trials is the whole size ({size} {unit}), so nothing can be promoted before the "
            "last look, however clear it is: a smaller min_trials lets a clear win end it sooner."
        )
    if days is not None and days > experiment.plan.max_days:
        advice.append(
            f"At the present rate {size} {unit} take {number_format.days(days)}, and the plan ends "
            f"after {number_format.stated(experiment.plan.max_days)}: "
            "raise max_days, or plan for a larger effect."
        )
    return (*advice, *_not_simulated(experiment, figures.source))


def _failure_advice(experiment: Experiment, figures: PlanFigures) -> Iterator[str]:
    """What failed runs cost, where the pilot or the stated rate of success has any."""
    from expci.core.planning.scenarios import measured_share

    source, size = figures.source, figures.size
    measured = measured_share(experiment, source)
    if source is None or not size or not 0 < measured < 1:
        return
    paired = experiment.assignment.design == "paired"
    unit, runs = ("pairs", "pairs") if paired else ("trials per arm", "runs per arm")
    basis = "the pilot's runs failed" if source.failed.size else "runs fail, by success's baseline"
    yield (
        f"{number_format.frequency(source.failing)} of {basis}, and a failed run has no duration: "
        f"{size} measured {unit} take about {math.ceil(size / measured)} {runs}. The simulation "
        "has these failures in it."
    )


def _pilot_advice(experiment: Experiment, pilot: TrialColumns) -> tuple[str, ...]:
    """Where the pilot lies where calibration measured more than alpha."""
    if not pilot:
        return ()
    from expci.core.checks.assumptions import pilot_advice

    return pilot_advice(experiment, pilot_of_plan(experiment, pilot))


def _clock_advice(
    experiment: Experiment, pilot: TrialColumns, needed: NeededSize
) -> tuple[str, ...]:
    """Whether the processor's time would show the effect with far fewer runs than the wall's."""
    primary, wall = experiment.primary, needed.spread
    if primary.name != DURATION or not pilot or wall is None or not needed.computed:
        return ()
    from expci.core.kinds import measured_spread

    table, metric = pilot_of_plan(experiment, pilot), replace(primary, name=CPU_TIME)
    cpu = measured_spread(metric, table, experiment.timeout_s)
    if cpu is None or cpu.mean < _COMPUTES * wall.mean:
        return ()  # it waits, for a network or a disk, and that is part of what is compared
    size = required_sample_size(
        metric,
        experiment.effective_rules,
        experiment.assignment.design,
        cpu,
        experiment.arm_weights,
    )
    if size is None or size > _FAR_FEWER * needed.computed:
        return ()
    unit = "pairs" if experiment.assignment.design == "paired" else "trials per arm"
    return (
        f"The pilot's runs compute {number_format.frequency(cpu.mean / wall.mean)} of their time, "
        f"and {CPU_TIME} varies far less than {DURATION}: by the formula {size} {unit} see the "
        f"effect instead of {needed.computed}. Make {CPU_TIME} the primary metric if it is the "
        "work that is to get faster, and not what it waits for.",
    )


def _not_simulated(experiment: Experiment, source: Source | None) -> tuple[str, ...]:
    """What the simulation does not know, or does not do as the analysis will."""
    metrics = (experiment.primary, *experiment.guardrails)
    if source is None:
        return ()
    advice = []
    if constant := sorted(constant_of_pilot(experiment, source)):
        advice.append(
            f"The pilot's values of {', '.join(constant)} never vary, so chance has no part in "
            "them: once ten runs of each arm or more are as constant, the difference itself "
            "decides. The simulation leaves them out."
        )
    if source.unknown:
        names = ", ".join(source.unknown)
        advice.append(f"No values of {names}: simulated as though it never objected.")
    if any(metric.winsorize is not None for metric in metrics):
        advice.append("The simulation leaves winsorize out; with it less noise remains.")
    return tuple(advice)


def _hopeless(
    experiment: Experiment, needed: NeededSize, size: int, power: float, unit: str
) -> str:
    primary = experiment.primary
    spread = needed.spread if primary.traits.control is None else None
    cv = None if spread is None else spread.cv
    effect = number_format.limit(primary.minimum_effect, primary)
    varies = "" if cv is None else f" when single runs vary by {number_format.frequency(cv)}"
    words = (
        f"{size} {unit} can hardly see {effect}{varies}: power {number_format.frequency(power)}. "
    )
    if not needed.reached:
        return words.rstrip()
    if needed.confirmed is not None and size >= needed.confirmed:
        return words + "The time ends first: raise max_days, or plan for a larger effect."
    words += f"It takes {needed.confirmed}"
    if experiment.assignment.design == "paired":
        return words + "."
    return words + ", or the paired design, if both arms can run in one job."


def _out_of_reach(experiment: Experiment, needed: NeededSize, unit: str) -> str:
    effect = experiment.primary.minimum_effect
    power = number_format.stated_percent(experiment.plan.power)
    way = (
        "too few cases, a guardrail or promote_at"
        if experiment.cases
        else "a guardrail or promote_at"
    )
    return (
        f"Even three times {needed.confirmed} {unit} do not promote an effect of {effect} with "
        f"{power} power: {way} stands in the way."
    )

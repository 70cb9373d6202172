"""How large harm ends: rolled back, or stopped with the estimate worse than the limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from tables import share, table

from expci.core.dataset.recorded import trial_columns
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
from expci.core.planning.design_report import plan_report
from expci.core.planning.operating_characteristics import OperatingCharacteristics
from expci.core.planning.planned_size import settled_experiment
from expci.core.planning.scenarios import Scenario, simulated_trials, source_of
from expci.core.planning.simulation import VERDICTS, first_decisions

EXPERIMENTS = 2000
ALPHA = 0.05
DESIGNS = ("paired", "blocked", "randomized")
THREE_CV, THREE_SIZE, CHUNK = 0.2, 60, 250
NOISE = (0.2, 0.3)
EFFECTS = tuple(Limit(-harm, True) for harm in (0.3, 0.5))
DEFAULT = as_stated(PlanRules())
HARM = ("harm", "harm_twice", "effect")


def plan(
    design: str,
    cv: float,
    rules: PlanRules = DEFAULT,
    treatments: tuple[str, ...] = ("treatment",),
) -> Experiment:
    """A plan for a time that is to fall by 15 %."""
    primary = Metric(
        "duration_s",
        "primary",
        "duration",
        "decrease",
        minimum_effect=Limit(0.15, True),
        baseline=Baseline(60.0, 60.0 * cv),
    )
    return Experiment(
        id="harm",
        name="",
        hypothesis="",
        arms=(Arm("control"), *map(Arm, treatments)),
        metrics=(primary, Metric("success", "guardrail", "proportion", "increase")),
        assignment=Assignment(design=design),  # type: ignore[arg-type]
        plan=rules,
        decision=DecisionRules(),
    )


def section(scale: float) -> str:
    return _two_arms(scale) + _three_arms(scale)


THREE = (  # what is true of the first and the second treatment
    ("no effect", "no effect", 1.0, 1.0),
    ("50 % slower", "no effect", 1.5, 1.0),
    ("50 % slower", "15 % faster", 1.5, 0.85),
    ("50 % slower", "50 % slower", 1.5, 1.5),
)


def _three_arms(scale: float) -> str:
    experiments = max(500, int(EXPERIMENTS * scale))
    rows = [_three(design, *truth, experiments) for design in DESIGNS for truth in THREE]
    header = (
        *("design", "first treatment", "second treatment", "promoted", "rolled back", "stopped"),
        "median n",
    )
    return f"""
### One harmful arm of three

The same plan with two treatments and a cv of {THREE_CV}, {THREE_SIZE} per arm. A treatment that
does harm, or cannot win any more, is dropped, and the other goes on; rolled back where none is
left. False promotions must stay within {ALPHA} though an arm was dropped. {experiments}
experiments a row.

{table(header, rows)}"""


def _three(
    design: str, first: str, second: str, one: float, two: float, experiments: int
) -> list[str]:
    rules = as_stated(PlanRules(sample_size=THREE_SIZE))
    bare = trial_columns([])
    experiment = settled_experiment(plan(design, THREE_CV, rules, ("first", "second")), bare)
    source = source_of(experiment, bare)
    if source is None:
        raise ValueError("the plan states its baseline")
    rng, verdicts, sizes = np.random.default_rng(11), [], []
    trials = 3 * THREE_SIZE + (0 if design != "randomized" else 60)
    for _ in range(experiments // CHUNK):
        drawn = simulated_trials(experiment, source, Scenario("three"), (CHUNK, trials), rng)
        drawn.values["duration_s"][drawn.arm == 1] *= one
        drawn.values["duration_s"][drawn.arm == 2] *= two
        outcomes = first_decisions(experiment, drawn, THREE_SIZE)
        verdicts.append(outcomes.verdict)
        sizes.append(outcomes.per_arm)
    verdict, count = np.concatenate(verdicts), experiments // CHUNK * CHUNK
    shares = [float(np.mean(verdict == VERDICTS.index(v))) for v in ("promote", "rollback", "stop")]
    may_win = ALPHA if two == 1.0 else None
    print(".", end="", flush=True)
    return [
        design,
        first,
        second,
        share(shares[0], count, may_win),
        *(share(value, count) for value in shares[1:]),
        str(int(np.median(np.concatenate(sizes)))),
    ]


def _two_arms(scale: float) -> str:
    experiments = max(500, int(EXPERIMENTS * scale))
    rows = [
        row
        for design in DESIGNS
        for cv in NOISE
        for rules in (DEFAULT, PlanRules())
        for row in _rows(design, cv, rules, experiments)
    ]
    header = (
        *("design", "cv", "plan", "size", "truth", "rolled back", "stopped"),
        *("of these, looks harmful", "promoted", "median n"),
    )
    return f"""
## Large harm

The default plan (`auto`) for a duration that is to fall by 15 %, and `anytime`, the sample size
computed and confirmed, `max_regression` 10 %, success as the guardrail. *cv*: coefficient of
variation of single runs (paired: without anything that a pair shares). A harm as large as the limit
is estimated as smaller than it half of the time. *looks harmful*: the planned size came first and
the estimate is worse than the limit, which the report and an alert say.
{experiments} experiments a row.

{table(header, rows)}"""


def _rows(design: str, cv: float, rules: PlanRules, experiments: int) -> Iterator[list[str]]:
    whole = plan(design, cv, rules)
    report = plan_report(whole, trial_columns([]), None, experiments=experiments, effects=EFFECTS)
    named = "anytime" if rules.inference_basis == "stated" else "auto"
    for row in report.operating_characteristics:
        if row.scenario == "hoped_effect":
            continue
        numbers: list[Any] = [design, cv, named, report.sample_size.per_arm, _truth(row)]
        limit = ALPHA if row.scenario == "no_effect" else None
        numbers.append(share(row.rollback, experiments, limit))
        numbers += [share(value, experiments) for value in (row.stop, row.looks_harmful)]
        numbers += [share(row.promote, experiments, ALPHA), row.trials_median]
        yield [str(number) for number in numbers]
    print(".", end="", flush=True)


def _truth(row: OperatingCharacteristics) -> str:
    effect = row.effect
    return "no effect" if effect is None else f"{-100 * effect.value:.0f} % slower"

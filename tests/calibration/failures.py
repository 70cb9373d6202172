"""Failures in both arms, and treatments that kill their slowest runs: what is promoted."""

from __future__ import annotations

from dataclasses import replace

import harm
import numpy as np
from tables import share, table

from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import Experiment, Limit, PlanRules
from expci.core.planning.planned_size import frozen_experiment
from expci.core.planning.scenarios import Scenario, simulated_trials, source_of
from expci.core.planning.simulation import VERDICTS, Simulation

EXPERIMENTS = 2000
CHUNK = 250
ALPHA = 0.05
CV, EFFECT = 0.3, Limit(0.15, True)
FAILING = (0.0, 0.05, 0.1, 0.2)
KILLED = ((0.0, 0.03), (0.0, 0.05), (0.0, 0.1), (0.0, 0.2), (0.1, 0.05), (0.1, 0.2))
DESIGNS = ("paired", "blocked", "randomized")


def section(scale: float) -> str:
    experiments = max(CHUNK, int(EXPERIMENTS * scale) // CHUNK * CHUNK)
    power, false = [], []
    for design in DESIGNS:
        for inference in ("auto", "anytime"):
            plan = _plan(design, inference)
            wins = [promoted(plan, failing, 0.0, EFFECT, experiments) for failing in FAILING]
            words = (f"{share(win, experiments)} ({runs})" for win, runs in wins)
            power.append([design, inference, *words])
            wins = [promoted(plan, *rates, None, experiments) for rates in KILLED]
            false.append([design, inference, *(share(win, experiments, ALPHA) for win, _ in wins)])
            print(".", end="", flush=True)
    return f"""
## Failures

A duration that is to fall by 15 %, cv {CV}, no guardrail; the default plan and `anytime` at the
size that each computes without failures. Both arms fail alike and independently of the time, in
the share above the columns; how often the planned effect is promoted, and the median of runs per
arm (pairs) until any verdict. The size counts runs that were measured (pairs of which both were),
so who knew that failures come by chance would promote as often as at 0: what is missing pays for
not knowing it. {experiments} experiments a cell.

{table(("design", "plan", *(f"{failing:g}" for failing in FAILING)), power)}
No effect, but the treatment fails where a run would be among its slowest; *0.1 + 0.05*: its
slowest .05, and .1 of both arms besides. False promotions, limit {ALPHA}:

{table(("design", "plan", *(f"{failing:g} + {killed:g}" for failing, killed in KILLED)), false)}"""


def _plan(design: str, inference: str) -> Experiment:
    whole = harm.plan(design, CV, harm.DEFAULT if inference == "auto" else PlanRules())
    plan, size = frozen_experiment(replace(whole, metrics=whole.metrics[:1]), trial_columns([]))
    return replace(plan, plan=replace(plan.plan, sample_size=size or plan.plan.sample_size))


def promoted(
    plan: Experiment, failing: float, killed: float, effect: Limit | None, experiments: int
) -> tuple[float, int]:
    """How often it is promoted, and the median of runs per arm until any verdict."""
    source, size = source_of(plan, trial_columns([])), plan.plan.sample_size
    if source is None or size is None:
        raise ValueError("the plan states its baseline")
    scenario = Scenario("", {"duration_s": effect} if effect else {})
    ended = (1 - failing - killed) * ((1 - failing) if plan.assignment.design == "paired" else 1)
    trials = 2 * round(1.1 * size / ended + 20)  # a failed run has no time: more are needed
    rng, wins, runs = np.random.default_rng(5), 0, []
    for _ in range(experiments // CHUNK):
        drawn = simulated_trials(plan, source, scenario, (CHUNK, trials), rng)
        time = drawn.values["duration_s"]
        slowest = np.quantile(time[drawn.arm == 1], 1 - killed)
        failed = (rng.random(time.shape) < failing) | ((drawn.arm == 1) & (time > slowest))
        outcomes = Simulation(plan, replace(drawn, failed=failed), size).outcomes()
        runs.append(outcomes.per_arm)
        wins += int(np.sum(outcomes.verdict == VERDICTS.index("promote")))
    return wins / experiments, int(np.median(np.concatenate(runs)))

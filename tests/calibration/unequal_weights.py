"""Unequal weights where values have a long tail: through the whole decision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from tables import covered, share, table
from worlds import World, experiment

from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Experiment
from expci.core.planning.scenarios import assigned
from expci.core.planning.simulation import VERDICTS, Simulation

ALPHA = 0.05
EXPERIMENTS = 2000
CHUNK = 200
SIZE = 60  # units of the smaller arm
EFFECT = 0.45  # standard deviations, in the column on power
WEIGHTS = ((1.0, 1.0), (4.0, 1.0), (1.0, 4.0), (9.0, 1.0), (1.0, 9.0))
INFERENCES = ("anytime", "group-sequential", "fixed")

Draw = Callable[[tuple[int, int], np.random.Generator], dict[str, np.ndarray]]


def _normal(size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"a": 10 + rng.standard_normal(size)}


def _slow_runs(size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One run in ten takes three times as long."""
    times = 100 * np.exp(0.1 * rng.standard_normal(size))
    return {"a": times * np.where(rng.random(size) < 0.1, 3.0, 1.0)}


def _lognormal(size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"a": np.exp(rng.standard_normal(size))}


def _costs(size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Cost per token: both vary, and one call in ten costs five times as much."""
    tokens = np.exp(0.5 * rng.standard_normal(size))
    dear = np.where(rng.random(size) < 0.1, 5.0, 1.0)
    return {"a": tokens * dear * np.exp(0.1 * rng.standard_normal(size)), "b": tokens}


@dataclass(frozen=True)
class Setting:
    name: str
    kind: str
    draw: Draw


SETTINGS = (
    Setting("normal, as a mean", "mean", _normal),
    Setting("one run in ten three times slower, as a duration", "duration", _slow_runs),
    Setting("lognormal(1), as a mean", "mean", _lognormal),
    Setting("ratio, one call in ten five times dearer", "ratio", _costs),
)


@dataclass(frozen=True)
class Alarms:
    """Shares of experiments: effect and harm shown, promoted, rolled back, covered, with power."""

    effect: float
    harm: float
    promote: float
    rollback: float
    covers: float
    power: float


def alarms(setting: Setting, weights: tuple[float, float], inference: str, runs: int) -> Alarms:
    plan = _plan(setting, weights, inference)
    rng, counts = np.random.default_rng(7), np.zeros(6)
    trials = math.ceil((SIZE + 4 * math.sqrt(SIZE)) * sum(weights) / min(weights))
    for _ in range(runs // CHUNK):
        arm, values = assigned(plan, (CHUNK, trials), rng), setting.draw((CHUNK, trials), rng)
        none = Simulation(plan, _trials(arm, values), SIZE)
        verdict, improvement = none.outcomes().verdict, none.compared["a", 1].absolute
        some = Simulation(plan, _trials(arm, _shifted(setting, arm, values)), SIZE)
        counts += [
            none.proves_effect().sum(),
            none.proves_harm().sum(),
            (verdict == VERDICTS.index("promote")).sum(),
            (verdict == VERDICTS.index("rollback")).sum(),
            ((improvement.low[:, -1] <= 0) & (improvement.high[:, -1] >= 0)).sum(),
            some.proves_effect().sum(),
        ]
    return Alarms(*(counts / (runs // CHUNK * CHUNK)))


def _plan(setting: Setting, weights: tuple[float, float], inference: str) -> Experiment:
    world = World("", "normal", weights=weights, kind=setting.kind)
    plan = experiment(world, "randomized", inference, SIZE)
    primary = plan.metrics[0]
    if setting.kind == "ratio":
        primary = replace(primary, denominator="b")
    return replace(plan, metrics=(primary,), plan=replace(plan.plan, min_trials=10))


def _trials(arm: np.ndarray, values: dict[str, np.ndarray]) -> TrialArrays:
    return TrialArrays(arm, 2, values, np.zeros(arm.shape, np.bool_))


def _shifted(
    setting: Setting, arm: np.ndarray, values: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The treatment better by `EFFECT` standard deviations on the scale of analysis."""
    value = values["a"]
    if setting.kind == "duration":
        return {
            **values,
            "a": np.where(arm == 1, value * np.exp(-EFFECT * np.log(value).std()), value),
        }
    if setting.kind == "ratio":
        linear = value - value.mean() / values["b"].mean() * values["b"]
        factor = 1 - EFFECT * linear.std() / value.mean()
        return {**values, "a": np.where(arm == 1, value * factor, value)}
    return {**values, "a": value - np.where(arm == 1, EFFECT * value.std(), 0.0)}


def section(scale: float) -> str:
    runs = max(CHUNK, int(EXPERIMENTS * scale) // CHUNK * CHUNK)
    rows = []
    for setting in SETTINGS:
        for weights in WEIGHTS:
            for inference in INFERENCES:
                result = alarms(setting, weights, inference, runs)
                rows.append(
                    [
                        setting.name,
                        f"{weights[0]:g}:{weights[1]:g}",
                        inference,
                        *(
                            share(value, runs, ALPHA)
                            for value in (result.effect, result.harm, result.promote)
                        ),
                        share(result.rollback, runs, ALPHA),
                        covered(result.covers, runs, 1 - ALPHA),
                        share(result.power, runs),
                    ]
                )
    header = (
        *("values", "control : treatment", "inference", "effect shown", "harm shown"),
        *("promoted", "rolled back", "interval covers", "power"),
    )
    return f"""
## Unequal weights

No effect; one metric, limits of 0, a look after every trial until the smaller arm has {SIZE} (no
decision under 10). *Interval covers*: it includes 0 at every look (planned look). *Power*: an
effect of {EFFECT:g} standard deviations on the scale of analysis is shown. 1:4 is a watch with a
holdback of 20 %: `rolled back` is what it would revert without cause. {runs} experiments a row.

{table(header, rows)}
The evidence takes the larger of Welch's and Student's standard error. By Welch's alone the slow
runs at 9:1 are called an effect in 18 % of experiments (`anytime`) and promoted as often: a small
arm that misses the slow runs looks both faster and steadier than it is.
"""

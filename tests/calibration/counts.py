"""Counts, the more uneven the worse: false alarms at every look, and power as planned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from tables import covered, share, table
from worlds import World, experiment

from expci.core.kinds.count import multiplied
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Baseline, Experiment, Limit
from expci.core.planning.scenarios import assigned
from expci.core.planning.simulation import VERDICTS, Simulation
from expci.core.statistics.sample_size import required_sample_size

ALPHA = 0.05
EXPERIMENTS = 1000
CHUNK = 100
SIZE = 200  # units of the smaller arm
EFFECT = 0.5  # of all events, in the column on power
WEIGHTS = ((1.0, 1.0), (4.0, 1.0), (1.0, 4.0))
INFERENCES = ("anytime", "group-sequential", "fixed")

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class Setting:
    """Counts with that mean and standard deviation."""

    name: str
    mean: float
    sd: float
    draw: Draw


def _poisson(mean: float) -> Draw:
    return lambda rng, size: rng.poisson(mean, size).astype(float)


def _negative_binomial(mean: float, shape: float) -> Draw:
    chance = shape / (shape + mean)
    return lambda rng, size: rng.negative_binomial(shape, chance, size).astype(float)


def _zero_inflated(mean: float, zeros: float) -> Draw:
    return lambda rng, size: np.where(
        rng.random(size) < zeros, 0.0, rng.poisson(mean / (1 - zeros), size).astype(float)
    )


SETTINGS = (
    Setting("Poisson, mean 4", 4.0, 2.0, _poisson(4.0)),
    Setting(
        "negative binomial, mean 3, variance 33",
        3.0,
        math.sqrt(33),
        _negative_binomial(3.0, 0.3),
    ),
    Setting(
        "80% zeros, else Poisson, mean 2", 2.0, math.sqrt(2 + 4 * 0.8 / 0.2), _zero_inflated(2, 0.8)
    ),
    Setting("rare: Poisson, mean 0.05", 0.05, math.sqrt(0.05), _poisson(0.05)),
    Setting(
        "rare: negative binomial, mean 0.05, variance 0.075",
        0.05,
        math.sqrt(0.075),
        _negative_binomial(0.05, 0.1),
    ),
)


def _plan(inference: str, weights: tuple[float, float], size: int) -> Experiment:
    plan = experiment(
        World("", "normal", weights=weights, kind="count"), "randomized", inference, size
    )
    return replace(plan, metrics=plan.metrics[:1], plan=replace(plan.plan, min_trials=10))


def _trials(plan: Experiment, size: int, draw: Draw, rng: np.random.Generator) -> TrialArrays:
    weights = tuple(plan.assignment.weights.values())
    trials = math.ceil((size + 4 * math.sqrt(size)) * sum(weights) / min(weights))
    arm = assigned(plan, (CHUNK, trials), rng)
    return TrialArrays(arm, 2, {"a": draw(rng, arm.shape)}, np.zeros(arm.shape, np.bool_))


def alarms(
    setting: Setting, weights: tuple[float, float], inference: str, runs: int
) -> tuple[float, ...]:
    """Shares of experiments: effect and harm shown, promoted, rolled back, interval covers."""
    plan, rng, counts = _plan(inference, weights, SIZE), np.random.default_rng(23), np.zeros(5)
    for _ in range(runs // CHUNK):
        simulation = Simulation(plan, _trials(plan, SIZE, setting.draw, rng), SIZE)
        verdict = simulation.outcomes().verdict
        difference = simulation.compared["a", 1].absolute
        counts += [
            simulation.proves_effect().sum(),
            simulation.proves_harm().sum(),
            (verdict == VERDICTS.index("promote")).sum(),
            (verdict == VERDICTS.index("rollback")).sum(),
            ((difference.low[:, -1] <= 0) & (difference.high[:, -1] >= 0)).sum(),
        ]
    return tuple(counts / runs)


def power(setting: Setting, inference: str, runs: int) -> tuple[int, float]:
    """The size that is planned for `EFFECT`, and how often it is shown by then."""
    plan = _plan(inference, WEIGHTS[0], SIZE)
    primary = replace(plan.primary, minimum_effect=Limit(EFFECT, relative=True))
    baseline = Baseline(setting.mean, setting.sd)
    size = required_sample_size(primary, plan.plan, "randomized", baseline)
    assert size is not None
    plan, rng, shown = _plan(inference, WEIGHTS[0], size), np.random.default_rng(29), 0
    for _ in range(runs // CHUNK):
        trials = _trials(plan, size, setting.draw, rng)
        better = multiplied(trials.values["a"], -EFFECT, trials.arm == 1, rng)
        simulation = Simulation(plan, replace(trials, values={"a": better}), size)
        shown += int(simulation.proves_effect().sum())
    return size, shown / runs


def section(scale: float) -> str:
    runs = max(CHUNK, int(EXPERIMENTS * scale) // CHUNK * CHUNK)
    fewer = max(CHUNK, runs // 2 // CHUNK * CHUNK)
    rows, powers = [], []
    for setting in SETTINGS:
        for weights in WEIGHTS:
            for inference in INFERENCES:
                *limited, covers = alarms(setting, weights, inference, runs)
                cells = [share(value, runs, ALPHA) for value in limited]
                ratio = f"{weights[0]:g}:{weights[1]:g}"
                cells.append(covered(covers, runs, 1 - ALPHA))
                rows.append([setting.name, ratio, inference, *cells])
        for inference in INFERENCES:
            size, shown = power(setting, inference, fewer)
            powers.append([setting.name, inference, str(size), share(shown, fewer)])
    header = (
        *("values", "control : treatment", "inference", "effect shown", "harm shown"),
        *("promoted", "rolled back", "interval covers"),
    )
    return f"""
## Counts

Kind `count`. No effect; one metric, limits of 0, a look after every trial until the smaller arm
has {SIZE} (no decision under 10). *Interval covers*: it includes 0 at every look (planned look).
{runs} experiments a row.

{table(header, rows)}
Power: the treatment has {EFFECT:.0%} fewer events, arms are equal, and the sample is what the plan
computes for a power of 0.8 from control's mean and standard deviation. {fewer} experiments a row.

{table(("values", "inference", "units per arm", "effect shown"), powers)}"""

"""Ranks, ratios and quantiles: one experiment at a time, as `analyze` does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from tables import covered, experiments_of, share, table

from expci.core.analysis.analyze import analyse
from expci.core.analysis.look import Look
from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import (
    Arm,
    Assignment,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.model.trial import Trial, timestamp

ALPHA = 0.05
EXPERIMENTS = 300
SIZE = 100
START = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = "a" * 64
ARMS = ("control", "treatment")

Draw = Callable[[np.random.Generator, int], dict[str, np.ndarray]]


def _normal(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"a": 10 + rng.standard_normal(n)}


def _heavy(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"a": 10 + rng.standard_t(3, n)}


def _cauchy(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"a": 10 + rng.standard_cauchy(n)}


def _skewed(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"a": np.exp(rng.standard_normal(n))}


def _fraction(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Errors per request: requests vary by half, each goes wrong one time in five."""
    below = np.ceil(20 * np.exp(0.5 * rng.standard_normal(n)))
    return {"a": rng.binomial(below.astype(int), 0.2).astype(float), "b": below}


@dataclass(frozen=True)
class Setting:
    name: str
    metric: Metric
    draw: Draw
    shift: float  # the effect in the rows on power, added to the treatment (factor: ratios)
    design: str = "randomized"
    weights: tuple[int, int] = (1, 1)


def _metric(kind: str, **changes: object) -> Metric:
    found = Metric("a", "primary", kind, "increase", max_regression=Limit(0.0, False))  # type: ignore[arg-type]
    return replace(found, **changes)  # type: ignore[arg-type]


SETTINGS = (
    Setting("rank, normal", _metric("rank"), _normal, 0.8),
    Setting("rank, t(3)", _metric("rank"), _heavy, 1.0),
    Setting("rank, Cauchy", _metric("rank"), _cauchy, 1.5),
    Setting("rank, lognormal(1)", _metric("rank"), _skewed, 1.0),
    Setting("rank, t(3), in pairs", _metric("rank"), _heavy, 1.0, "paired"),
    Setting("median, lognormal(1)", _metric("quantile", quantile=0.5), _skewed, 1.0),
    Setting("0.9 quantile, lognormal(1)", _metric("quantile", quantile=0.9), _skewed, 3.0),
    *(
        Setting(
            f"0.9 quantile, lognormal(1), {weights[0]}:{weights[1]}",
            _metric("quantile", quantile=0.9),
            _skewed,
            3.0,
            weights=weights,
        )
        for weights in ((4, 1), (1, 4))
    ),
    Setting("ratio of sums", _metric("ratio", denominator="b"), _fraction, 0.06),
)


def section(scale: float) -> str:
    experiments = experiments_of(EXPERIMENTS, scale, 50)
    rows = []
    for setting in SETTINGS:
        for inference in ("anytime", "group-sequential"):
            alarms, covers = _measure(setting, inference, 0.0, experiments)
            power, _ = _measure(setting, inference, setting.shift, experiments // 4)
            rows.append(
                [
                    setting.name,
                    inference,
                    share(alarms, experiments, ALPHA),
                    covered(covers, experiments, 1 - ALPHA),
                    f"{setting.shift:g}",
                    share(power, experiments // 4),
                ]
            )
    header = ("kind", "inference", "effect shown", "interval covers", "an effect of", "is shown")
    return f"""
## Ranks, quantiles, ratios

As `analyze` finds them after {SIZE} trials per arm (of the smaller one at unequal weights,
control : treatment): *effect shown* where nothing differs, at any
look in mode `anytime`, at any of five in `group-sequential`; the interval of the difference
covers 0 at each of them. {experiments} experiments a row, and a quarter as many for the power.

{table(header, rows)}"""


def _measure(
    setting: Setting, inference: str, shift: float, experiments: int
) -> tuple[float, float]:
    rng, shown, covers = np.random.default_rng(17), 0, 0
    for _ in range(experiments):
        p_value, ends = _one(setting, inference, shift, rng)
        shown += p_value is not None and p_value <= ALPHA
        low, high = (-math.inf if ends[0] is None else ends[0]), ends[1]
        covers += low <= 0 <= (math.inf if high is None else high)
    return shown / experiments, covers / experiments


def _one(
    setting: Setting, inference: str, shift: float, rng: np.random.Generator
) -> tuple[float | None, tuple[float | None, float | None]]:
    values = [setting.draw(rng, SIZE * weight) for weight in setting.weights]
    if setting.metric.kind == "ratio" and shift:
        extra = rng.binomial(values[1]["b"].astype(int), shift)
        values[1]["a"] = np.minimum(values[1]["a"] + extra, values[1]["b"])
    elif shift:
        values[1]["a"] = values[1]["a"] + shift
    at = START + timedelta(days=5)
    look = Look(_experiment(setting, inference), PLAN, "c" * 40, "running", at, START)
    trials = trial_columns(_trials(values, setting, rng))
    found = analyse(look, trials).primary.comparisons[0]
    if found.difference_interval is None:  # empty: it held no value at every look
        return found.evidence.p_value, (1.0, -1.0) if found.evidence.p_value else (None, None)
    return found.evidence.p_value, found.difference_interval


def _experiment(setting: Setting, inference: str) -> Experiment:
    return Experiment(
        id="kinds",
        name="",
        hypothesis="",
        arms=tuple(map(Arm, ARMS)),
        metrics=(setting.metric,),
        assignment=Assignment(
            design=setting.design,  # type: ignore[arg-type]
            weights=dict(zip(ARMS, map(float, setting.weights), strict=True)),
        ),
        plan=PlanRules(inference=inference, sample_size=SIZE),  # type: ignore[arg-type]
        decision=DecisionRules(),
    )


def _trials(
    values: list[dict[str, np.ndarray]], setting: Setting, rng: np.random.Generator
) -> list[Trial]:
    trials = list[Trial]()
    drawn = [0, 0]
    for number in range(SIZE):
        for place, arm in enumerate(rng.permutation(np.repeat((0, 1), setting.weights))):
            index, row = len(trials), drawn[arm]
            drawn[arm] += 1
            trials.append(
                Trial(
                    id=f"{index:026d}",
                    experiment="kinds",
                    plan=PLAN,
                    mode="lab",
                    arm=ARMS[arm],
                    unit=f"run-{index}",
                    started=timestamp(START + timedelta(minutes=index)),
                    block=f"b{number}" if setting.design == "paired" else None,
                    order=place + 1,
                    metrics={name: float(column[row]) for name, column in values[arm].items()},
                )
            )
    return trials

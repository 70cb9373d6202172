"""Worlds in which nothing differs between the arms, drawn in arrays [experiments, trials]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.auto_inference import as_stated
from expci.core.model.experiment import (
    Arm,
    Assignment,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.planning.scenarios import assigned

MEAN = 10.0
UNIT_SIZE = 5
AUTOCORRELATION = 0.5
RUNNERS = np.array([-0.6, 0.0, 0.6])  # what three models of runners add, in standard deviations


@dataclass(frozen=True)
class World:
    """A distribution of single values; `sd` is the treatment's as a multiple of control's."""

    name: str
    shape: str
    sd: float = 1.0
    weights: tuple[float, float] = (1.0, 1.0)
    kind: str = "mean"

    @property
    def proportion(self) -> float | None:
        return float(self.shape) if self.kind == "proportion" else None


WORLDS = (
    World("normal", "normal"),
    World("lognormal(1), as a mean", "lognormal"),
    World("lognormal(1), as a duration", "lognormal", kind="duration"),
    World("t(3)", "t"),
    World("proportion 0.5", "0.5", kind="proportion"),
    World("proportion 0.05", "0.05", kind="proportion"),
    World("sd 3:1", "normal", sd=3.0),
    World("arms 1:3", "normal", weights=(1.0, 3.0)),
    World("arms 3:1, sd x 3 in the small one", "normal", sd=3.0, weights=(3.0, 1.0)),
)


def rules(inference: str, size: int) -> PlanRules:
    if inference == "auto":
        return as_stated(PlanRules(min_trials=1, sample_size=size))
    if inference == "tuned":
        return PlanRules(min_trials=1, sample_size=size, planned_effect=0.5)
    return PlanRules(inference=inference, min_trials=1, sample_size=size)  # type: ignore[arg-type]


def experiment(world: World, design: str, inference: str, size: int) -> Experiment:
    """A primary and two guardrails with limits of zero, so that the evidence alone decides.

    `inference`: also `auto`, and `tuned` for `anytime` tuned to half a standard deviation.
    """
    zero = Limit(0.0, relative=world.kind == "duration")
    roles = (("primary", "a"), ("guardrail", "b"), ("guardrail", "c"))
    metrics = tuple(
        Metric(name, role, world.kind, "decrease", max_regression=zero)  # type: ignore[arg-type]
        for role, name in roles
    )
    return Experiment(
        id="calibration",
        name="",
        hypothesis="",
        arms=(Arm("control"), Arm("treatment")),
        metrics=metrics,
        assignment=Assignment(
            design=design,  # type: ignore[arg-type]
            weights=dict(zip(("control", "treatment"), world.weights, strict=True)),
        ),
        plan=rules(inference, size),
        decision=DecisionRules(promote_at=zero),
    )


def draw(
    world: World,
    plan: Experiment,
    size: tuple[int, int],
    autocorrelated: bool,
    clustered: bool,
    rng: np.random.Generator,
) -> TrialArrays:
    """No effect on any of the three metrics."""
    design = plan.assignment.design
    arm, unit = assigned(plan, size, rng), None
    if clustered:
        unit = rng.integers(0, size[1] // UNIT_SIZE, size)
        arm = np.take_along_axis(rng.integers(0, 2, size), unit, axis=1).astype(np.int64)
    values = {}
    for metric in plan.metrics:
        noise = _noise(world, size, autocorrelated, rng)
        if design == "paired":
            noise += shared_in_pairs(size, rng)
        if design == "blocked":
            noise += RUNNERS[rng.integers(0, 3, size)]
        if unit is not None:
            noise += np.take_along_axis(rng.standard_normal(size), unit, axis=1)
        values[metric.name] = _values(world, noise, arm)
    return TrialArrays(arm, 2, values, np.zeros(size, np.bool_), design == "paired", unit)


def _noise(
    world: World, size: tuple[int, int], autocorrelated: bool, rng: np.random.Generator
) -> np.ndarray:
    noise = rng.standard_t(3, size) if world.shape == "t" else rng.standard_normal(size)
    return correlated(noise, AUTOCORRELATION) if autocorrelated else noise


def correlated(noise: np.ndarray, coefficient: float) -> np.ndarray:
    """A first-order autoregression from trial to trial; changes `noise`."""
    for trial in range(1, noise.shape[1]):
        fresh = np.sqrt(1 - coefficient**2) * noise[:, trial]
        noise[:, trial] = coefficient * noise[:, trial - 1] + fresh
    return noise


def shared_in_pairs(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """What the two runs of a pair have in common."""
    return np.repeat(rng.standard_normal((size[0], size[1] // 2)), 2, axis=1)


def _values(world: World, noise: np.ndarray, arm: np.ndarray) -> np.ndarray:
    if world.proportion is not None:
        # The noise's own quantile: shared and autocorrelated noise make shared successes.
        return np.asarray(noise < np.quantile(noise[:200], world.proportion), dtype=float)
    scaled = np.where(arm == 1, world.sd * noise, noise)
    return np.exp(scaled) if world.shape == "lognormal" else MEAN + scaled

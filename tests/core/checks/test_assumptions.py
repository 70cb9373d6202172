"""Where calibration found more false alarms than alpha: who is told, and who is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expci.core.checks import assumptions
from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import Experiment, Limit, Metric
from expci.core.model.results import Check
from expci.core.model.trial import Trial
from expci.core.planning.design_report import plan_report
from expci.core.spec.advice import advise
from support.analysis_samples import alternating, in_pairs, look_at, make_experiment, make_trial

COST = Metric("cost_usd", "primary", "mean", "decrease", minimum_effect=Limit(0.15, True))
SCORE = replace(COST, name="score", direction="increase", minimum_effect=Limit(0.5, False))


def skewed(seed: int, n: int, spread: float = 1.0) -> np.ndarray:
    """Lognormal(0.8): mean 10, `spread` times an sd of 5."""
    values = np.exp(0.8 * np.random.default_rng(seed).standard_normal(n))
    sd = np.sqrt(np.exp(0.64) * np.expm1(0.64))
    return np.asarray(10 + 5 * spread * (values - np.exp(0.32)) / sd)


def drifting(seed: int, n: int, rho: float) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(n)
    for index in range(1, n):
        noise[index] = rho * noise[index - 1] + np.sqrt(1 - rho**2) * noise[index]
    return noise


def found(experiment: Experiment, trials: list[Trial], name: str) -> Check | None:
    checks = look_at(experiment, trials).checks
    return next((check for check in checks if check.name == name), None)


def status(experiment: Experiment, trials: list[Trial], name: str) -> str | None:
    check = found(experiment, trials, name)
    return None if check is None else check.status


def test_a_long_tail_matters_where_one_arm_spreads_wider() -> None:
    experiment = make_experiment(primary=COST)
    wide = alternating(skewed(1, 120), skewed(2, 120, 2.5), "cost_usd")
    check = found(experiment, wide, "long_tail")
    assert check is not None
    assert check.status == "warning"
    assert "treatment spreads 3.6 times" in check.detail
    assert "`kind: rank`" in check.detail
    alike = alternating(skewed(1, 120), skewed(2, 120), "cost_usd")
    assert status(experiment, alike, "long_tail") == "ok"
    normal = 10 + np.random.default_rng(3).standard_normal((2, 120))
    even = alternating(normal[0], 10 + 2.5 * (normal[1] - 10), "cost_usd")
    assert status(experiment, even, "long_tail") == "ok"
    logs = make_experiment(primary=replace(COST, kind="duration"))
    assert status(logs, wide, "long_tail") is None
    guarded = make_experiment(others=(replace(COST, role="guardrail"),))
    assert status(guarded, wide, "long_tail") == "warning"


def test_a_long_tail_in_pairs_is_that_of_the_differences() -> None:
    experiment = make_experiment(primary=COST, design="paired")
    shared = 30 * np.random.default_rng(4).standard_normal(120)
    alike = in_pairs(skewed(1, 120) + shared, skewed(2, 120) + shared, "cost_usd")
    assert status(experiment, alike, "long_tail") == "ok"
    wide = in_pairs(skewed(1, 120), skewed(2, 120, 2.5), "cost_usd")
    assert status(experiment, wide, "long_tail") == "warning"


@pytest.mark.slow
def test_alarms_about_tails_are_rare_where_spreads_are_alike() -> None:
    experiment = make_experiment(primary=COST)
    alarms = sum(
        status(experiment, alternating(skewed(s, 40), skewed(900 + s, 40), "cost_usd"), "long_tail")
        == "warning"
        for s in range(60)
    )
    assert alarms <= 3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_drift_matters_where_one_arm_feels_it_more(seed: int) -> None:
    experiment = make_experiment(primary=SCORE, others=())
    noise = drifting(seed, 400, 0.6)
    arm = np.random.default_rng(seed).permutation(400) % 2

    def trials(spread: float, noise: np.ndarray) -> list[Trial]:
        return [
            make_trial(
                i,
                ("control", "treatment")[arm[i]],
                metrics={"score": float(10 + (spread if arm[i] else 1.0) * noise[i])},
            )
            for i in range(400)
        ]

    assert status(experiment, trials(3.0, noise), "dependence") == "warning"
    assert status(experiment, trials(1.0, noise), "dependence") == "ok"
    independent = drifting(seed, 400, 0.0)
    assert status(experiment, trials(3.0, independent), "dependence") == "ok"


def test_pairs_that_drift_together_are_fine_and_dependent_differences_are_not() -> None:
    experiment = make_experiment(primary=SCORE, others=(), design="paired")
    rng, shared = np.random.default_rng(5), 5 * drifting(6, 200, 0.9)
    control, treatment = 20 + rng.standard_normal((2, 200))
    together = in_pairs(control + shared, treatment + shared, "score")
    assert status(experiment, together, "dependence") == "ok"
    apart = in_pairs(control + shared, treatment + 2 * shared, "score")
    assert status(experiment, apart, "dependence") == "warning"


def test_the_inflation_is_what_a_simulation_finds() -> None:
    """The variance of a difference of 200 + 200 runs against what independence would give."""
    rng, runs = np.random.default_rng(7), 3000
    noise = rng.standard_normal((runs, 400))
    for index in range(1, 400):
        noise[:, index] = 0.5 * noise[:, index - 1] + np.sqrt(0.75) * noise[:, index]
    shuffled = rng.permuted(np.broadcast_to(np.arange(400) % 2, (runs, 400)), axis=1)
    first = rng.integers(0, 2, (runs, 200))
    blocked = np.stack([first, 1 - first], axis=2).reshape(runs, 400)
    for design, arm in (("randomized", shuffled), ("blocked", blocked)):
        signed = np.where(arm == 1, 3.0 * noise, -noise).sum(axis=1) / 200
        grown = signed.var() / (10 / 200) - 1
        assert assumptions.inflation(0.5, 3.0, design) == pytest.approx(grown, abs=0.1)
        assert assumptions.inflation(0.5, 1.0, design) <= 0


@pytest.mark.slow
def test_a_pilot_speaks_against_its_plan() -> None:
    experiment = make_experiment(primary=COST, others=())
    tail = np.exp(np.random.default_rng(8).standard_normal(60))
    pilot = [make_trial(i, "control", metrics={"cost_usd": float(v)}) for i, v in enumerate(tail)]
    advice = plan_report(experiment, trial_columns(pilot), None, experiments=20).advice
    assert any("long tail in the pilot" in line and "kind: duration" in line for line in advice)
    score = make_experiment(primary=SCORE, others=())
    drift = 10 + drifting(9, 80, 0.7)
    pilot = [make_trial(i, "control", metrics={"score": float(v)}) for i, v in enumerate(drift)]
    advice = plan_report(score, trial_columns(pilot), None, experiments=20).advice
    assert any("correlated by 0." in line and "design: blocked" in line for line in advice)
    quiet = 10 + drifting(10, 80, 0.0)
    pilot = [make_trial(i, "control", metrics={"score": float(v)}) for i, v in enumerate(quiet)]
    advice = plan_report(score, trial_columns(pilot), None, experiments=20).advice
    assert not any("correlated" in line or "long tail" in line for line in advice)


def test_the_validator_names_raw_costs_and_sizes() -> None:
    paths = {"treatment": ("a",)}
    metrics = (COST, replace(COST, name="tokens", role="guardrail"))
    advice = advise(make_experiment(primary=metrics[0], others=metrics[1:]), paths)
    assert any("cost_usd, tokens" in line and "kind: duration" in line for line in advice)
    for other in (
        replace(COST, kind="duration"),
        replace(COST, winsorize=0.95),
        replace(COST, name="score"),
    ):
        assert not any(
            "by the mean" in line for line in advise(make_experiment(primary=other), paths)
        )


def test_a_cost_compared_by_logarithms_is_no_time() -> None:
    metric = replace(COST, kind="duration")
    trials = alternating(np.full(12, 2.0) + np.arange(12) / 50, np.full(12, 1.0), "cost_usd")
    late = [
        replace(t, status="timeout", metrics={}) if i in (5, 11) else t
        for i, t in enumerate(trials)
    ]
    analysis = look_at(make_experiment(primary=metric), late)
    assert analysis.progress.hours_saved_per_month is None
    arms = analysis.primary.arms
    assert (arms["treatment"].n, arms["treatment"].max) == (10, 1.0)  # not the timeout's seconds

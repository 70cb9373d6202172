"""Covariates and outliers: analysis of covariance against least squares, winsorising."""

import math
from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.metric_columns import metric_column
from expci.core.dataset.trials_table import trials_table
from expci.core.model.experiment import Limit, Metric
from expci.core.model.trial import Trial
from expci.core.statistics import ancova
from expci.core.statistics.t_mixture import Rules
from support.analysis_samples import alternating, in_pairs, look_at, make_experiment, make_trial
from support.evidence import by_looks

SCORE = Metric(
    "score",
    "primary",
    "mean",
    "increase",
    minimum_effect=Limit(0.5, False),
    max_regression=Limit(5.0, False),
    adjust_by=("size",),
)
CPUS = ("EPYC 7763", "Xeon 8370C", "EPYC 9V74")


def runs_of(rng: np.random.Generator, n: int, effect: float, slope: float = 2.0) -> list[Trial]:
    trials = []
    for index in range(2 * n):
        size, cpu = rng.normal(), int(rng.integers(3))
        treated = index % 2
        score = 20 + slope * size + 3 * cpu + effect * treated + rng.normal(0, 0.5)
        trials.append(
            make_trial(
                index,
                ("control", "treatment")[treated],
                metrics={"score": float(score)},
                covariates={"size": float(size)},
                context={"cpu": CPUS[cpu]},
            )
        )
    return trials


def adjusted(trials: list[Trial], names: tuple[str, ...]) -> ancova.Adjusted:
    table = trials_table(tuple(trials), ("control", "treatment"), False)
    column = table.metric("score")
    found = ancova.adjusted(table, 1, column, names)
    assert found is not None
    return found


def test_the_estimate_is_least_squares_at_every_prefix() -> None:
    trials = runs_of(np.random.default_rng(1), 40, 0.4)
    looks = adjusted(trials, ("size", "cpu")).looks()
    assert looks is not None
    for n in (20, 41, 80):
        part = trials[:n]
        y = np.array([t.metrics["score"] for t in part])
        treated = np.array([t.arm == "treatment" for t in part], dtype=float)
        size = np.array([t.covariates["size"] for t in part], dtype=float)
        cpus = [np.array([t.context["cpu"] == cpu for t in part], dtype=float) for cpu in CPUS[1:]]
        design = np.column_stack([np.ones(n), treated, size, *cpus])
        fit, rest, *_ = np.linalg.lstsq(design, y, rcond=None)
        assert looks.difference[0, n - 1] * looks.scale == pytest.approx(fit[1], rel=1e-8)
        # with one residual variance for both arms the error would be exactly this
        pooled = rest[0] / (n - 5) * np.linalg.inv(design.T @ design)[1, 1]
        assert looks.error[0, n - 1] * looks.scale == pytest.approx(math.sqrt(pooled), rel=0.05)


def test_a_covariate_that_explains_much_saves_trials() -> None:
    rng = np.random.default_rng(2)
    plain, with_it = 0, 0
    for _ in range(20):
        trials = runs_of(rng, 40, 0.6)
        for names in ((), ("size", "cpu")):
            metric = replace(SCORE, adjust_by=names)
            found = look_at(make_experiment(primary=metric), trials).primary.comparisons[0]
            shown = (found.evidence.p_value or 1.0) <= 0.05
            plain, with_it = plain + shown * (not names), with_it + shown * bool(names)
    assert plain <= 4
    assert with_it >= 17
    with_covariates = make_experiment(primary=replace(SCORE, adjust_by=("size", "cpu")))
    found = look_at(with_covariates, trials).primary.comparisons[0]
    notes = found.notes
    assert any("adjusted by size, cpu: 9" in note and "less variance" in note for note in notes)
    assert "covariates" in found.evidence.method


@pytest.mark.slow
@pytest.mark.parametrize("names", [("size",), ("size", "cpu")])
def test_errors_stay_under_alpha_with_a_look_at_every_trial(names: tuple[str, ...]) -> None:
    rng, runs, wins, misses = np.random.default_rng(3), 250, 0, 0
    rules = Rules(0.05, 1, ancova.START, 0.35)
    for _ in range(runs):
        looks = adjusted(runs_of(rng, 50, 0.0), names).looks()
        found = by_looks(looks, rules)
        assert found is not None
        wins += found.p_value <= 0.05
        misses += not found.interval[0] <= 0 <= found.interval[1]
    assert wins / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert misses == wins


def test_unknown_values_and_useless_covariates() -> None:
    trials = runs_of(np.random.default_rng(4), 30, 0.6)
    gaps = [replace(t, covariates={}) if i % 5 == 0 else t for i, t in enumerate(trials)]
    found = look_at(make_experiment(primary=SCORE), gaps).primary
    assert found.arms["control"].n == 30  # nobody is dropped for a gap
    assert found.comparisons[0].difference is not None
    none = [replace(t, covariates={}) for t in trials]
    notes = look_at(make_experiment(primary=SCORE), none).primary.comparisons[0].notes
    assert "not adjusted by size: it never varied" in notes
    control, treatment = np.random.default_rng(5).normal(20, 1, (2, 12))
    paired = make_experiment(primary=SCORE, design="paired")
    notes = look_at(paired, in_pairs(control, treatment, "score")).primary.comparisons[0].notes
    assert any("not adjusted by size: it never differed" in note for note in notes)


def test_modes_and_durations_are_adjusted_too() -> None:
    trials = runs_of(np.random.default_rng(6), 40, -6.0)
    metric = replace(SCORE, kind="duration", direction="decrease", minimum_effect=Limit(0.1, True))
    for mode in ("anytime", "fixed", "group-sequential"):
        experiment = make_experiment(primary=metric, inference=mode, sample_size=40)
        analysis = look_at(experiment, trials)
        assert analysis.decision.verdict == "promote", mode
        found = analysis.primary.comparisons[0]
        assert found.difference == pytest.approx(-6.0, abs=0.5)


def test_outliers_are_pulled_in_by_what_came_before_and_counted() -> None:
    rng = np.random.default_rng(7)
    control, treatment = rng.normal(20, 1, (2, 60))
    control[40] = 1e6
    treatment[50] = -1e6
    metric = replace(SCORE, adjust_by=(), winsorize=0.95)
    trials = alternating(control, treatment, "score")
    found = look_at(make_experiment(primary=metric), trials)
    comparison = found.primary.comparisons[0]
    assert comparison.difference == pytest.approx(
        treatment[:50].mean() - control[:40].mean(), abs=0.4
    )
    assert any(note.startswith("winsorized: ") for note in comparison.notes)
    table = trials_table(tuple(trials), ("control", "treatment"), False)
    values = metric_column(metric, table, 100.0)
    for n in (30, 70, 110):  # what comes later changes nothing
        part = trials_table(tuple(trials[:n]), ("control", "treatment"), False)
        assert metric_column(metric, part, 100.0).value == pytest.approx(values.value[:n])
    assert values.value[80] == sorted(t.metrics["score"] for t in trials[:81])[76]
    few = trials_table(tuple(trials[:19]), ("control", "treatment"), False)
    assert metric_column(metric, few, 100.0).winsorized == 0  # under 1/(1 − .95) nothing is
    assert look_at(
        make_experiment(primary=replace(metric, winsorize=None)), trials
    ).primary.comparisons[0].difference == pytest.approx(treatment.mean() - control.mean())

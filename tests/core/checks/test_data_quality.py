"""Checks on the data themselves and alerts on the latest trials: what alarms, what must not."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from expci.core.model.experiment import Limit, Metric
from expci.core.model.results import Analysis, Check
from expci.core.model.trial import Trial
from expci.core.statistics import change_point, t_mixture
from support.analysis_samples import (
    DURATION,
    START,
    SUCCESS,
    alternating,
    in_pairs,
    look_at,
    make_experiment,
    make_trial,
)


def check(analysis: Analysis, name: str) -> Check:
    return next(item for item in analysis.checks if item.name == name)


def status(trials: Sequence[Trial], name: str, **changes: object) -> str:
    experiment = changes.pop("experiment", None) or make_experiment()
    return check(look_at(experiment, trials, **changes), name).status  # type: ignore[arg-type]


def lognormal(seed: int, n: int, ratio: float = 1.0, sd: float = 0.2) -> np.ndarray:
    return ratio * np.exp(np.random.default_rng(seed).normal(2.5, sd, n))


def test_the_change_point_is_the_mean_over_two_sample_t_mixtures() -> None:
    x = np.random.default_rng(1).normal(3, 2, 17)
    terms, stake = [], 0.0
    for k in range(5, 13):
        t = stats.ttest_ind(x[k:], x[:k]).statistic
        log_e = float(t_mixture.log_e_value(t, 15, k * (17 - k) / 17))
        terms.append(math.exp(log_e) / (k * (k + 1)))
        stake += 1 / (k * (k + 1))
    found = change_point.change_point(x)
    assert found is not None
    assert found.log_e_value == pytest.approx(math.log(sum(terms) + 1 - stake), rel=1e-9)
    shifted = change_point.change_point(1e9 + 1e-3 * x)
    assert shifted is not None
    assert shifted.log_e_value == pytest.approx(found.log_e_value, rel=1e-3)
    assert change_point.change_point(np.ones(40)) is None


@pytest.mark.slow
def test_drift_alarms_stay_rare_with_a_look_at_every_unit_and_find_a_jump() -> None:
    rng, runs, alarms, found = np.random.default_rng(2), 200, 0, 0
    for _ in range(runs):
        x = rng.normal(size=80)
        alarms += any(
            (look := change_point.change_point(x[:n])) is not None
            and look.log_e_value >= math.log(20)
            for n in range(10, 81)
        )
        jump = change_point.change_point(np.concatenate([x[:40], x[40:] + 2]))
        found += jump is not None and jump.log_e_value >= math.log(1000) and 35 <= jump.index <= 45
    assert alarms / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert found / runs >= 0.9


def test_control_that_drifts_is_noticed() -> None:
    control, treatment = lognormal(1, 60), lognormal(2, 60)
    assert status(alternating(control, treatment), "control_drift") == "ok"
    control[30:] *= 1.6
    analysis = look_at(make_experiment(), alternating(control, treatment))
    assert check(analysis, "control_drift").status == "warning"
    assert "after 3" in check(analysis, "control_drift").detail
    assert status([], "control_drift") == "unknown"


def test_arms_that_vary_differently_are_noticed() -> None:
    alike = alternating(lognormal(1, 60), lognormal(2, 60, 0.5))
    assert status(alike, "variance_ratio") == "ok"
    wilder = alternating(lognormal(1, 60, 1, 0.1), lognormal(2, 60, 1, 0.5))
    analysis = look_at(make_experiment(), wilder)
    assert check(analysis, "variance_ratio").status == "warning"
    assert "times as much as control" in check(analysis, "variance_ratio").detail
    assert analysis.decision.verdict != "invalid"  # a warning decides nothing


def test_repeated_numbers_are_noticed_and_round_ones_are_not() -> None:
    trials = alternating(lognormal(1, 40), lognormal(2, 40))
    assert status(trials, "duplicates") == "ok"
    again = [make_trial(500 + i, t.arm, metrics=t.metrics) for i, t in enumerate(trials[:10])]
    assert status(trials + again, "duplicates") == "warning"
    rounded = [
        replace(t, metrics={"duration_s": round(t.metrics["duration_s"], 1)}) for t in trials
    ]
    assert all(c.name != "duplicates" for c in look_at(make_experiment(), rounded).checks)


def test_cpu_models_by_arm_and_within_pairs() -> None:
    rng = np.random.default_rng(3)
    trials = alternating(lognormal(1, 60), lognormal(2, 60))
    mixed = [replace(t, context={"cpu": f"model {rng.integers(3)}"}) for t in trials]
    assert status(mixed, "cpu_mix") == "ok"
    apart = [replace(t, context={"cpu": f"model {t.arm}"}) for t in trials]
    assert status(apart, "cpu_mix") == "warning"
    assert all(c.name != "cpu_mix" for c in look_at(make_experiment(), trials).checks)
    paired = make_experiment(design="paired")
    first, second = np.split(lognormal(3, 60), 2)
    same = [replace(t, context={"cpu": t.unit}) for t in in_pairs(first, second)]
    assert status(same, "cpu_mix", experiment=paired) == "ok"
    moved = [replace(t, context={"cpu": t.arm}) for t in same]
    assert status(moved, "cpu_mix", experiment=paired) == "warning"


def test_a_base_that_moved_on_makes_the_plan_invalid() -> None:
    trials = alternating(lognormal(1, 40), lognormal(2, 40, 0.6))
    assert all(c.name != "plan_drift" for c in look_at(make_experiment(), trials).checks)
    few = [replace(t, excluded="file_changed") if i in (5, 50) else t for i, t in enumerate(trials)]
    assert status(few, "plan_drift") == "ok"
    some = [replace(t, excluded="file_changed") if i % 3 == 0 else t for i, t in enumerate(trials)]
    assert status(some, "plan_drift") == "warning"
    late = [replace(t, excluded="file_changed") if i >= 60 else t for i, t in enumerate(trials)]
    analysis = look_at(make_experiment(), late)
    assert check(analysis, "plan_drift").status == "failed"
    assert (analysis.decision.verdict, analysis.decision.reason_code) == ("invalid", "plan_drift")


def failing(trials: Sequence[Trial], arm: str, start: int) -> list[Trial]:
    return [
        replace(t, status="failed") if t.arm == arm and i >= start and i % 4 < 2 else t
        for i, t in enumerate(trials)
    ]


def test_failures_among_the_latest_trials() -> None:
    trials = alternating(lognormal(1, 60), lognormal(2, 60))
    assert status(trials, "error_rate") == "ok"
    assert status(failing(trials, "treatment", 80), "error_rate") == "warning"
    assert status(failing(trials, "control", 80), "error_rate") == "warning"
    # the same rate all the time, in both arms, is the baseline
    usual = failing(failing(trials, "treatment", 0), "control", 0)
    assert status(usual, "error_rate") == "ok"
    one = [replace(t, status="failed") if i == 117 else t for i, t in enumerate(trials)]
    assert status(one, "error_rate") == "ok"


def test_a_metric_under_its_alert() -> None:
    score = Metric("score", "guardrail", "mean", "increase", alert_below=0.5)
    experiment = make_experiment(others=(SUCCESS, score))

    def scored(values: Sequence[float]) -> list[Trial]:
        trials = alternating(lognormal(1, 30), lognormal(2, 30))
        return [replace(t, metrics={**t.metrics, "score": values[i]}) for i, t in enumerate(trials)]

    assert status(scored([0.8] * 60), "alert_below", experiment=experiment) == "ok"
    sunk = [0.8] * 20 + [0.4, 0.8] * 20  # control sinks
    analysis = look_at(experiment, scored(sunk))
    assert check(analysis, "alert_below").status == "warning"
    assert "score of the latest 20 in control" in check(analysis, "alert_below").detail
    assert all(c.name != "alert_below" for c in look_at(make_experiment(), []).checks)


@pytest.mark.slow
def test_a_regression_among_the_latest_trials() -> None:
    control, treatment = lognormal(1, 60), lognormal(2, 60)
    assert status(alternating(control, treatment), "regression") == "ok"
    treatment[40:] *= 1.7
    analysis = look_at(make_experiment(), alternating(control, treatment))
    assert check(analysis, "regression").status == "warning"
    noisy = [
        alternating(lognormal(s, 20, 1, 0.5), lognormal(s + 99, 20, 1, 0.5)) for s in range(25)
    ]
    assert all(status(trials, "regression") == "ok" for trials in noisy)


def test_silence_and_time_that_ran_out() -> None:
    trials = alternating(lognormal(1, 30), lognormal(2, 30))  # one an hour, 2.5 days
    last = START + timedelta(hours=59)
    assert status(trials, "quiet", at=last + timedelta(days=2)) == "ok"
    silent = look_at(make_experiment(), trials, at=last + timedelta(days=4))
    assert check(silent, "quiet").status == "warning"
    again = look_at(make_experiment(), trials, at=last + timedelta(days=5))
    assert check(again, "quiet") == check(silent, "quiet")  # no news, no new report
    weekly = [
        replace(t, started=f"2026-{1 + i // 4:02d}-{1 + 7 * (i % 4):02d}T00:00:00.000Z")
        for i, t in enumerate(trials[:24])
    ]
    assert status(weekly, "quiet", at=START.replace(month=7)) == "ok"
    assert all(c.name != "overdue" for c in silent.checks)
    late = look_at(make_experiment(), trials, at=START + timedelta(days=15))
    assert check(late, "overdue").status == "warning"
    watching = look_at(
        make_experiment(),
        trials,
        at=START + timedelta(days=15),
        promoted=START,
        promoted_arm="treatment",
    )
    assert all(c.name != "overdue" for c in watching.checks)
    assert DURATION.max_regression is None
    assert Limit(0.1, True).relative

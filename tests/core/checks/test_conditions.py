"""A model or a version that changes while the experiment runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from expci.core.model.experiment import Experiment, Limit, Metric
from expci.core.model.results import Check
from expci.core.model.trial import Trial
from support.analysis_samples import alternating, look_at, make_experiment

SCORE = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(0.1, True))


def drift(trials: Sequence[Trial], experiment: Experiment | None = None) -> Check | None:
    checks = look_at(experiment or make_experiment(primary=SCORE), trials).checks
    return next((check for check in checks if check.name == "context_drift"), None)


def under(condition: Callable[[int, str], str | None], n: int = 20) -> list[Trial]:
    """Control scores 1, 2, 1, 2 …, treatment one more; under the second condition all ten more."""
    values = np.array([1.0, 2.0] * (n // 2))
    trials = alternating(values, values + 1, "score")
    told = []
    for index, trial in enumerate(trials):
        stated = condition(index, trial.arm)
        more = 10.0 if stated == "opus-5" else 0.0
        context = {} if stated is None else {"context_model": stated}
        metrics = {"score": trial.metrics["score"] + more}
        told.append(replace(trial, context=context, metrics=metrics))
    return told


def test_a_change_within_an_arm_is_an_alert_and_makes_two_strata() -> None:
    check = drift(under(lambda index, _: "opus-4" if index < 24 else "opus-5"))
    assert check is not None
    assert check.status == "warning"
    # 12 trials of each arm before, 8 after: means 1.5 and 2.5, then 11.5 and 12.5.
    assert "model changed from opus-4 to opus-5" in check.detail
    assert "under opus-4 control 1.50 (12), treatment 2.50 (12)" in check.detail
    assert "under opus-5 control 11.5 (8), treatment 12.5 (8)" in check.detail


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (lambda _i, _a: "opus-4", "ok"),
        (lambda _i, arm: f"model of {arm}", "ok"),  # it is what is compared
        (lambda i, arm: "opus-5" if arm == "control" and i == 38 else "opus-4", "warning"),
        (lambda i, _a: None if i % 3 else "opus-4", "ok"),  # a failed run states nothing
        (lambda i, _a: f"build {i}", "warning"),
    ],
)
def test_what_counts_as_a_change(condition: Callable[[int, str], str | None], status: str) -> None:
    check = drift(under(condition))
    assert check is not None
    assert check.status == status


def test_without_conditions_there_is_no_check() -> None:
    assert drift(under(lambda _i, _a: None)) is None


def test_a_condition_can_be_a_covariate_whose_influence_is_taken_out() -> None:
    """Two levels ten apart, by chance not in the same shares in both arms."""
    rng = np.random.default_rng(5)
    level = rng.integers(0, 2, 120)
    noise = rng.normal(0, 1, 120)
    arm = np.array([0, 1] * 60)
    score = 20 + 10 * level + 1.0 * arm + noise
    trials = alternating(score[arm == 0], score[arm == 1], "score")
    trials = [replace(t, context={"context_model": f"m{level[i]}"}) for i, t in enumerate(trials)]
    plain = look_at(make_experiment(primary=SCORE), trials)
    adjusted = look_at(
        make_experiment(primary=replace(SCORE, adjust_by=("context_model",))), trials
    )
    # The same regression by least squares, independent of the program.
    design = np.column_stack([np.ones(120), arm, level])
    fitted = np.linalg.lstsq(design, score, rcond=None)[0][1]
    [raw], [own] = (a.metrics[0].comparisons for a in (plain, adjusted))
    assert own.difference == pytest.approx(fitted, abs=0.1)
    assert own.difference_interval is not None
    assert raw.difference_interval is not None
    width = [i[1] - i[0] for i in (own.difference_interval, raw.difference_interval)]  # type: ignore[operator]
    assert width[0] < 0.4 * width[1]

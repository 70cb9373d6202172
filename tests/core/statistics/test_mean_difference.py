"""The difference of means with its error, where the arms are of unequal size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from expci.core.statistics import mean_difference, t_mixture
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.t_mixture import Rules

EXPERIMENTS = 400
RULES = Rules(0.05, 1, 10)


def slow_runs(seed: int, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of times, one run in ten three times as slow; nine of ten runs in control."""
    rng = np.random.default_rng(seed)
    size = EXPERIMENTS, trials
    arm = (rng.random(size) < 0.1).astype(np.int64)
    return arm, 0.1 * rng.standard_normal(size) + math.log(3) * (rng.random(size) < 0.1)


def shown(looks: Looks) -> float:
    """The share of experiments in which any look called a difference."""
    log_e = t_mixture.weighable(looks, RULES).log_e()[:, -1]
    return float(np.mean(log_e >= math.log(20)))


def test_a_small_arm_that_misses_the_slow_runs_shows_no_effect() -> None:
    arm, value = slow_runs(seed=3, trials=900)
    looks = mean_difference.two_sample(arm, value)
    # Welch's own error of the same looks, by its formula: it calls one A/A in seven.
    n = [np.cumsum(arm == side, axis=1) for side in (0, 1)]
    mean = [np.cumsum(np.where(arm == k, value, 0), axis=1) / np.maximum(n[k], 1) for k in (0, 1)]
    square = [np.cumsum(np.where(arm == k, value**2, 0), axis=1) for k in (0, 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        v = [(square[k] / n[k] - mean[k] ** 2) / (n[k] - 1) for k in (0, 1)]
        welch = Looks(**{**vars(looks), "error": np.sqrt(v[0] + v[1])})
    assert shown(welch) > 0.1
    assert shown(looks) <= 0.03


def test_the_error_is_the_larger_of_welchs_and_students() -> None:
    rng = np.random.default_rng(5)
    for spread in (0.3, 3.0):
        large, small = rng.normal(10, 1, 90), rng.normal(11, spread, 10)
        arm = np.repeat([0, 1], [90, 10])[None, :]
        last = mean_difference.two_sample(arm, np.concatenate([large, small])[None, :]).last
        tests = [stats.ttest_ind(small, large, equal_var=equal) for equal in (False, True)]
        errors = [(small.mean() - large.mean()) / test.statistic for test in tests]
        assert last.error[0, 0] == pytest.approx(max(errors), rel=1e-9)
        assert last.df[0, 0] == pytest.approx(tests[0].df, rel=1e-9)

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


def by_least_squares(
    control: np.ndarray, treatment: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Intercepts of control and of the difference, their covariances, df and n_e, by solving."""
    x = np.column_stack([np.ones(position.size), position])
    if np.ptp(position) == 0:
        x = x[:, :1]
    y = np.column_stack([control, treatment - control])
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    rest, df = y - x @ beta, len(y) - x.shape[1]
    return beta[0], rest.T @ rest / df * inverse[0, 0], df, 1 / inverse[0, 0]


def assert_look(
    looks: Looks, at: int, units: tuple[np.ndarray, np.ndarray, np.ndarray], rel: float = 1e-9
) -> None:
    """The look `at` is the least-squares fit of these units."""
    intercepts, covariance, df, n_e = by_least_squares(*units)
    scale = float(np.ravel(looks.scale)[0])
    assert looks.n[0, at] == units[0].size
    assert looks.df[0, at] == df
    assert looks.n_e[0, at] == pytest.approx(n_e)
    assert looks.control[0, at] * scale == pytest.approx(intercepts[0], rel=rel)
    assert looks.difference[0, at] * scale == pytest.approx(intercepts[1], rel=rel)
    squares = covariance / scale / scale
    assert looks.error[0, at] ** 2 == pytest.approx(squares[1, 1], rel=rel)
    assert looks.control_variance[0, at] == pytest.approx(squares[0, 0], rel=rel)
    assert looks.covariance[0, at] == pytest.approx(squares[0, 1], rel=rel)
    assert looks.valid[0, at]


ORDER = np.array([1, 1, 1, -1, 0, 1, -1, -1, 0, 1, 1, -1], dtype=float)


@pytest.mark.parametrize("size", [1.0, 2.0**500, 2.0**-500])
def test_pairs_are_regressed_on_their_order_at_every_look(size: float) -> None:
    rng = np.random.default_rng(11)
    job = rng.normal(0, 2, 12)
    control, treatment = size * (7 + job), size * (9 + job + 0.5 * ORDER + rng.normal(0, 1, 12))
    looks = mean_difference.paired(control[None], treatment[None], ORDER[None])
    assert float(np.log2(np.ravel(looks.scale)[0])) % 1 == 0
    assert (float(np.ravel(looks.scale)[0]) == 1) is (size == 1)
    assert not looks.valid[0, 0]
    for n in range(2, 13):
        assert_look(looks, n - 1, (control[:n], treatment[:n], ORDER[:n]))


def test_a_pair_without_a_value_is_no_pair() -> None:
    rng = np.random.default_rng(12)
    control, treatment = rng.normal(5, 1, 12), rng.normal(6, 1, 12)
    control[3], treatment[[3, 7]] = np.nan, np.nan
    there = ~np.isnan(treatment)
    looks = mean_difference.paired(control[None], treatment[None], ORDER[None])
    assert looks.n[0].tolist() == np.cumsum(there).tolist()
    assert_look(looks, -1, (control[there], treatment[there], ORDER[there]))


@pytest.mark.parametrize("offset", [0.0, 1e7 / 3])
def test_pairs_that_all_differ_alike_have_no_error(offset: float) -> None:
    control = offset + np.array([0.1, 0.7, 0.3, 0.9])
    looks = mean_difference.paired(control[None], control[None] + 0.2, ORDER[None, 2:6])
    assert not looks.valid.any()
    assert looks.difference[0, -1] == pytest.approx(0.2, abs=1e-8)


def visits() -> tuple[np.ndarray, np.ndarray]:
    """Which unit each of 20 pairs is of, the units' numbers in the order they come."""
    unit = np.array([0, 1, 0, 2, 3, 1, 4, 4, 2, 0, 5, 6, 3, 3, 7, 5, 6, 1, 7, 0])
    return unit, np.random.default_rng(13).normal(size=(2, unit.size)) + unit * 0.3


def running_unit_means(unit: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the row's unit after each row, and before it (nan: its first)."""
    after, before = [], []
    for row in range(unit.size):
        own = values[: row + 1][unit[: row + 1] == unit[row]]
        after.append(own.mean())
        before.append(own[:-1].mean() if own.size > 1 else np.nan)
    return np.array(after), np.array(before)


def unit_means(unit: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.array([values[unit == code].mean() for code in np.unique(unit)])


@pytest.mark.parametrize("size", [1.0, 2.0**500])
def test_pairs_of_repeated_units_are_regressed_by_their_means(size: float) -> None:
    unit, (control, treatment) = visits()
    control, treatment = size * control, size * treatment
    order = np.tile([1.0, -1.0, -1.0, 1.0, 1.0], 4)
    columns = [running_unit_means(unit, c) for c in (control, treatment, order)]
    after = [column[None, :] for column, _ in columns]
    c, t, x = (column[None, :] for _, column in columns)
    looks = mean_difference.paired(after[0], after[1], after[2], (c, t, x))
    for n in range(7, 21):
        means = [unit_means(unit[:n], column[:n]) for column in (control, treatment, order)]
        assert_look(looks, n - 1, (means[0], means[1], means[2]), rel=1e-8)


@pytest.mark.parametrize("size", [1.0, 2.0**500])
def test_repeated_units_of_two_arms_count_by_their_means(size: float) -> None:
    unit, (value, _) = visits()
    value = size * (value + 3)
    arm = unit % 2
    after, before = running_unit_means(unit, value)
    looks = mean_difference.two_sample(arm[None], after[None], 1, before[None])
    n, mean, squared_error = mean_difference.running_moments(after[None], before[None])
    for rows in range(7, 21):
        mine = [np.flatnonzero(arm[:rows] == side) for side in (0, 1)]
        means = [unit_means(unit[own], value[own]) / size for own in mine]
        tests = [stats.ttest_ind(means[1], means[0], equal_var=equal) for equal in (True, False)]
        gap = means[1].mean() - means[0].mean()
        scale = float(np.ravel(looks.scale)[0]) / size
        at = rows - 1
        assert looks.difference[0, at] * scale == pytest.approx(gap)
        assert looks.error[0, at] * scale == pytest.approx(max(gap / t.statistic for t in tests))
        assert looks.df[0, at] == pytest.approx(tests[1].df)
        assert looks.n[0, at] == min(m.size for m in means)
        every = unit_means(unit[:rows], value[:rows]) / size
        assert n[0, at] == every.size
        assert mean[0, at] / size == pytest.approx(every.mean())
        if size == 1:
            assert squared_error[0, at] == pytest.approx(stats.sem(every) ** 2)


def test_experiments_have_scales_of_their_own() -> None:
    values = np.array([[1.0, 4.0, 3.0, 5.0]])
    both = np.concatenate([values, 2.0**400 * values, 0 * values, np.nan * values])
    looks = mean_difference.two_sample(np.array([[0, 1, 0, 1]] * 4), both)
    assert np.ravel(looks.scale).tolist() == [1, 2.0**401, 1, 1]  # 2 from the first is 2**401
    alike = looks.difference * looks.scale
    assert alike[1, -1] == 2.0**400 * alike[0, -1]
    assert looks.error[1, -1] * 2.0**401 == pytest.approx(2.0**400 * looks.error[0, -1])
    assert looks.valid[:, -1].tolist() == [True, True, False, False]
    second = looks.only(np.array([[1], [1], [1], [1]]))
    assert second.n.tolist() == looks.n[:, 1:2].tolist()
    assert np.ravel(second.scale).tolist() == np.ravel(looks.scale).tolist()
    assert looks.last.n.tolist() == looks.n[:, -1:].tolist()


def test_looks_from_summaries() -> None:
    """n, mean and squared error by arm; Student's t of pooled variances beside Welch's."""
    n, mean, error = ([90.0, 10.0], [3.0, 4.0], [0.01, 0.1])
    a, b = ((np.array([[n[k]]]), np.array([[mean[k]]]), np.array([[error[k]]])) for k in (0, 1))
    looks = mean_difference.independent(a, b, np.array([[1.0]]), 8.0)
    sd = [math.sqrt(error[k] * n[k]) for k in (0, 1)]
    tests = [
        stats.ttest_ind_from_stats(mean[1], sd[1], 10, mean[0], sd[0], 90, equal_var=equal)
        for equal in (True, False)
    ]
    assert 1 / looks.error[0, 0] == pytest.approx(min(test.statistic for test in tests))
    assert (looks.n[0, 0], looks.n_e[0, 0], looks.control[0, 0]) == (10, 9, 3)
    assert (looks.control_variance[0, 0], looks.covariance[0, 0]) == (0.01, -0.01)
    assert looks.scale == 8


@pytest.mark.parametrize(
    ("n", "error", "valid"),
    [
        ((2.0, 2.0), (0.5, 0.5), True),
        ((2.0, 1.0), (0.5, 0.5), False),
        ((0.0, 0.0), (math.nan, math.nan), False),
        ((3.0, 3.0), (0.0, 0.0), False),
        ((3.0, 3.0), (math.inf, 0.5), False),
        ((3.0, 3.0), (1e308, 1e308), False),
    ],
)
def test_a_look_needs_two_units_an_arm_and_an_error(
    n: tuple[float, float], error: tuple[float, float], valid: bool
) -> None:
    a, b = ((np.array([[n[k]]]), np.zeros((1, 1)), np.array([[error[k]]])) for k in (0, 1))
    look = mean_difference.independent(a, b, np.zeros((1, 1)))
    assert (look.valid.tolist(), look.scale) == ([[valid]], 1)
    moments = [(np.array([[m]]), np.zeros((1, 1)), np.array([[m]])) for m in n]
    centers = np.zeros((1, 1)), np.ones((1, 1))
    looks = mean_difference.welch(moments[0], moments[1], centers, 4.0)
    assert looks.scale == 4
    assert looks.valid[0, 0] == (min(n) > 1)

"""The mixture around the planned effect, against its definition and against the best ±δ."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import integrate, special, stats

from expci.core.statistics import moment_prior, t_mixture

ALPHA = 0.05


@pytest.mark.parametrize(
    ("t", "df", "n_e"), [(0.0, 9, 10.0), (0.7, 9, 10.0), (2.5, 18, 5.0), (-3.0, 58, 15.0)]
)
@pytest.mark.parametrize("effect", [0.3, 0.8])
def test_it_is_the_mixture_of_noncentral_t_over_central_t(
    t: float, df: int, n_e: float, effect: float
) -> None:
    """By quadrature of the definition, with scipy's noncentral t."""
    g = moment_prior.variance_around(effect)

    def mixed(delta: float) -> float:
        prior = delta**4 / (3 * g * g) * stats.norm.pdf(delta, scale=math.sqrt(g))
        return float(prior * stats.nct.pdf(t, df, delta * math.sqrt(n_e)))

    expected = integrate.quad(mixed, -6, 6, points=[0], limit=200)[0] / stats.t.pdf(t, df)
    assert moment_prior.log_e_value(t, df, n_e, g) == pytest.approx(math.log(expected), abs=1e-6)


@pytest.mark.parametrize(("t", "df", "n_e"), [(0.4, 9, 10.0), (2.5, 18, 5.0), (4.0, 58, 15.0)])
@pytest.mark.parametrize("effect", [0.3, 0.8])
def test_one_sided_it_is_the_mixture_over_positive_effects(
    t: float, df: int, n_e: float, effect: float
) -> None:
    g = moment_prior.variance_around(effect)

    def mixed(delta: float) -> float:
        prior = 2 * delta**4 / (3 * g * g) * stats.norm.pdf(delta, scale=math.sqrt(g))
        return float(prior * stats.nct.pdf(t, df, delta * math.sqrt(n_e)))

    expected = integrate.quad(mixed, 0, 6, limit=200)[0] / stats.t.pdf(t, df)
    log_e = moment_prior.log_e_value_positive(t, df, n_e, g)
    assert log_e == pytest.approx(math.log(expected), abs=1e-6)
    at_zero = moment_prior.log_e_value(0.0, df, n_e, g)
    assert moment_prior.log_e_value_positive(-t, df, n_e, g) == pytest.approx(at_zero)
    assert at_zero < 0


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.2])
def test_the_critical_value_is_where_the_evidence_reaches_its_level(effect: float) -> None:
    df, n_e = np.array([3.0, 9.0, 38.0, 998.0]), np.array([2.5, 5.0, 20.0, 250.0])
    g = moment_prior.variance_around(effect)
    critical = moment_prior.critical_value(df, n_e, ALPHA, g)
    there = np.isfinite(critical)
    assert there[-1]
    log_e = moment_prior.log_e_value(critical[there], df[there], n_e[there], g)
    assert log_e == pytest.approx(-math.log(ALPHA), abs=1e-8)
    largest = moment_prior.log_e_value(1e12, df[~there], n_e[~there], g)
    assert (largest < -math.log(ALPHA)).all()


def test_it_stays_finite_and_even() -> None:
    values = moment_prior.log_e_value(np.array([-np.inf, -2.0, 2.0, np.inf]), 10, 6.0, 0.1)
    assert np.isfinite(values).all()
    assert values[:2] == pytest.approx(values[:1:-1])


@cache
def paired_t(effect: float) -> tuple[np.ndarray, np.ndarray]:
    """t after each of 5 to 120 pairs of 4,000 experiments."""
    values = np.random.default_rng(3).standard_normal((4000, 120)) + effect
    n = np.arange(1, 121)
    mean = np.cumsum(values, axis=1) / n
    squares = np.cumsum(values * values, axis=1) - n * mean * mean
    t = mean[:, 4:] / np.sqrt(squares[:, 4:] / (n[4:] - 1) / n[4:])
    return t, n[4:].astype(float)


def growth_rate_optimal(t: np.ndarray, n: np.ndarray, effect: float) -> np.ndarray:
    """log E of the two-point prior ±δ: the even part of the noncentral t's ratio."""
    y = t * t / (n - 1 + t * t)
    shift = effect * effect * n
    return np.asarray(-shift / 2 + np.log(special.hyp1f1(n / 2, 0.5, shift * y / 2)))


def test_mean_trials_are_within_a_tenth_of_the_growth_rate_optimal_test() -> None:
    """Grünwald, de Heide & Koolen's ±δ, by its own formula; both until 80 % are shown."""
    effect = 0.5
    t, n = paired_t(effect)
    usual = t_mixture.log_e_value(t, n - 1, n, effect * effect)
    g = moment_prior.variance_around(effect)
    tuned = moment_prior.log_e_value(t, n - 1, n, g)
    best = growth_rate_optimal(t, n, effect)
    means = [mean_trials(log_e, n) for log_e in (best, tuned, usual)]
    assert means[0] <= means[1] <= 1.1 * means[0]
    assert means[2] > 1.1 * means[0]


def mean_trials(log_e: np.ndarray, n: np.ndarray) -> float:
    reached = log_e >= -math.log(ALPHA)
    first = np.where(reached.any(axis=1), n[reached.argmax(axis=1)], np.inf)
    return float(np.minimum(first, np.quantile(first, 0.8, method="inverted_cdf")).mean())


def test_no_effect_is_shown_in_at_most_alpha_of_experiments() -> None:
    t, n = paired_t(0.0)
    for effect in (0.2, 0.5, 1.0):
        g = moment_prior.variance_around(effect)
        ever = (moment_prior.log_e_value(t, n - 1, n, g) >= -math.log(ALPHA)).any(axis=1)
        assert 0.01 < ever.mean() <= ALPHA

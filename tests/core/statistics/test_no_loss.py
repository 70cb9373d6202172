"""Shares of successes: the likelihoods that say whether a loss fits the data as well as none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from expci.core.statistics.no_loss import no_loss_odds, rate_at_loss

CASES = [
    (12, 12, 12, 12),
    (20, 19, 20, 18),
    (40, 30, 25, 20),
    (20, 20, 20, 17),
    (5, 0, 9, 1),
    (9, 0, 9, 0),
]


def log_likelihood(n: int, successes: int, rate: np.ndarray) -> np.ndarray:
    return np.asarray(stats.binom.logpmf(successes, n, rate))


def likeliest(case: tuple[int, int, int, int], loss: float) -> tuple[float, float]:
    """Control's rate and the log likelihood, on a fine grid."""
    n_c, x_c, n_t, x_t = case
    rate = np.linspace(loss, 1, 100_001)
    both = log_likelihood(n_c, x_c, rate) + log_likelihood(n_t, x_t, rate - loss)
    return float(rate[both.argmax()]), float(both.max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("loss", [0.02, 0.1, 0.4])
def test_the_rate_at_a_loss_is_the_likeliest_one(
    case: tuple[int, int, int, int], loss: float
) -> None:
    n_c, x_c, n_t, x_t = (np.array(float(value)) for value in case)
    assert rate_at_loss((n_c, n_t), (x_c, x_t), loss) == pytest.approx(
        likeliest(case, loss)[0], abs=2e-5
    )


@pytest.mark.parametrize("case", CASES)
def test_the_odds_are_those_of_the_two_best_fits(case: tuple[int, int, int, int]) -> None:
    n_c, x_c, n_t, x_t = (np.array(float(value)) for value in case)
    expected = np.exp(likeliest(case, 0.0)[1] - likeliest(case, 0.1)[1])
    odds = no_loss_odds((n_c, n_t), (x_c, x_t), 0.05, 1)
    assert float(odds) == pytest.approx(expected, rel=1e-4)
    # failures that are to fall are the same as successes that are to rise
    assert no_loss_odds((n_c, n_t), (n_c - x_c, n_t - x_t), 0.05, -1) == pytest.approx(odds)


def test_no_failure_in_seven_runs_each_speaks_and_in_six_it_does_not() -> None:
    """1/0.9⁷ = 2.09 and 1/0.9⁶ = 1.88: what a rate of 0.9 makes of no failure in n runs."""
    for n, expected in ((7.0, 0.9**-7), (6.0, 0.9**-6)):
        runs = np.array(n), np.array(n)
        assert float(no_loss_odds(runs, runs, 0.05, 1)) == pytest.approx(expected)


def test_nothing_is_known_without_units_in_both_arms() -> None:
    some, none = np.array(5.0), np.array(0.0)
    assert np.isnan(no_loss_odds((some, none), (some, none), 0.05, 1))

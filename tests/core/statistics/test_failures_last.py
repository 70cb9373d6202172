"""What failed runs count as: by direct optimisation, and the orders that validity rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from expci.core.dataset.moments import FloatArray
from expci.core.statistics.failures_last import ceiling, ranked_pairs, ranked_runs

FAILED = np.nan


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2, 0.4])
def test_the_ceiling_is_where_a_shift_shows_most(share: float) -> None:
    """Of min(x, a), with failures at a: (d mean / d shift)² over the variance, by quadrature."""

    def information(a: float) -> Any:
        def part(power: int) -> Any:
            inside = integrate.quad(lambda x: x**power * stats.norm.pdf(x), -9, a)[0]
            return (1 - share) * (inside + a**power * stats.norm.sf(a)) + share * a**power

        return ((1 - share) * stats.norm.cdf(a)) ** 2 / (part(2) - part(1) ** 2)

    best = optimize.minimize_scalar(lambda a: -information(a), bounds=(0.01, 5), method="bounded")
    assert float(ceiling(np.array([share]))[0]) == pytest.approx(best.x, abs=0.01)


def test_without_a_failure_so_far_a_run_counts_as_it_is() -> None:
    times = np.random.default_rng(1).normal(3, 1, (1, 40))
    assert np.array_equal(ranked_runs(times), times)
    times[0, 30] = FAILED
    assert np.array_equal(ranked_runs(times)[0, :30], times[0, :30])


def test_a_run_counts_as_earlier_ones_tell_and_not_as_it_ended() -> None:
    """Two ends of one run beyond the ceiling, one of them failed, count as much."""
    times = np.random.default_rng(2).normal(3, 1, (3, 40))
    times[1:] = times[0]
    times[:, 20] = FAILED
    times[:, 30] = 50.0, 90.0, FAILED
    counted = ranked_runs(times)
    assert np.ptp(counted[:, :31], axis=0).max() == 0
    assert counted[0, 30] < 5


def test_a_worse_end_never_counts_for_better() -> None:
    """In pairs for either run, up to the worst end: a failure."""
    rng, ends = np.random.default_rng(3), np.append(np.linspace(-4, 9, 60), FAILED)
    for correlation in (0.0, 0.5, 0.9):
        shared = rng.normal(0, np.sqrt(correlation), (1, 60))
        both = [shared + rng.normal(0, np.sqrt(1 - correlation), (1, 60)) for _ in range(2)]
        both[0][0, 20], both[1][0, 30] = FAILED, FAILED
        for other in (-2.0, 0.0, 2.0, FAILED):
            control, treatment = (np.repeat(one, ends.size, axis=0) for one in both)
            control[:, -1], treatment[:, -1] = other, ends
            assert np.all(np.diff(ranked_pairs(control, treatment)[:, -1]) >= -1e-12)
            assert np.allclose(ranked_pairs(treatment, control), -ranked_pairs(control, treatment))


def test_without_correlation_pairs_are_runs_side_by_side() -> None:
    """Far from the first pairs, where the correlation is estimated as about 0."""
    rng = np.random.default_rng(4)
    control, treatment = (failing(rng, rng.normal(0, 1, (1, 20_000))) for _ in range(2))
    both = np.stack([control, treatment], axis=2).reshape(1, -1)
    apart = np.diff(ranked_runs(both).reshape(1, -1, 2), axis=2)[..., 0]
    assert np.abs(ranked_pairs(control, treatment) - apart)[0, 10_000:].mean() < 0.03


def failing(rng: np.random.Generator, values: FloatArray) -> FloatArray:
    return np.where(rng.random(values.shape) < 0.1, FAILED, values)

"""Shrinking an estimate, against quadrature, an optimiser and simulated effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from expci.core.statistics.shrinkage import prior_share, shrunk

OPEN = (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("estimate", "error", "sd"), [(3.0, 1.0, 2.0), (-0.2, 0.1, 0.11), (0.5, 0.0, 1.0)]
)
def test_the_mean_is_that_of_the_posterior(estimate: float, error: float, sd: float) -> None:
    def weight(theta: float) -> float:
        return float(stats.norm.pdf(theta, 0, sd) * stats.norm.pdf(estimate, theta, error))

    found = float(shrunk(estimate, error, OPEN, sd).estimate)
    if not error:
        assert found == estimate
        return
    around = (min(0.0, estimate) - 6 * error, max(0.0, estimate) + 6 * error)
    mass = integrate.quad(weight, *around)[0]
    first = integrate.quad(lambda theta: theta * weight(theta), *around)[0]
    assert found == pytest.approx(first / mass, rel=1e-6)


def test_the_end_towards_no_effect_stays_and_the_other_comes_nearer() -> None:
    """f = 4/5: √f of the distance to the far end; both signs alike."""
    better = shrunk(3.0, 1.0, (0.5, 5.5), 2.0)
    assert float(better.low) == 0.5
    assert float(better.high) == pytest.approx(2.4 + np.sqrt(0.8) * 2.5)
    worse = shrunk(-3.0, 1.0, (-5.5, -0.5), 2.0)
    assert [float(end) for end in worse[1:]] == [-float(better.high), -0.5]
    much = shrunk(3.0, 1.0, (2.0, 4.0), 0.5)  # the posterior's mean, 0.6, is under the lower end
    assert float(much.low) == float(much.estimate) == 2.0
    assert float(much.high) == pytest.approx(2.0 + np.sqrt(0.2))
    harm = shrunk(-432.0, 40.0, (-433.0, -367.0), 0.11)
    assert float(harm.high) == float(harm.estimate) == -367.0
    assert float(harm.low) == pytest.approx(-367.0 - 1.0 / np.hypot(1.0, 40.0 / 0.11))
    assert np.isinf(float(shrunk(3.0, 1.0, (0.5, np.inf), 2.0).high))
    nothing = shrunk(3.0, 1e300, (-1e300, 1e300), 1e-9)  # an error beyond a float's share of it
    assert float(nothing.estimate) == 0


def test_it_has_no_bias_after_any_selection_where_the_prior_is_true() -> None:
    rng = np.random.default_rng(8)
    truth = rng.normal(0, 0.75, 200_000)
    error = rng.uniform(0.25, 0.45, truth.size)
    estimate = truth + error * rng.standard_normal(truth.size)
    won = estimate > 2.3 * error
    found = shrunk(estimate[won], error[won], OPEN, 0.75).estimate
    assert np.mean(estimate[won] - truth[won]) > 0.2
    assert np.mean(found - truth[won]) == pytest.approx(0, abs=0.01)
    errors = [np.sqrt(np.mean((one - truth[won]) ** 2)) for one in (found, estimate[won])]
    assert errors[0] < 0.85 * errors[1]


def test_a_past_tells_how_large_effects_are() -> None:
    """The most likely spread by scipy's optimiser; 5 known effects of .75 stand beside it."""
    rng = np.random.default_rng(2)
    noise = rng.uniform(0.2, 0.6, 30)
    past = rng.normal(0, 0.3, 30) + noise * rng.standard_normal(30)

    def unlikely(log_sd: float) -> float:
        sd = np.exp(log_sd)
        of_past = stats.norm.logpdf(past, 0, np.sqrt(sd**2 + noise**2)).sum()
        return -float(of_past + 5 * stats.norm.logpdf(0.75, 0, sd))

    expected = np.exp(optimize.minimize_scalar(unlikely, bounds=(-4, 2), method="bounded").x)
    found = prior_share(list(zip(past.tolist(), noise.tolist(), strict=True)))
    assert found == pytest.approx(float(expected), rel=1e-4)
    assert found < 0.6
    assert prior_share([]) == pytest.approx(0.75)

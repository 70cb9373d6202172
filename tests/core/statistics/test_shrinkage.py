"""Shrinking an estimate, against quadrature, an optimiser and simulated effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from expci.core.statistics.shrinkage import prior_share, shrunk

OPEN = (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("estimate", "error", "scale"), [(3.0, 1.0, 2.0), (-0.2, 0.1, 0.11), (0.5, 0.0, 1.0)]
)
def test_the_mean_is_that_of_the_posterior(estimate: float, error: float, scale: float) -> None:
    """And its spread, over the error, is what the interval's far end shrinks by."""

    def weight(theta: float) -> float:
        return float(stats.cauchy.pdf(theta, 0, scale) * stats.norm.pdf(estimate, theta, error))

    mean, _, high = map(float, shrunk(estimate, error, (estimate - 1, estimate + 1), scale))
    if not error:
        assert mean == estimate
        return
    around = (estimate - 9 * error, estimate + 9 * error)
    mass, first, second = (
        integrate.quad(lambda theta, k=k: theta**k * weight(theta), *around)[0] for k in range(3)
    )
    assert mean == pytest.approx(first / mass, rel=1e-6)
    sd = np.sqrt(second / mass - mean**2)
    if estimate > 0:
        assert high - mean == pytest.approx(min(1.0, sd / error), rel=1e-5)


def test_the_end_towards_no_effect_stays_and_the_other_comes_nearer() -> None:
    """Both signs alike; the estimate is always inside."""
    better = shrunk(3.0, 2.0, (0.5, 5.5), 1.0)
    assert float(better.low) == 0.5
    assert float(better.low) < float(better.estimate) < float(better.high) < 5.5
    worse = shrunk(-3.0, 2.0, (-5.5, -0.5), 1.0)
    assert [float(end) for end in worse] == [
        -float(end) for end in (better.estimate, better.high, better.low)
    ]
    much = shrunk(3.0, 2.0, (2.0, 4.0), 0.2)  # the posterior's mean is under the lower end
    assert float(much.low) == float(much.estimate) == 2.0 < float(much.high)
    harm = shrunk(-432.0, 400.0, (-433.0, -367.0), 0.11)
    assert float(harm.high) == float(harm.estimate) == -367.0 > float(harm.low)
    assert np.isinf(float(shrunk(3.0, 1.0, (0.5, np.inf), 2.0).high))
    nothing = shrunk(3.0, 1e300, (-1e300, 1e300), 1e-9)  # an error beyond a float's share of it
    assert float(nothing.estimate) == 0


def test_what_chance_does_not_explain_stays() -> None:
    """The posterior mean of a Cauchy prior: x − 2 s²x/(x² + γ²) far out."""
    assert float(shrunk(30.0, 1.0, (20.0, 40.0), 1.0).estimate) == pytest.approx(
        30 - 2 * 30 / 901, abs=1e-3
    )


def test_it_has_no_bias_after_any_selection_where_the_prior_is_true() -> None:
    rng = np.random.default_rng(8)
    truth = 0.4 * rng.standard_cauchy(200_000)
    error = rng.uniform(0.25, 0.45, truth.size)
    estimate = truth + error * rng.standard_normal(truth.size)
    won = (estimate > 2.3 * error) & (estimate < 6)
    fewer = shrunk(estimate[won], error[won], OPEN, 0.4).estimate
    assert np.mean(estimate[won] - truth[won]) > 0.1
    assert np.mean(fewer - truth[won]) == pytest.approx(0, abs=0.01)
    errors = [np.sqrt(np.mean((one - truth[won]) ** 2)) for one in (fewer, estimate[won])]
    assert errors[0] < 0.93 * errors[1]


def test_a_past_tells_how_large_effects_are() -> None:
    """The most likely scale by quadrature; 5 known effects, spread as usual, beside it."""
    rng = np.random.default_rng(2)
    noise = rng.uniform(0.2, 0.6, 30)
    past = rng.normal(0, 0.2, 30) + noise * rng.standard_normal(30)
    theta = np.linspace(-8, 8, 8001)

    def unlikely(log_scale: float) -> float:
        scale = np.exp(log_scale)
        prior = stats.cauchy.pdf(theta, 0, scale)
        one = (stats.norm.pdf(x, theta, s) for x, s in zip(past, noise, strict=True))
        of_past = sum(np.log(integrate.trapezoid(prior * like, theta)) for like in one)
        usual = stats.cauchy.ppf((np.arange(4000) + 0.5) / 4000, 0, 0.4)
        return -float(of_past + 5 * stats.cauchy.logpdf(usual, 0, scale).mean())

    expected = np.exp(optimize.minimize_scalar(unlikely, bounds=(-4, 1), method="bounded").x)
    share = prior_share(list(zip(past.tolist(), noise.tolist(), strict=True)))
    assert share == pytest.approx(float(expected), rel=0.02)
    assert share < 0.35
    assert prior_share([]) == pytest.approx(0.4)

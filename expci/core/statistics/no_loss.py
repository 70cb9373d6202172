"""Whether two shares of successes look like no loss or like a loss of a given size."""

from __future__ import annotations

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.special_functions import special

_LARGEST_LOG = 700.0  # exp of more does not fit a 64-bit float


def no_loss_odds(
    counts: tuple[FloatArray, FloatArray],
    totals: tuple[FloatArray, FloatArray],
    limit: float,
    better: int,
) -> FloatArray:
    """Return how many times as likely the data are with equal rates as with a loss.

    The loss is of twice the limit. The ratio of the two largest likelihoods, each over the rate
    that the arms share but for the loss; nan without units in both arms. Elementwise;
    (control, treatment).

    >>> twelve = np.array(12.0), np.array(12.0)
    >>> round(float(no_loss_odds(twelve, twelve, 0.05, 1)), 2)  # 1/0.9¹²
    3.54
    """
    n = np.asarray(counts[0], np.float64), np.asarray(counts[1], np.float64)
    x = totals if better > 0 else (n[0] - totals[0], n[1] - totals[1])
    loss = min(2 * abs(limit), 1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        pooled = (x[0] + x[1]) / (n[0] + n[1])
        control = rate_at_loss(n, (x[0], x[1]), loss)
        log_odds = _log_likelihood(n, x, (pooled, pooled)) - _log_likelihood(
            n, x, (control, control - loss)
        )
        odds = np.exp(np.minimum(log_odds, _LARGEST_LOG))
    return np.where(np.minimum(*n) > 0, odds, np.nan)


def _log_likelihood(
    n: tuple[FloatArray, FloatArray],
    x: tuple[FloatArray, FloatArray],
    rates: tuple[FloatArray, FloatArray],
) -> FloatArray:
    parts = (
        special.xlogy(s, rate) + special.xlogy(m - s, 1 - rate)
        for m, s, rate in zip(n, x, rates, strict=True)
    )
    return np.asarray(sum(parts))


def rate_at_loss(
    n: tuple[FloatArray, FloatArray], x: tuple[FloatArray, FloatArray], loss: float
) -> FloatArray:
    """Return control's rate that is likeliest where the treatment's is lower by `loss`.

    The root of the likelihood's cubic in closed form (Farrington & Manning 1990, appendix).

    >>> runs = np.array(20.0), np.array(20.0)
    >>> rate_at_loss(runs, (np.array(19.0), np.array(18.0)), 0.1).round(3)
    np.float64(0.962)
    """
    theta, rates = n[0] / n[1], (x[0] / n[0], x[1] / n[1])
    a, d = 1 + theta, -loss
    b = -(1 + theta + rates[1] + theta * rates[0] + d * (theta + 2))
    c = d * d + d * (2 * rates[1] + theta + 1) + rates[1] + theta * rates[0]
    e = -rates[1] * d * (1 + d)
    v = b**3 / (27 * a**3) - b * c / (6 * a * a) + e / (2 * a)
    u = np.sign(v) * np.sqrt(np.maximum(b * b / (9 * a * a) - c / (3 * a), 0.0))
    angle = np.arccos(np.clip(np.where(u == 0, 0.0, v / u**3), -1.0, 1.0))
    treatment = 2 * u * np.cos((np.pi + angle) / 3) - b / (3 * a)
    return np.asarray(np.clip(treatment, 0.0, 1.0 - loss) + loss)

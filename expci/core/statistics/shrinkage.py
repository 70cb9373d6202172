"""The winner's curse taken out of an estimate: it is shrunk towards no effect.

An experiment ends when its estimate is high, so an estimate at a promotion is too high on average.
Before its trials an effect θ is taken to be a Cauchy variable around none, with scale γ: half of
all effects are within γ, and some are many times as large. Given an estimate x with standard
error s, its density is m(x) = Re w(z)/(s √(2π)), z = (x + iγ)/(s √2), w the Faddeeva function
(Voigt's profile), and by Tweedie's formula (Robbins 1956; Efron 2011)

    E[θ] = x + s² (log m)'(x),    Var[θ] = s² + s⁴ (log m)''(x)

A likelihood does not depend on why sampling stopped, so neither does this: where effects are as
the prior says, it has no bias whatever was selected (Dawid 1994, Selection paradoxes of Bayesian
inference; van Zwet & Cator 2021, The significance filter, the winner's curse and the need to
shrink). Its long tails leave alone what no chance explains. γ is a share of the effect that was
planned; a repository's own past can tell it (empirical Bayes: Efron 2010, chapter 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.model.limits import PRIOR_SHARE, PRIOR_WEIGHT
from expci.core.special_functions import special

_SHARES = PRIOR_SHARE * np.geomspace(1 / 200, 200, 2001)  # of the planned effect
_FAR = 1e5  # standard errors: chance explains nothing of such an estimate


class Shrunk(NamedTuple):
    """An estimate and its interval after shrinking, elementwise."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def shrunk(
    estimate: FloatArray | float,
    error: FloatArray | float,
    interval: tuple[FloatArray | float, FloatArray | float],
    scale: float,
) -> Shrunk:
    """Return the posterior's mean, and the interval with its far end at √(Var/s²) of its distance.

    The end towards no effect stays: it holds at every look already, and is honest at a promotion
    (`docs/calibration.md`). The estimate does not pass it: where the mean would, the data
    contradict the prior, not the interval. Open ends stay open.

    >>> one = shrunk(3.0, 1.0, (0.5, 5.5), scale=1.0)
    >>> [round(float(number), 3) for number in one]
    [2.285, 0.5, 4.785]
    >>> float(shrunk(-30.0, 20.0, (-32.0, -28.0), scale=0.1).estimate)
    -28.0
    """
    estimate, error = np.asarray(estimate, np.float64), np.asarray(error, np.float64)
    low, high = (np.asarray(end, np.float64) for end in interval)
    mean, nearer = _posterior(estimate, error, scale)
    is_positive = estimate >= 0
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.where(is_positive, np.maximum(low, mean), np.minimum(high, mean))
        return Shrunk(
            mean,
            np.where(is_positive, low, mean - nearer * (estimate - low)),
            np.where(is_positive, mean + nearer * (high - estimate), high),
        )


def _posterior(x: FloatArray, s: FloatArray, scale: float) -> tuple[FloatArray, FloatArray]:
    """The mean, and the standard deviation over s."""
    with np.errstate(all="ignore"):
        z = (x + 1j * scale) / (s * np.sqrt(2))
        w = special.wofz(z)
        first = -2 * z * w + 2j / np.sqrt(np.pi)  # w'
        second = -2 * (w + z * first)  # w''
        slope = first.real / w.real
        mean = x + s * slope / np.sqrt(2)
        variance = 1 + (second.real / w.real - slope * slope) / 2
    certain = ~(np.abs(z) < _FAR)  # also an error of 0; there the terms cancel
    vague = s > _FAR * np.maximum(np.abs(x), scale)  # nothing but the prior is left
    mean = np.where(vague, 0.0, np.where(certain, x, mean))
    return mean, np.where(vague, 0.0, np.where(certain, 1.0, np.sqrt(np.clip(variance, 0, 1))))


def prior_share(past: Sequence[tuple[float, float]]) -> float:
    """Return γ over the planned effect, as experiments that were decided tell it.

    `past` are (estimate, standard error) of each, both over its planned effect, whatever was
    decided. The most likely γ, with the usual one counted as `PRIOR_WEIGHT` experiments more,
    whose effects were known and spread as it says: each adds E[log density] = log γ −
    2 log(γ + usual).

    >>> round(prior_share([]), 2), round(prior_share([(0.1, 0.3), (-0.2, 0.3)] * 20), 2)
    (0.4, 0.05)
    """
    likely = PRIOR_WEIGHT * (np.log(_SHARES) - 2 * np.log(_SHARES + PRIOR_SHARE))
    for estimate, error in past:
        least = max(error, 1e-9)
        z = (estimate + 1j * _SHARES) / (least * np.sqrt(2))
        likely += np.log(special.wofz(z).real)
    return float(_SHARES[np.argmax(likely)])

"""The winner's curse taken out of an estimate: it is shrunk towards no effect.

An experiment ends when its estimate is high, so an estimate at a promotion is too high on average.
Before its trials an effect θ is taken to be normal around none, with standard deviation τ. Given
an estimate with standard error s

    E[θ] = f · estimate,    f = τ²/(τ² + s²)

A likelihood does not depend on why sampling stopped, so neither does this: where effects are as
the prior says, it has no bias whatever was selected (Dawid 1994, Selection paradoxes of Bayesian
inference; van Zwet & Cator 2021, The significance filter, the winner's curse and the need to
shrink). τ is a share of the effect that was planned; a repository's own past can tell it
(empirical Bayes: Efron 2010, chapter 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.model.limits import PRIOR_SHARE, PRIOR_WEIGHT

_STEPS = 60
_LARGEST = 100.0  # planned effects: no effect is more


class Shrunk(NamedTuple):
    """An estimate and its interval after shrinking, elementwise."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def shrunk(
    estimate: FloatArray | float,
    error: FloatArray | float,
    interval: tuple[FloatArray | float, FloatArray | float],
    prior_sd: float,
) -> Shrunk:
    """Return the posterior's mean, and the interval with its far end shrunk to √f of its distance.

    The end towards no effect stays: it holds at every look already, and is honest at a promotion
    (`docs/calibration.md`). The estimate does not pass it: where the mean would, the data
    contradict the prior, not the interval. Open ends stay open.

    >>> one = shrunk(3.0, 1.0, (0.5, 5.5), prior_sd=2.0)
    >>> [round(float(number), 3) for number in one]
    [2.4, 0.5, 4.636]
    >>> float(shrunk(-30.0, 1.0, (-32.0, -28.0), prior_sd=0.1).estimate)
    -28.0
    """
    estimate, error = np.asarray(estimate, np.float64), np.asarray(error, np.float64)
    low, high = (np.asarray(end, np.float64) for end in interval)
    is_positive = estimate >= 0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        nearer = 1 / np.hypot(1.0, error / prior_sd)
        mean = nearer * nearer * estimate
        mean = np.where(is_positive, np.maximum(low, mean), np.minimum(high, mean))
        return Shrunk(
            mean,
            np.where(is_positive, low, mean - nearer * (estimate - low)),
            np.where(is_positive, mean + nearer * (high - estimate), high),
        )


def prior_share(past: Sequence[tuple[float, float]]) -> float:
    """Return τ over the planned effect, as experiments that were decided tell it.

    `past` are (estimate, standard error) of each, both over its planned effect, whatever was
    decided. The most likely τ², with the usual share counted as `PRIOR_WEIGHT` experiments more,
    whose effects were known.

    >>> round(prior_share([]), 3), round(prior_share([(0.1, 0.3), (-0.2, 0.3)] * 20), 2)
    (0.75, 0.34)
    """
    pairs = np.array(past, dtype=np.float64).reshape(-1, 2)
    squares, noise = pairs[:, 0] ** 2, pairs[:, 1] ** 2
    low, high = 0.0, _LARGEST**2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        variance = middle + noise
        slope = np.sum((squares - variance) / variance**2)
        slope += PRIOR_WEIGHT * (PRIOR_SHARE**2 - middle) / middle**2
        low, high = (middle, high) if slope > 0 else (low, middle)
    return float(np.sqrt((low + high) / 2))

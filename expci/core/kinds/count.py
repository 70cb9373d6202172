"""Events per trial (errors, retries, tool calls): whole numbers from 0 up, compared by means.

The spread is measured, never Poisson's: counts of one process vary more than their mean says,
and what is not in the variance comes out as false alarms. The difference of the arms' means has
the evidence of `mean`; only what a trial's value is, and what trials are simulated, differ.
"""

from __future__ import annotations

import math

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.kinds import continuous
from expci.core.kinds.contrast import Contrast, Simulated
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.model.results import Comparison


def compare(contrast: Contrast) -> Comparison:
    """Difference of means; improvement is it as a share of control's mean."""
    return continuous.compare(contrast)[0]


def look_evidence(simulated: Simulated) -> LookEvidence:
    """The same at every look of simulated experiments."""
    return continuous.look_evidence(simulated)


def drawn(mean: float, sd: float, size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Return counts with that mean and sd: negative binomial, Poisson or binomial.

    The negative binomial is Poisson with a gamma rate (Greenwood & Yule 1920); a variance under
    the mean is binomial, with the nearest whole number of chances.

    >>> counts = drawn(2.0, 3.0, (100, 100), np.random.default_rng(1))
    >>> bool(abs(counts.mean() - 2) < 0.1), bool(abs(counts.std() - 3) < 0.1)
    (True, True)
    """
    excess = sd * sd - mean
    if mean <= 0:
        return np.zeros(size)
    if excess > 0:
        shape = mean * mean / excess
        return rng.poisson(rng.gamma(shape, mean / shape, size)).astype(np.float64)
    if excess == 0:
        return rng.poisson(mean, size).astype(np.float64)
    chances = max(round(mean * mean / -excess), int(np.ceil(mean)))
    return rng.binomial(chances, mean / chances, size).astype(np.float64)


def pilot_counts(mean: float, sd: float, z: FloatArray) -> FloatArray:
    """Return the counts that have these standard scores; `sd` is the sample's."""
    n = int(np.sum(~np.isnan(z)))
    return np.rint(mean + sd * math.sqrt(1 - 1 / n) * z)


def resampled(pilot: FloatArray, row: IntArray, rng: np.random.Generator) -> FloatArray:
    """Return the pilot's counts in these rows as they are; where one has none, that of another."""
    counts, there = pilot[row], np.flatnonzero(~np.isnan(pilot))
    missing = np.isnan(counts)
    counts[missing] = pilot[there[rng.integers(0, there.size, int(missing.sum()))]]
    return counts


def multiplied(
    counts: FloatArray, share: float, where: BoolArray, rng: np.random.Generator
) -> FloatArray:
    """Return counts whose mean is 1 + `share` times as large `where` it says so.

    Each event is kept by chance, or brings further ones: they stay whole and as uneven.
    """
    whole: IntArray = counts.astype(np.int64)
    if share < 0:
        other = rng.binomial(whole, max(0.0, 1 + share))
    else:
        other = whole + rng.poisson(share * whole)
    return np.where(where, other, counts)

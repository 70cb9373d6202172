"""Events per trial (errors, retries, tool calls): whole numbers from 0 up, compared by means.

The spread is measured, never Poisson's: counts of one process vary more than their mean says,
and what is not in the variance comes out as false alarms. The difference of the arms' means has
the evidence of `mean`; only what a trial's value is, and what trials are simulated, differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.kinds import draws
from expci.core.kinds.draws import Draw
from expci.core.kinds.mean import compare, look_evidence, pilot_values, spread, stated_values
from expci.core.model import limits

__all__ = ["compare", "draw", "look_evidence", "pilot_values", "spread", "stated_values"]


def draw(values: Draw) -> Mapping[str, FloatArray]:
    """Draw the pilot's counts, or some with the stated mean and sd; the effect multiplies events.

    In a pilot's pairs the differences are resampled, which need not be whole numbers.

    >>> from expci.core.model.experiment import Baseline, Limit, Metric
    >>> from support.examples import drawing
    >>> errors = Metric("errors", "primary", "count", "decrease", baseline=Baseline(4.0, 3.0))
    >>> halved = drawing(errors, stated_values(errors), Limit(0.5, relative=True))
    >>> counts = draw(halved)["errors"][0]
    >>> round(counts[:1000].mean()), round(counts[1000:].mean()), bool((counts % 1 == 0).all())
    (4, 2, True)
    """
    control, rng, change = values.control, values.rng, draws.shift(values)
    if control.pairs is not None:
        return {values.metric.name: draws.shifted(values, change)}
    if control.z.size:
        pilot = _pilot_counts(control.mean, control.sd, control.z)
        counts = draws.without_gaps(pilot, values.row, rng)
    else:
        counts = _stated_counts(values)
    share = change / control.mean if control.mean else 0.0
    return {values.metric.name: multiplied(counts, share, values.arm == 1, rng)}


def _stated_counts(values: Draw) -> FloatArray:
    control, (experiments, trials) = values.control, values.row.shape
    own = drawn(control.mean, control.sd, (experiments, trials), values.rng)
    if values.visits is None:
        return own
    by_arm = draws.in_arms(values.visits, values.arm)
    of_cases = drawn(control.mean, control.sd, (experiments, by_arm.cases), values.rng)
    return by_arm.copied(own, of_cases, control.case_share, values.rng)


def drawn(mean: float, sd: float, size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Return counts with that mean and sd: negative binomial, Poisson or binomial.

    The negative binomial is Poisson with a gamma rate (Greenwood & Yule 1920); a variance under
    the mean is binomial, with the nearest whole number of chances.

    >>> counts = drawn(2.0, 3.0, (100, 100), np.random.default_rng(1))
    >>> bool(abs(counts.mean() - 2) < 0.1), bool(abs(counts.std() - 3) < 0.1)
    (True, True)
    """
    excess = min(sd * sd - mean, limits.EVENTS**2)
    if mean <= 0:
        return np.zeros(size)
    if excess > 0:
        shape = mean * mean / excess
        rates = np.minimum(rng.gamma(shape, mean / shape, size), limits.EVENTS)
        return rng.poisson(rates).astype(np.float64)
    if excess == 0:
        return rng.poisson(mean, size).astype(np.float64)
    chances = max(round(mean * mean / -excess), int(np.ceil(mean)))
    return rng.binomial(chances, mean / chances, size).astype(np.float64)


def _pilot_counts(mean: float, sd: float, z: FloatArray) -> FloatArray:
    """Return the counts that have these standard scores; `sd` is the sample's."""
    n = int(np.sum(~np.isnan(z)))
    return np.rint(mean + sd * math.sqrt(1 - 1 / n) * z)


def multiplied(
    counts: FloatArray, share: float, where: BoolArray, rng: np.random.Generator
) -> FloatArray:
    """Return counts whose mean is 1 + `share` times as large `where` it says so.

    Each event is kept by chance, or brings further ones: they stay whole and as uneven.

    >>> counts, rng = np.full((1, 1000), 4.0), np.random.default_rng(1)
    >>> halved = multiplied(counts, -0.5, np.ones(counts.shape, dtype=np.bool_), rng)
    >>> round(halved.mean()), bool((halved % 1 == 0).all())
    (2, True)
    """
    whole: IntArray = counts.astype(np.int64)
    if share < 0:
        other = rng.binomial(whole, max(0.0, 1 + share))
    else:
        other = whole + rng.poisson(share * whole)
    return np.where(where, other, counts)

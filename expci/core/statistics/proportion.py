"""Proportions of two arms: the safe 2 × 2 test at every look, Agresti-Caffo at planned ones.

Also what is reported beside the evidence: the log odds ratio, and the flat prior's chance
that the treatment is better.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from expci.core.dataset.moments import FloatArray, moments
from expci.core.dataset.unit_paths import UnitPath
from expci.core.model.experiment import Metric
from expci.core.statistics import betting, classical
from expci.core.statistics.inference import Ends, Measured, Snapshot
from expci.core.statistics.sample_size import Spread, scale_sd
from expci.core.statistics.t_mixture import Rules, Sequence
from expci.core.statistics.two_arms import Sample

WORDS = ("safe 2x2", "Agresti-Caffo")
_POINTS = 2001


def measured(units: Sample, sizes: tuple[int, int]) -> Measured:
    """Both arms' shares of successes as evidence."""
    found = betting.blocks(units.control, units.treatment, sizes)

    def anytime(rules: Rules) -> Sequence | None:
        return betting.two_proportions(found, rules.alpha, rules.harm)

    def at(n: int) -> Snapshot | None:
        then = units.until(n)
        return agresti_caffo(then.control.final, then.treatment.final)

    silent = "no block of units of both arms is complete"
    return Measured(units.n, anytime, at, WORDS, silent)


def agresti_caffo(control: FloatArray, treatment: FloatArray) -> Snapshot | None:
    """Wald's test and interval after one success and one failure were added to each arm.

    Agresti & Caffo (2000), who show that it covers well from 10 per arm. `None` without units.
    """
    if not control.size or not treatment.size:
        return None
    n = np.array([control.size + 2, treatment.size + 2], dtype=np.float64)
    rate = (np.array([control.sum(), treatment.sum()]) + 1) / n
    error = math.sqrt(float(np.sum(rate * (1 - rate) / n)))
    difference = float(rate[1] - rate[0])

    def ends(critical: float) -> tuple[Ends, Ends]:
        low, high = difference - critical * error, difference + critical * error
        return (max(low, -1.0), min(high, 1.0)), (-math.inf, math.inf)

    return Snapshot(difference / error, ends)


def log_odds_ratio(
    control: FloatArray, treatment: FloatArray, level: float
) -> tuple[float, tuple[float, float]] | None:
    """log odds of treatment over control, half a success and failure added to each arm.

    Estimate and standard error of Haldane (1956) and Anscombe (1956), Wald interval. `None`
    without units.
    """
    if not control.size or not treatment.size:
        return None
    cells = [
        float(count) + 0.5
        for arm in (treatment, control)
        for count in (arm.sum(), arm.size - arm.sum())
    ]
    value = math.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    margin = -float(special.ndtri((1 - level) / 2)) * math.sqrt(sum(1 / cell for cell in cells))
    return value, (value - margin, value + margin)


def flat_prior(
    control: FloatArray, treatment: FloatArray, better: int
) -> tuple[float, float] | None:
    """(chance that the treatment's rate is better, expected loss of shipping it).

    Both rates uniform on [0, 1] a priori, so Beta(1 + successes, 1 + failures) after. The
    loss is E[max(0, what is lost)] in points: the integral of one distribution function
    times the other's complement. `None` without units.
    """
    if not control.size or not treatment.size:
        return None
    shapes = [(1 + float(x.sum()), 1 + float(x.size - x.sum())) for x in (control, treatment)]
    ends = [special.betaincinv(a, b, [1e-12, 1 - 1e-12]) for a, b in shapes]
    x = np.linspace(min(e[0] for e in ends), max(e[1] for e in ends), _POINTS)
    below = [special.betainc(a, b, x) for a, b in shapes]  # of control, of treatment
    density = np.diff(below[0])
    middle = (below[1][1:] + below[1][:-1]) / 2
    higher = 1 - float(np.sum(density * middle)) / float(np.sum(density))
    lost = below[1] * (1 - below[0]) if better > 0 else below[0] * (1 - below[1])
    loss = float(np.sum((lost[1:] + lost[:-1]) / 2 * np.diff(x)))
    return (higher if better > 0 else 1 - higher), loss


def power(metric: Metric, control: UnitPath, treatment: UnitPath, alpha: float) -> float | None:
    """Power of the fixed test at the planned effect, with the n and rate so far."""
    rates = moments(control.final), moments(treatment.final)
    if metric.minimum_effect is None or not rates[0].n or not rates[1].n:
        return None
    sd = scale_sd(metric, Spread(rates[0].mean, rates[0].sd or 0.0), "randomized")
    if not sd:
        return None
    n = 2 * rates[0].n * rates[1].n / (rates[0].n + rates[1].n)
    return classical.two_sample_power(metric.minimum_effect.value, sd, n, alpha)

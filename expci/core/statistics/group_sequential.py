"""Group-sequential boundaries: what each planned look may spend of alpha, and where it stops.

Lan & DeMets (1983): a function of the information fraction says how much alpha is spent by
then, so that looks may fall anywhere and their number need not be fixed in advance. The boundary of
each look follows by recursive numerical integration of the score's density over the
paths that have not stopped yet (Armitage, McPherson & Rowe 1969; grid and weights of
Jennison & Turnbull 2000, section 19.2-3). All boundaries are for |z|, two-sided, alpha/2 a side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from expci.core.dataset.moments import FloatArray
from expci.core.model.experiment import PlanRules, Spending

_GRID = 18  # r of Jennison & Turnbull: 6 r − 1 points and those between; errors under 1e-6
_FARTHEST = 38.0  # beyond this |z| a 64-bit float holds no probability
_STEPS = 60

Spend = Callable[[float], float]


def spent(fraction: float, alpha: float, spending: Spending, rho: float = 3.0) -> float:
    """What one side of level `alpha` has spent at an information fraction 0..1.

    O'Brien-Fleming-like 2 − 2Φ(z(alpha/2)/√t), Pocock-like alpha ln(1 + (e − 1)t) (Lan & DeMets
    1983), power family alpha t^rho (Kim & DeMets 1987).
    """
    t = min(max(fraction, 0.0), 1.0)
    if t == 0:
        return 0.0
    if spending == "pocock":
        return alpha * math.log1p((math.e - 1) * t)
    if spending == "power":
        return float(alpha * t**rho)
    return float(2 * special.ndtr(special.ndtri(alpha / 2) / math.sqrt(t)))


@dataclass(frozen=True)
class _Density:
    """The sub-density of z at one look over the paths that go on: points, weights × density."""

    z: FloatArray
    mass: FloatArray
    information: float


def _points(mean: float, low: float, high: float) -> tuple[FloatArray, FloatArray]:
    """Points and Simpson weights on [low, high], densest around `mean` (J & T, 19.2)."""
    i = np.arange(1, 6 * _GRID)
    middle = -3 + 3 * (i - _GRID) / (2 * _GRID)
    with np.errstate(divide="ignore"):
        left = -3 - 4 * np.log(_GRID / i)
        right = 3 + 4 * np.log(_GRID / (6 * _GRID - i))
    x = mean + np.where(i < _GRID, left, np.where(i <= 5 * _GRID, middle, right))
    x = np.concatenate([[low], x[(x > low) & (x < high)], [high]])
    x = np.maximum.accumulate(np.clip(x, mean - _FARTHEST, mean + _FARTHEST))
    z = np.empty(2 * x.size - 1)
    z[::2], z[1::2] = x, (x[1:] + x[:-1]) / 2
    weight = np.zeros(z.size)
    width = np.diff(x)
    weight[:-1:2] += width / 6
    weight[2::2] += width / 6
    weight[1::2] = 4 * width / 6
    return z, weight


def _first(low: float, high: float, information: float, drift: float) -> _Density:
    mean = drift * math.sqrt(information)
    z, weight = _points(mean, low, high)
    return _Density(
        z, weight * np.exp(-((z - mean) ** 2) / 2) / math.sqrt(2 * math.pi), information
    )


def _next(before: _Density, low: float, high: float, information: float, drift: float) -> _Density:
    step = information - before.information
    z, weight = _points(drift * math.sqrt(information), low, high)
    gap = z[:, None] * math.sqrt(information) - before.z * math.sqrt(before.information)
    kernel = np.exp(-((gap - drift * step) ** 2) / (2 * step)) / math.sqrt(2 * math.pi * step)
    density = math.sqrt(information) * (kernel @ before.mass)
    return _Density(z, weight * density, information)


def _density(
    before: _Density | None, low: float, high: float, information: float, drift: float
) -> _Density:
    if before is None:
        return _first(low, high, information, drift)
    return _next(before, low, high, information, drift)


def _above(before: _Density | None, bound: float, information: float, drift: float) -> float:
    """P(the look is reached and z > `bound` there)."""
    if before is None:
        return float(special.ndtr(drift * math.sqrt(information) - bound))
    step = information - before.information
    gap = bound * math.sqrt(information) - before.z * math.sqrt(before.information)
    return float(before.mass @ special.ndtr((drift * step - gap) / math.sqrt(step)))


def _bound(before: _Density | None, probability: float, information: float, drift: float) -> float:
    """The bound that is passed upwards with `probability`; at most `_FARTHEST`."""
    if _above(before, _FARTHEST, information, drift) >= probability:
        return _FARTHEST
    low, high = -_FARTHEST, _FARTHEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _above(before, middle, information, drift) > probability:
            low = middle
        else:
            high = middle
    return high


def boundaries_by(fractions: tuple[float, ...], spend: Spend) -> tuple[float, ...]:
    """Critical |z| at increasing information fractions; `spend` is one side's cumulative alpha."""
    bounds: list[float] = []
    before, total = None, 0.0
    for fraction in fractions:
        amount = spend(fraction)
        bound = _bound(before, max(amount - total, 0.0), fraction, 0.0)
        before = _density(before, -bound, bound, fraction, 0.0)
        total = amount
        bounds.append(bound)
    return tuple(bounds)


@lru_cache(maxsize=512)
def boundaries(
    fractions: tuple[float, ...], alpha: float, spending: Spending, rho: float = 3.0
) -> tuple[float, ...]:
    """Critical |z| of each look for a two-sided `alpha`."""
    return boundaries_by(fractions, lambda t: spent(t, alpha / 2, spending, rho))


def exit_probabilities(
    fractions: tuple[float, ...],
    upper: tuple[float, ...],
    drift: float,
    lower: tuple[float, ...] | None = None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """P(stop above), P(stop below) at each look. `drift` is E[z] at full information."""
    below_bounds = lower or tuple(-bound for bound in upper)
    above, below = list[float](), list[float]()
    before = None
    for fraction, low, high in zip(fractions, below_bounds, upper, strict=True):
        above.append(_above(before, high, fraction, drift))
        reached = 1.0 if before is None else float(np.sum(before.mass))
        below.append(max(reached - _above(before, low, fraction, drift), 0.0))
        before = _density(before, min(low, high), high, fraction, drift)
    return tuple(above), tuple(below)


def drift_for(fractions: tuple[float, ...], upper: tuple[float, ...], power: float) -> float:
    """The drift at which a boundary is crossed on its own side with probability `power`."""
    low, high = 0.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        enough = sum(exit_probabilities(fractions, upper, middle)[0]) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def fractions_of(looks: int) -> tuple[float, ...]:
    """Equally spaced information fractions, the last one 1."""
    return tuple((k + 1) / looks for k in range(looks))


@lru_cache(maxsize=64)
def inflation(
    looks: int, alpha: float, power: float, spending: Spending, rho: float = 3.0
) -> float:
    """The maximum sample as a multiple of the fixed one (Jennison & Turnbull 2000, 2.3.2)."""
    fractions = fractions_of(looks)
    drift = drift_for(fractions, boundaries(fractions, alpha, spending, rho), power)
    fixed = float(special.ndtri(1 - alpha / 2) + special.ndtri(power))
    return (drift / fixed) ** 2


def futility_by(
    fractions: tuple[float, ...], upper: tuple[float, ...], spend: Spend
) -> tuple[tuple[float, ...], float]:
    """Non-binding lower bounds that spend beta, and the drift that they are for.

    The upper bounds are computed without them, so overruling them costs no alpha (as
    test.type = 4 of gsDesign). The drift is the one at which both bounds meet at the end.
    """
    low, high = 0.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        meets = _lower_bounds(fractions, upper, spend, middle)[-1] >= upper[-1]
        low, high = (low, middle) if meets else (middle, high)
    lower = _lower_bounds(fractions, upper, spend, high)
    return (*lower[:-1], upper[-1]), high


def _lower_bounds(
    fractions: tuple[float, ...], upper: tuple[float, ...], spend: Spend, drift: float
) -> tuple[float, ...]:
    bounds: list[float] = []
    before, total = None, 0.0
    for fraction, high in zip(fractions, upper, strict=True):
        amount = max(spend(fraction) - total, 0.0)
        reached = 1.0 if before is None else float(np.sum(before.mass))
        bound = _bound(before, reached - amount, fraction, drift) if amount > 0 else -_FARTHEST
        bounds.append(bound)
        before = _density(before, min(bound, high), high, fraction, drift)
        total += amount
    return tuple(bounds)


@lru_cache(maxsize=64)
def futility(
    fractions: tuple[float, ...], alpha: float, beta: float, spending: Spending, rho: float = 3.0
) -> tuple[float, ...]:
    """Lower bounds for z in the hoped-for direction, beta spent by the same function."""
    upper = boundaries(fractions, alpha, spending, rho)
    return futility_by(fractions, upper, lambda t: spent(t, beta, spending, rho))[0]


def p_value(
    z: tuple[float, ...], fractions: tuple[float, ...], rules: PlanRules, alpha: float
) -> float:
    """The smallest two-sided level at which some look would have stopped.

    The sequential p-value (Liu & Anderson 2008): valid at any of the looks, usable in Holm's
    procedure (Maurer & Bretz 2013), never rising, and <= alpha exactly when the boundary
    of `alpha` was reached.
    """
    crossed = _excess(z, fractions, rules, alpha) >= 0
    low, high = (math.log(1e-15), math.log(alpha)) if crossed else (math.log(alpha), 0.0)
    level = math.exp(_root(lambda x: _excess(z, fractions, rules, math.exp(x)), low, high))
    return min(level, alpha) if crossed else max(level, math.nextafter(alpha, 1.0))


def _excess(
    z: tuple[float, ...], fractions: tuple[float, ...], rules: PlanRules, alpha: float
) -> float:
    bounds = boundaries(fractions, alpha, rules.spending, rules.rho)
    return max(abs(value) - bound for value, bound in zip(z, bounds, strict=True))


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where a growing function passes 0: the Illinois method; an end where it does not."""
    f_low, f_high = excess(low), excess(high)
    if f_low >= 0:
        return low
    if f_high < 0:
        return high
    for _ in range(_STEPS):
        middle = high - f_high * (high - low) / (f_high - f_low)
        value = excess(middle)
        if abs(high - low) < 1e-7 or abs(value) < 1e-7:
            return middle
        if value >= 0:
            high, f_high, f_low = middle, value, f_low / 2
        else:
            low, f_low, f_high = middle, value, f_high / 2
    return high

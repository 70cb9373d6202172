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

from expci.core.dataset.moments import FloatArray
from expci.core.model.experiment import PlanRules, Spending
from expci.core.special_functions import special

_GRID = 18  # r of Jennison & Turnbull: 6 r − 1 points and those between; errors under 1e-6
_FARTHEST = 38.0  # beyond this |z| a 64-bit float holds no probability
_STEPS = 60
_PRECISION = 1e-10  # of a bound
_LEVELS = 60  # of a table of boundaries
_LEAST_LOG_LEVEL, _LARGEST_LOG_LEVEL = math.log(1e-15), math.log(0.999)

Spend = Callable[[float], float]


def spent(fraction: float, alpha: float, spending: Spending, rho: float = 3.0) -> float:
    """Return what one side of level `alpha` has spent at an information fraction 0..1.

    O'Brien-Fleming-like 2 − 2Φ(z(alpha/2)/√t), Pocock-like alpha ln(1 + (e − 1)t) (Lan & DeMets
    1983), power family alpha t^rho (Kim & DeMets 1987).

    >>> round(spent(0.5, 0.025, "obrien-fleming"), 4), spent(0.5, 0.025, "power", rho=1)
    (0.0015, 0.0125)
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


def _standard_points() -> FloatArray:
    """The points around a mean of 0 (J & T, 19.2)."""
    i = np.arange(1, 6 * _GRID)
    middle = -3 + 3 * (i - _GRID) / (2 * _GRID)
    left = -3 - 4 * np.log(_GRID / i)
    right = 3 + 4 * np.log(_GRID / (6 * _GRID - i))
    return np.where(i < _GRID, left, np.where(i <= 5 * _GRID, middle, right))


_STANDARD_POINTS = _standard_points()


def _points(mean: float, low: float, high: float) -> tuple[FloatArray, FloatArray]:
    """Points and Simpson weights on [low, high], densest around `mean`."""
    x = mean + _STANDARD_POINTS
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
    """The bound that is passed upwards with `probability`; at most `_FARTHEST`.

    By Newton's method on logarithms: the density is log-concave, so that after one step every
    further one comes nearer from above.
    """
    if _above(before, _FARTHEST, information, drift) >= probability:
        return _FARTHEST
    if _above(before, -_FARTHEST, information, drift) <= probability:
        return -_FARTHEST
    bound = drift * math.sqrt(information) - float(special.ndtri(probability))
    for _ in range(_STEPS):
        bound = min(max(bound, -_FARTHEST), _FARTHEST)
        above = _above(before, bound, information, drift)
        if above == 0:
            bound /= 2
            continue
        step = math.log(above / probability) * above / _slope(before, bound, information, drift)
        bound += step
        if abs(step) < _PRECISION:
            break
    return bound


def _slope(before: _Density | None, bound: float, information: float, drift: float) -> float:
    """The density of z at `bound` where the look is reached."""
    if before is None:
        return float(_normal(bound - drift * math.sqrt(information)))
    step = information - before.information
    gap = bound * math.sqrt(information) - before.z * math.sqrt(before.information)
    density = before.mass @ _normal((gap - drift * step) / math.sqrt(step))
    return max(float(density) * math.sqrt(information / step), 1e-300)


def _normal(z: FloatArray | float) -> FloatArray:
    return np.asarray(np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi))


def boundaries_by(fractions: tuple[float, ...], spend: Spend) -> tuple[float, ...]:
    """Return critical |z| at increasing information fractions.

    `spend` is one side's cumulative alpha.

    >>> [round(bound, 2) for bound in boundaries_by((0.5, 1.0), lambda t: 0.025 * t)]
    [2.24, 2.13]
    """
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
    """Return critical |z| of each look for a two-sided `alpha`.

    >>> [round(bound, 3) for bound in boundaries((0.5, 1.0), 0.05, "obrien-fleming")]
    [2.963, 1.969]
    """
    return boundaries_by(fractions, lambda t: spent(t, alpha / 2, spending, rho))


def exit_probabilities(
    fractions: tuple[float, ...],
    upper: tuple[float, ...],
    drift: float,
    lower: tuple[float, ...] | None = None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return P(stop above) and P(stop below) at each look; `drift` is E[z] at full information.

    `lower` are bounds below, `upper` with the other sign where none are given.

    >>> above, below = exit_probabilities((1.0,), (1.96,), drift=2.8)
    >>> round(above[0], 2), round(below[0], 5)
    (0.8, 0.0)
    """
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
    """Return the drift at which a boundary is crossed on its own side with probability `power`.

    >>> round(drift_for((1.0,), (1.96,), 0.8), 2)  # z(.975) + z(.8)
    2.8
    """
    low, high = 0.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        enough = sum(exit_probabilities(fractions, upper, middle)[0]) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def fractions_of(looks: int) -> tuple[float, ...]:
    """Return equally spaced information fractions, the last one 1.

    >>> fractions_of(4)
    (0.25, 0.5, 0.75, 1.0)
    """
    return tuple((k + 1) / looks for k in range(looks))


@lru_cache(maxsize=64)
def inflation(
    looks: int,
    alpha: float,
    power: float,
    spending: Spending,
    rho: float = 3.0,
    reserve: float = 0.0,
) -> float:
    """Return the maximum sample as a multiple of the fixed one (Jennison & Turnbull 2000, 2.3.2).

    The looks spend all of alpha but the share `reserve`, the fixed test all of it.

    >>> round(inflation(1, 0.05, 0.8, "pocock"), 3), round(inflation(2, 0.05, 0.8, "pocock"), 2)
    (1.0, 1.12)
    """
    fractions, spendable = fractions_of(looks), alpha * (1 - reserve)
    drift = drift_for(fractions, boundaries(fractions, spendable, spending, rho), power)
    return (drift / fixed_drift(alpha, power)) ** 2


def fixed_drift(alpha: float, power: float) -> float:
    """Return E[z] at which one two-sided test at `alpha` has that power.

    >>> round(fixed_drift(0.05, 0.9), 3)  # 1.960 + 1.282
    3.242
    """
    return float(special.ndtri(1 - alpha / 2) + special.ndtri(power))


def mean_fraction(fractions: tuple[float, ...], upper: tuple[float, ...], drift: float) -> float:
    """Return the mean share of the maximum sample that is used until a boundary is reached.

    >>> upper = boundaries((0.5, 1.0), 0.05, "obrien-fleming")
    >>> round(mean_fraction((0.5, 1.0), upper, drift=2.8), 2)  # a sixth of them stop half-way
    0.92
    """
    above, below = exit_probabilities(fractions, upper, drift)
    stops = np.array(above) + np.array(below)
    return float(stops @ np.array(fractions)) + float(1 - stops.sum())


def futility_by(
    fractions: tuple[float, ...], upper: tuple[float, ...], spend: Spend
) -> tuple[tuple[float, ...], float]:
    """Return non-binding lower bounds that spend beta, and the drift that they are for.

    The upper bounds are computed without them, so overruling them costs no alpha (as
    test.type = 4 of gsDesign). The drift is the one at which both bounds meet at the end.

    >>> lower, drift = futility_by((1.0,), (1.96,), lambda t: 0.2 * t)
    >>> lower, round(drift, 2)
    ((1.96,), 2.8)
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
    """Return lower bounds for z in the hoped-for direction, beta spent by the same function.

    >>> [round(bound, 2) for bound in futility((0.5, 1.0), 0.05, 0.2, "pocock")]
    [1.08, 2.2]
    """
    upper = boundaries(fractions, alpha, spending, rho)
    return futility_by(fractions, upper, lambda t: spent(t, beta, spending, rho))[0]


def p_value(
    z: tuple[float, ...], fractions: tuple[float, ...], rules: PlanRules, alpha: float
) -> float:
    """Return the smallest two-sided level at which some look would have stopped.

    The sequential p-value (Liu & Anderson 2008): valid at any of the looks, usable in Holm's
    procedure (Maurer & Bretz 2013), never rising, and <= alpha exactly when the boundary
    of `alpha` was reached.

    >>> round(p_value((1.0, 2.5758), (0.5, 1.0), PlanRules(spending="obrien-fleming"), 0.05), 3)
    0.01
    """
    excess = _excess(z, fractions, rules, alpha)
    level = math.exp(_level(z, fractions, rules, (math.log(alpha), excess)))
    return min(level, alpha) if excess >= 0 else max(level, math.nextafter(alpha, 1.0))


def _level(
    z: tuple[float, ...],
    fractions: tuple[float, ...],
    rules: PlanRules,
    first: tuple[float, float],
) -> float:
    """The log level at which the best look is at its boundary, by secants from `first`.

    Squares of boundaries fall by about 2 where log alpha grows by 1.
    """
    (x, excess), slope = first, 2.0
    for _ in range(_STEPS):
        nearer = min(max(x - excess / slope, _LEAST_LOG_LEVEL), _LARGEST_LOG_LEVEL)
        if abs(nearer - x) < 1e-6:
            break
        new = _excess(z, fractions, rules, math.exp(nearer))
        slope = max((new - excess) / (nearer - x), 0.2)
        x, excess = nearer, new
    return x


@lru_cache(maxsize=64)
def _boundary_table(
    fractions: tuple[float, ...], alpha: float, spending: Spending, rho: float
) -> tuple[FloatArray, FloatArray]:
    """Levels, falling and `alpha` among them, and each look's boundary at each: [levels, looks]."""
    levels = np.union1d(np.geomspace(1e-9, 0.999, _LEVELS), [alpha])[::-1]
    bounds = [boundaries(fractions, float(level), spending, rho) for level in levels]
    return levels, np.array(bounds)


def p_values(
    z: FloatArray, fractions: tuple[float, ...], alpha: float, spending: Spending, rho: float = 3.0
) -> FloatArray:
    """Return `p_value` after each look of many experiments [experiments, looks], from a table.

    Between its levels log p is linear in z²: under 0.1 to 0.1 % of it. <= alpha exactly where the
    boundary of `alpha` was reached.

    >>> p_values(np.array([[2.5, 2.5]]), (0.5, 1.0), 0.05, "pocock").round(3)
    array([[0.02, 0.02]])
    """
    levels, bounds = _boundary_table(fractions, alpha, spending, rho)
    at_look = np.ones(z.shape)
    for look in range(z.shape[1]):
        squares, log_level = bounds[:, look] ** 2, np.log(levels)
        at_look[:, look] = np.exp(np.interp(z[:, look] ** 2, squares, log_level))
        reached = np.abs(z[:, look]) >= bounds[levels == alpha, look]
        kept = at_look[:, look]
        at_look[:, look] = np.where(
            reached, np.minimum(kept, alpha), np.maximum(kept, np.nextafter(alpha, 1.0))
        )
    return np.minimum.accumulate(at_look, axis=1)


def _excess(
    z: tuple[float, ...], fractions: tuple[float, ...], rules: PlanRules, alpha: float
) -> float:
    """How far the best look is beyond its boundary, in squares: those are nearly linear in log
    alpha."""
    bounds = boundaries(fractions, alpha, rules.spending, rules.rho)
    return max(value * value - bound * bound for value, bound in zip(z, bounds, strict=True))

"""Many experiments at once: the statistics of `sequential` and `betting` in arrays.

Every array is [experiments, trials] or [experiments, looks] in the ledger's order; nan
stands for "no value". The formulas are those modules' own; only the sums run along the
second axis here. Planning and calibration simulate thousands of experiments with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.statistics.betting import BETS
from expci.core.statistics.classical import fieller
from expci.core.statistics.t_mixture import (
    Looks,
    Rules,
    critical_value,
    log_e_value,
    log_e_value_positive,
)

_EPSILON = float(np.finfo(np.float64).eps)
_LOG_2 = float(np.log(2.0))
_GRID = 2.0**-13  # `betting` finds the ends of its intervals on this grid, outwards
_Running = tuple[FloatArray, FloatArray, FloatArray]  # n, mean about the center, m2


def two_sample(
    arm: IntArray, value: FloatArray, treatment: int, before: FloatArray | None = None
) -> Looks:
    """Treatment − control by Welch's t after every trial.

    `value` is the mean of the trial's unit after it, `before` the same before it, nan for
    a unit's first trial; without it every trial is its own unit.
    """
    present = [(arm == index) & ~np.isnan(value) for index in (0, treatment)]
    centers = [_mean(value, mine) for mine in present]
    scale = np.maximum(*(_widest(value, m, c) for m, c in zip(present, centers, strict=True)))
    a, b = (_running(value, m, c, before, scale) for m, c in zip(present, centers, strict=True))
    return _welch(a, b, centers)


def _mean(value: FloatArray, mine: BoolArray) -> FloatArray:
    """A number inside each row's values, so that sums about it don't cancel."""
    count = np.maximum(mine.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.where(mine, value, 0.0).sum(axis=1, keepdims=True) / count)


def _widest(value: FloatArray, mine: BoolArray, center: FloatArray) -> FloatArray:
    return np.asarray(np.where(mine, np.abs(value - center), 0.0).max(axis=1, keepdims=True))


def _running(
    value: FloatArray,
    mine: BoolArray,
    center: FloatArray,
    before: FloatArray | None,
    scale: FloatArray,
) -> _Running:
    z = np.where(mine, value - center, 0.0)
    if before is None:
        n, s, q = (np.cumsum(column, axis=1) for column in (mine.astype(float), z, z * z))
    else:
        again = mine & ~np.isnan(before)
        old = np.where(again, before - center, 0.0)
        n = np.cumsum((mine & ~again).astype(float), axis=1)
        s, q = np.cumsum(z - old, axis=1), np.cumsum(z * z - old * old, axis=1)
    mean = s / np.maximum(n, 1)
    m2 = q - s * mean
    m2 *= m2 > 16 * _EPSILON * scale**2 * n
    return n, mean, m2


def _welch(a: _Running, b: _Running, centers: list[FloatArray]) -> Looks:
    (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = a, b
    with np.errstate(divide="ignore", invalid="ignore"):
        v_a, v_b = m2_a / (n_a * (n_a - 1)), m2_b / (n_b * (n_b - 1))
        share = v_a / (v_a + v_b)
        df = 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))
        n = np.minimum(n_a, n_b)
        return Looks(
            n=n,
            difference=mean_b - mean_a + (centers[1] - centers[0]),
            error=np.sqrt(v_a + v_b),
            df=df,
            n_e=n_a * n_b / (n_a + n_b),
            control=mean_a + centers[0],
            control_variance=v_a,
            covariance=-v_a,
            valid=(n >= 2) & (v_a + v_b > 0),
            scale=1.0,
        )


def paired(control: FloatArray, treatment: FloatArray, position: FloatArray) -> Looks:
    """Treatment − control after every pair, freed of the position in the pair.

    `position` is +1 where treatment ran first, else −1; a pair with a nan is left out.
    """
    there = ~np.isnan(control + treatment)
    centers = [_mean(control, there), _mean(treatment, there)]
    c = np.where(there, control - centers[0], 0.0)
    t = np.where(there, treatment - centers[1], 0.0)
    scale = np.maximum(np.abs(c), np.abs(t)).max(axis=1, keepdims=True)
    n = np.cumsum(there, axis=1).astype(np.float64)
    return _paired(c, t, np.where(there, position, 0.0), n, centers, scale)


def _paired(
    c: FloatArray,
    t: FloatArray,
    x: FloatArray,
    n: FloatArray,
    centers: list[FloatArray],
    scale: FloatArray,
) -> Looks:
    d, least = t - c, np.maximum(n, 1)
    sums = {name: np.cumsum(v, axis=1) for name, v in (("x", x), ("c", c), ("d", d))}
    mean_x, mean_c, mean_d = (sums[name] / least for name in "xcd")
    sxx = np.cumsum(x * x, axis=1) - n * mean_x**2
    both = sxx > 1e-9
    df = np.where(both, n - 2, n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        lever = np.where(both, mean_x / sxx, 0.0)
        leverage = 1 / n + lever * mean_x
        sxc, sxd = (np.cumsum(x * v, axis=1) - mean_x * sums[k] for k, v in (("c", c), ("d", d)))

        def error(
            u: FloatArray, v: FloatArray, product: FloatArray, rest: FloatArray
        ) -> FloatArray:
            left = np.cumsum(u * v, axis=1) - rest / n - np.where(both, product / sxx, 0.0)
            return np.asarray(left * leverage / df)

        variance = error(d, d, sxd * sxd, sums["d"] ** 2)
        noise = 64 * _EPSILON * n * leverage / np.maximum(df, 1) * scale**2
        return Looks(
            n=n,
            difference=mean_d - lever * sxd + (centers[1] - centers[0]),
            error=np.sqrt(np.maximum(variance, 0)),
            df=df,
            n_e=1 / leverage,
            control=mean_c - lever * sxc + centers[0],
            control_variance=error(c, c, sxc * sxc, sums["c"] ** 2),
            covariance=error(c, d, sxc * sxd, sums["c"] * sums["d"]),
            valid=(df >= 1) & (variance > noise),
            scale=1.0,
        )


def running_moments(
    value: FloatArray, before: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """n, mean and squared standard error of the units so far (nan under two), by row."""
    there = ~np.isnan(value)
    center = _mean(value, there)
    n, mean, m2 = _running(value, there, center, before, _widest(value, there, center))
    with np.errstate(divide="ignore", invalid="ignore"):
        return n, mean + center, np.where(n >= 2, m2 / (n * (n - 1)), np.nan)


@dataclass(frozen=True)
class Weighable:
    """The looks at which evidence may be taken, with t; elsewhere harmless numbers."""

    looks: Looks
    at: BoolArray
    t: FloatArray
    df: FloatArray
    n_e: FloatArray


def weighable(looks: Looks, start: int) -> Weighable:
    at = looks.valid & (looks.n >= start)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(at, looks.difference / looks.error, 0.0)
    return Weighable(looks, at, t, np.where(at, looks.df, 1.0), np.where(at, looks.n_e, 1.0))


def evidence(found: Weighable, rules: Rules) -> FloatArray:
    """The largest two-sided log E so far, −inf before any."""
    return _largest(found, log_e_value(found.t, found.df, found.n_e, rules.scale))


def harm_evidence(found: Weighable, rules: Rules) -> FloatArray:
    """The largest one-sided log E of harm so far, −inf before any.

    The share of the mixture on harmful effects, which is dear to compute, is between a half
    and 1 where t is harmful, and under a half elsewhere. So the one-sided log E is within log 2
    above the two-sided one, or below it, and only looks that may raise the maximum are computed.
    """
    t = rules.harm * found.t
    both = log_e_value(t, found.df, found.n_e, rules.scale)
    at_least = np.where(found.at & (t >= 0), both, -np.inf)
    at_most = np.where(t >= 0, both + _LOG_2, both)
    may_raise = found.at & (at_most >= np.maximum.accumulate(at_least, axis=1) - 1e-9)
    log_e = np.full(t.shape, -np.inf)
    df, n_e = found.df[may_raise], found.n_e[may_raise]
    log_e[may_raise] = log_e_value_positive(t[may_raise], df, n_e, rules.scale)
    return np.asarray(np.maximum.accumulate(log_e, axis=1))


def _largest(found: Weighable, log_e: FloatArray) -> FloatArray:
    return np.maximum.accumulate(np.where(found.at, log_e, -np.inf), axis=1)


def p_value(log_e: FloatArray) -> FloatArray:
    """min(1, 1/E); 1 where there is no evidence."""
    return np.exp(-np.maximum(log_e, 0.0))


def anytime_interval(found: Weighable, rules: Rules) -> tuple[FloatArray, FloatArray]:
    """The running intersection of the intervals of the difference; infinite before any."""
    critical = _critical(found, rules)
    with np.errstate(invalid="ignore"):
        margin = np.where(found.at, critical * found.looks.error, np.inf)
    difference = np.where(found.at, found.looks.difference, 0.0)
    return _intersection(difference - margin, difference + margin)


def anytime_ratio(found: Weighable, rules: Rules) -> tuple[FloatArray, FloatArray]:
    """The same as a share of control's mean, by Fieller."""
    return _intersection(*fieller_at(found.looks, np.asarray, _critical(found, rules)))


def fieller_at(
    looks: Looks, at: Callable[[FloatArray], FloatArray], critical: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Limits of the ratio with the critical value `critical`; `at` picks the looks."""
    return fieller(
        at(looks.control),
        at(looks.difference),
        at(looks.control_variance),
        at(looks.error) ** 2,
        at(looks.covariance),
        critical,
    )


def _critical(found: Weighable, rules: Rules) -> FloatArray:
    return np.where(found.at, critical_value(found.df, found.n_e, rules.alpha, rules.scale), np.inf)


def _intersection(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.maximum.accumulate(low, axis=1), np.minimum.accumulate(high, axis=1)


def t_quantile(df: FloatArray, alpha: float) -> FloatArray:
    """The two-sided critical value of Student's t."""
    return np.asarray(-special.stdtrit(df, alpha / 2))


@dataclass(frozen=True)
class BlockDifferences:
    """The complete blocks of both arms, [experiments, blocks]: treatment − control, 0 if none.

    `complete` is how many of them are complete at each look.
    """

    difference: FloatArray
    complete: IntArray

    def mirrored(self) -> BlockDifferences:
        return BlockDifferences(-self.difference, self.complete)

    def of(self, rows: BoolArray) -> BlockDifferences:
        return BlockDifferences(self.difference[rows], self.complete[rows])


def blocks(
    arm: IntArray, value: FloatArray, treatment: int, sizes: tuple[int, int] = (1, 1)
) -> BlockDifferences:
    """As `betting.blocks`, where every trial is its own unit."""
    present = [(arm == index) & ~np.isnan(value) for index in (0, treatment)]
    counts = [np.cumsum(mine, axis=1) // size for mine, size in zip(present, sizes, strict=True)]
    complete = np.minimum(*counts)
    most = int(complete[:, -1].max(initial=0))
    means = [
        _in_order(value, mine, most * size).reshape(-1, most, size).mean(axis=2)
        for mine, size in zip(present, sizes, strict=True)
    ]
    there = np.arange(most) < complete[:, -1:]
    difference = np.where(there, np.round(np.clip(means[1] - means[0], -1, 1), 12), 0.0)
    return BlockDifferences(difference, complete)


def _in_order(value: FloatArray, mine: BoolArray, most: int) -> FloatArray:
    """The first `most` values of one arm in each row."""
    number = np.cumsum(mine, axis=1) - 1
    row, column = np.nonzero(mine & (number < most))
    found = np.zeros((value.shape[0], most))
    found[row, number[row, column]] = value[row, column]
    return found


def exceeds(found: BlockDifferences, delta: float | FloatArray) -> FloatArray:
    """The largest log E so far against "the difference is at most `delta`", at each look.

    `delta` is one number, or one for each experiment. −inf before a complete block.
    """
    if not found.difference.shape[1]:
        return np.full(found.complete.shape, -np.inf)
    below = np.reshape(np.asarray(delta, dtype=np.float64), (-1, 1))
    share = (found.difference - below) / (1 + below)
    total = [np.cumsum(np.log1p(bet * share), axis=1) for bet in BETS]
    peak = np.maximum.reduce(total)
    weight = sum((np.exp(one - peak) for one in total), np.zeros_like(peak))
    largest = np.maximum.accumulate(peak + np.log(weight / len(BETS)), axis=1)
    at = np.take_along_axis(largest, np.maximum(found.complete - 1, 0), axis=1)
    return np.where(found.complete > 0, at, -np.inf)


def lower_end_above(found: BlockDifferences, bound: float, alpha: float) -> BoolArray:
    """Whether the lower end of `betting`'s interval is above `bound`, at each look."""
    point = -1 + (np.floor((bound + 1) / _GRID) + 1) * _GRID
    if point <= -1 or point >= 1:
        return np.full(found.complete.shape, point <= -1)
    return np.asarray(exceeds(found, float(point)) >= -np.log(alpha))


def crossed(found: BlockDifferences, look: IntArray, alpha: float) -> BoolArray:
    """Whether each experiment's interval is empty at its `look`: its two ends are crossed."""
    upto = np.take_along_axis(found.complete, look[:, None], axis=1)
    now = BlockDifferences(found.difference, upto)
    inside = _inside_now(now, alpha)
    crossed_ends = np.zeros(look.shape, dtype=np.bool_)
    open_ones = ~inside
    if open_ones.any():
        rest = now.of(open_ones)
        ends = _lower_ends(rest, alpha / 2) + _lower_ends(rest.mirrored(), alpha / 2)
        crossed_ends[open_ones] = ends > 0
    return crossed_ends


def _inside_now(now: BlockDifferences, alpha: float) -> BoolArray:
    """Whether the mean difference itself is refuted from neither side: then nothing is crossed."""
    there = np.arange(now.difference.shape[1]) < now.complete
    mean = np.where(there, now.difference, 0.0).sum(axis=1) / np.maximum(now.complete[:, 0], 1)
    mean = np.clip(mean, -0.99, 0.99)
    bound = -np.log(alpha / 2)
    above, below = exceeds(now, mean), exceeds(now.mirrored(), -mean)
    return np.asarray((above[:, 0] < bound) & (below[:, 0] < bound))


def _lower_ends(now: BlockDifferences, alpha: float) -> FloatArray:
    low = np.full(now.difference.shape[0], -1.0)
    high, bound = -low, -np.log(alpha)
    while np.any(high - low > _GRID):
        middle = (low + high) / 2
        refuted = exceeds(now, middle)[:, 0] >= bound
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return low


@dataclass(frozen=True)
class LastLook:
    """Many experiments as they stand now, arrays [experiments]; nan where nothing varies.

    `p_value` and `harm_p_value` are this look's own, valid at whatever time one looks; the
    running ones of `weigh` can only be smaller. `interval` likewise. `welch_p_value` is the
    classical test's.
    """

    difference: FloatArray
    error: FloatArray
    df: FloatArray
    cohens_d: FloatArray
    welch_p_value: FloatArray
    p_value: FloatArray
    harm_p_value: FloatArray
    interval: tuple[FloatArray, FloatArray]


def last_look(control: FloatArray, treatment: FloatArray, rules: Rules) -> LastLook:
    """One look at many experiments: values [experiments, units] of both arms, none missing."""
    (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = _final(control), _final(treatment)
    with np.errstate(divide="ignore", invalid="ignore"):
        v_a, v_b = m2_a / (n_a * (n_a - 1)), m2_b / (n_b * (n_b - 1))
        share = v_a / (v_a + v_b)
        df = 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))
        error, difference = np.sqrt(v_a + v_b), mean_b - mean_a
        t = difference / error
        pooled = np.sqrt((m2_a + m2_b) / (n_a + n_b - 2))
    n_e = np.full(t.shape, n_a * n_b / (n_a + n_b))
    margin = critical_value(df, n_e, rules.alpha, rules.scale) * error
    return LastLook(
        difference=difference,
        error=error,
        df=df,
        cohens_d=difference / pooled,
        welch_p_value=2 * special.stdtr(df, -np.abs(t)),
        p_value=p_value(log_e_value(t, df, n_e, rules.scale)),
        harm_p_value=p_value(log_e_value_positive(rules.harm * t, df, n_e, rules.scale)),
        interval=(difference - margin, difference + margin),
    )


def _final(values: FloatArray) -> tuple[int, FloatArray, FloatArray]:
    """n, mean and second moment of each row, in two passes, so that nothing cancels."""
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    return values.shape[1], mean, np.einsum("ij,ij->i", centred, centred)

"""A ratio of means (cost per token, errors per run): the delta method after every trial.

R = mean numerator / mean denominator of an arm's units varies like the mean of
(y − R x)/x̄ (Deng, Knoblich & Lu 2018, eq. 2-3); units with several trials count by their
means. The standard errors go into the t-mixture of `sequential`, its scale set for the
planned total N* by the asymptotic confidence sequence's rule (Waudby-Smith, Arbour, Sinha,
Kennedy & Ramdas 2024, eq. 24), ρ² = (−2 log alpha + log(−2 log alpha) + 1)/N*. It holds as
samples grow: no evidence before 20 per arm (simulated with denominators of log-sd 1, a look
after every trial to 150 per arm: false alarms of 5 % are .053 from 10 per arm, .043 from 20).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.statistics import mean_difference, t_mixture
from expci.core.statistics.mean_difference import EPSILON, SILENT, Looks
from expci.core.statistics.outcome import Words
from expci.core.statistics.two_arms import Sample, Visits

START = 20
WORDS = Words("delta method, asymptotic", "delta method")


def asymptotic_scale(total: int | None, alpha: float) -> float:
    """Return g of the mixture over the standardised effect that is best at a total of N* units.

    A balanced total n has n_e = n/4, so g = 4 ρ² (ρ² as above). Kept within 0.1 to 2, what was
    simulated; `None` units get the t-mixture's own scale.

    >>> round(asymptotic_scale(100, 0.05), 3), asymptotic_scale(10, 0.05)
    (0.351, 2.0)
    """
    if not total:
        return t_mixture.SCALE
    width = -2 * math.log(alpha)
    return min(2.0, max(0.1, 4 * (width + math.log(width) + 1) / total))


@dataclass(frozen=True)
class Fractions:
    """Numerator and denominator of both arms' units, of the same trials."""

    numerator: Sample
    denominator: Sample

    @property
    def n(self) -> int:
        return self.numerator.n

    def until(self, units: int) -> Fractions:
        return Fractions(self.numerator.until(units), self.denominator.until(units))

    def values(self) -> tuple[float, float] | None:
        """R of control and of treatment; `None` where a mean denominator is 0."""
        ratios = []
        for top, bottom in zip(self.numerator.arms(), self.denominator.arms(), strict=True):
            if not bottom.size or not np.mean(bottom):
                return None
            ratios.append(float(np.mean(top) / np.mean(bottom)))
        return ratios[0], ratios[1]

    def single_ratios(self) -> tuple[FloatArray, FloatArray]:
        """Each unit's own ratio, by arm."""
        control, treatment = (
            single_ratios(top, bottom)
            for top, bottom in zip(self.numerator.arms(), self.denominator.arms(), strict=True)
        )
        return control, treatment

    def looks(self) -> Looks | None:
        """The difference of ratios with its delta-method error, one row; `None` without trials."""
        if self.numerator.pairs is not None:
            top, bottom = self.numerator, self.denominator
            if not top.n:
                return None
            if top.visits is not None and bottom.visits is not None:
                return _of_visits(top.visits, bottom.visits)
            return paired(_as_row(top.pair_values()), _as_row(bottom.pair_values()))
        (arm, top_mean, before), (_, bottom_mean, old) = (
            self.numerator.row(),
            self.denominator.row(),
        )
        if not arm.size:
            return None
        repeated = None if before is None or old is None else (before, old)
        return two_sample(arm, top_mean, bottom_mean, 1, repeated)

    def pair_looks(self) -> Looks | None:
        """The same after every pair as though each were a unit of its own; `None` where it is."""
        top, bottom = self.numerator.visits, self.denominator.visits
        if top is None or bottom is None:
            return None
        return paired(
            _as_row((top.control, top.treatment)), _as_row((bottom.control, bottom.treatment))
        )


def _as_row(pair: tuple[FloatArray, FloatArray]) -> list[FloatArray]:
    return [column[None, :] for column in pair]


def _of_visits(top: Visits, bottom: Visits) -> Looks:
    """The difference of the ratios of the units' means after every pair."""
    paths = [visits.paths[:2] for visits in (top, bottom)]
    now, before = (
        [[getattr(path, name)[None, :] for path in pair] for pair in paths]
        for name in ("mean", "before")
    )
    return paired(now[0], now[1], (before[0], before[1]))


def single_ratios(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return each unit's own ratio: the first one's where they differ by rounding alone.

    Units of 0/0 have none and add nothing to their arm's.

    >>> single_ratios(np.array([0.1, 0.3, 0.0, 1.0]), np.array([1.0, 3.0, 0.0, 2.0]))
    array([0.1, 0.1, 0.5])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = numerator / denominator
    ratios = ratios[~np.isnan(ratios)]
    first = ratios[:1]
    return np.where(np.isclose(ratios, first, rtol=_ROUNDING, atol=0), first, ratios)


_ROUNDING = 16 * EPSILON


def one_arm(numerator: FloatArray, denominator: FloatArray) -> tuple[float, float] | None:
    """Return the ratio of means and the sd of one unit's linearised share in it.

    `None` under two units or where the mean denominator is 0.

    >>> ratio, sd = one_arm(np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 2.0])) or (0.0, 0.0)
    >>> ratio, round(sd, 3)  # of 0.5, 1 and 3
    (1.5, 1.323)
    """
    if numerator.size < 2 or not np.mean(denominator):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean(denominator))
        ratio = float(np.mean(numerator)) / mean
        return ratio, float(np.std((numerator - ratio * denominator) / mean, ddof=1))


@SILENT
def two_sample(
    arm: IntArray,
    top: FloatArray,
    bottom: FloatArray,
    treatment: int = 1,
    before: tuple[FloatArray, FloatArray] | None = None,
) -> Looks:
    """Return treatment − control of the ratios after every trial, from [experiments, trials].

    `before` are the means of the trial's unit before it, nan for a unit's first trial; without
    it every trial is its own unit.

    >>> cost, tokens = np.array([[1.0, 4.0, 3.0, 6.0]]), np.array([[2.0, 2.0, 2.0, 2.0]])
    >>> looks = two_sample(np.array([[0, 1, 0, 1]]), cost, tokens)
    >>> looks.control[0, -1], looks.difference[0, -1], looks.error[0, -1].round(3)
    (np.float64(1.0), np.float64(1.5), np.float64(0.707))
    """
    there = ~np.isnan(top + bottom)
    control, treated = (
        _one_arm((arm == index) & there, (top, bottom), before) for index in (0, treatment)
    )
    with np.errstate(invalid="ignore"):
        difference = treated[1] - control[1]
    looks = mean_difference.independent(control, treated, difference)
    finite = np.isfinite(looks.difference) & np.isfinite(looks.df)
    return replace(looks, valid=looks.valid & finite & (looks.error > 0))


def _one_arm(
    mine: BoolArray,
    columns: tuple[FloatArray, FloatArray],
    before: tuple[FloatArray, FloatArray] | None,
) -> mean_difference.Running:
    """n, ratio and its squared error after every trial."""
    again = mine & ~np.isnan(before[0]) if before is not None else None
    new = mine if again is None else mine & ~again
    n = np.cumsum(new, axis=1, dtype=np.float64)
    (mean_y, mean_x), cross = _running(columns, mine, n, before, again)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = mean_y / mean_x
        spread = cross[0, 0] - 2 * ratio * cross[0, 1] + ratio**2 * cross[1, 1]
        variance = spread / mean_x**2 / (n * (n - 1))
        return n, ratio, np.where(variance > 64 * EPSILON * ratio**2, variance, 0.0)


def _running(
    columns: Sequence[FloatArray],
    mine: BoolArray,
    n: FloatArray,
    before: Sequence[FloatArray] | None = None,
    again: BoolArray | None = None,
) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
    """Running means and cross products about them, by column."""
    size, first = np.maximum(n, 1), mine.argmax(axis=1)[:, None]
    centers = [np.nan_to_num(np.take_along_axis(c, first, axis=1), nan=0.0) for c in columns]
    z = [np.where(mine, c - center, 0.0) for c, center in zip(columns, centers, strict=True)]
    old = None
    if before is not None and again is not None:
        old = [np.where(again, b - center, 0.0) for b, center in zip(before, centers, strict=True)]

    def added(i: int, j: int) -> FloatArray:
        product = z[i] * z[j]
        return product if old is None else product - old[i] * old[j]

    sums = [np.cumsum(c if old is None else c - old[i], axis=1) for i, c in enumerate(z)]
    cross = {
        (i, j): np.cumsum(added(i, j), axis=1) - sums[i] * sums[j] / size
        for i in range(len(z))
        for j in range(i, len(z))
    }
    return [s / size + center for s, center in zip(sums, centers, strict=True)], cross


@SILENT
def paired(
    top: Sequence[FloatArray],
    bottom: Sequence[FloatArray],
    before: tuple[Sequence[FloatArray], Sequence[FloatArray]] | None = None,
) -> Looks:
    """Return the same for pairs [experiments, pairs], (control, treatment); all four means covary.

    Where a unit has several pairs the columns are its means after each pair, and `before` those
    before it (nan: the unit's first).

    >>> two = np.array([[2.0, 2.0]])
    >>> looks = paired((np.array([[1.0, 3.0]]), np.array([[4.0, 8.0]])), (two, two))
    >>> looks.difference[0, -1], looks.error[0, -1]  # 2 of the pairs' 1.5 and 2.5
    (np.float64(2.0), np.float64(0.5))
    """
    columns = [top[0], bottom[0], top[1], bottom[1]]
    there = ~np.isnan(sum(columns, np.zeros(top[0].shape)))
    old = None if before is None else [before[0][0], before[1][0], before[0][1], before[1][1]]
    again = None if old is None else there & ~np.isnan(old[0])
    n = np.cumsum(there if again is None else there & ~again, axis=1, dtype=np.float64)
    mean, cross = _running(columns, there, n, old, again)
    with np.errstate(divide="ignore", invalid="ignore"):
        control, treatment = mean[0] / mean[1], mean[2] / mean[3]
        c = [1 / mean[1], -control / mean[1], None, None]
        t = [None, None, 1 / mean[3], -treatment / mean[3]]
        size = n * (n - 1)
        v_c, v_t, both = (_quadratic(a, cross, b) / size for a, b in ((c, c), (t, t), (c, t)))
        variance = v_c + v_t - 2 * both
        noise = 64 * EPSILON * (control**2 + treatment**2)
        valid = (n >= 2) & (variance > noise) & np.isfinite(control) & np.isfinite(treatment)
        return Looks(
            n=n,
            difference=treatment - control,
            error=np.sqrt(np.maximum(variance, 0.0)),
            df=n - 1,
            n_e=n,
            control=control,
            control_variance=v_c,
            covariance=both - v_c,
            valid=valid,
        )


_Gradient = list[FloatArray | None]


def _quadratic(
    left: _Gradient, cross: dict[tuple[int, int], FloatArray], right: _Gradient
) -> FloatArray:
    parts = [
        a * b * cross[min(i, j), max(i, j)]
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if a is not None and b is not None
    ]
    return np.asarray(sum(parts[1:], parts[0]))

"""Quantiles of two arms: exact evidence from counts, with no assumption on the distribution.

Of n units, the number at or below the q-quantile is binomial (n, q). For a point x the
likelihood ratio of "fewer than q lie at or below it", mixed over Beta(rq, r(1 − q)) cut off at
q, is a test martingale (Robbins 1970; Howard & Ramdas 2022, "Sequential estimation of quantiles",
section 3); so is that of "more lie below it". If the treatment's quantile is not larger
than control's, some x has q or more of the treatment at or below it and no more than q of
control below it; so

    inf over x of  E_few(treatment, x) · E_many(control, x)

is at most what those two independent martingales are at that x: exact evidence, at every
look, that the treatment's quantile is larger. Shifting one arm and inverting gives an
interval for the difference. In pairs, where the arms depend on each other, the mean of the
two takes the place of their product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.dataset.unit_paths import UnitPath
from expci.core.special_functions import special
from expci.core.statistics import classical
from expci.core.statistics.outcome import Words
from expci.core.statistics.row_by_row import Look, RowByRow, RowEvidence, UnitsRow, look_numbers
from expci.core.statistics.statistic import RowEnds
from expci.core.statistics.two_arms import Sample

WORDS = Words(
    "exact counts",
    "order statistics",
    "the sample does not reach far enough beyond the quantile",
)
RELATIVE = "relative interval: the difference over control's quantile, whose own error is ignored"
FIELLER = "relative interval: Fieller (1954) on quantiles with order-statistic errors"
_WIDTH = 1.959963984540054  # order statistics this many standard errors apart give the error


@dataclass(frozen=True)
class Tables:
    """log E for every count 0..n of n units at or below a point, for the q-quantile."""

    few: FloatArray
    many: FloatArray


@lru_cache(maxsize=4096)
def tables(n: int, q: float, strength: float) -> Tables:
    """Return log E for every count 0..n; `strength` is r: about how many units the prior is worth.

    >>> np.exp(tables(2, 0.5, 2.0).few).round(2)  # the mean over the binomial ¼, ½, ¼ is 1
    array([2.33, 0.67, 0.33])
    """
    a, b, k = strength * q, strength * (1 - q), np.arange(n + 1, dtype=np.float64)
    null = k * math.log(q) + (n - k) * math.log1p(-q)
    mixed = special.betaln(a + k, b + n - k) - special.betaln(a, b) - null
    with np.errstate(divide="ignore"):
        few = np.log(special.betainc(a + k, b + n - k, q)) - np.log(special.betainc(a, b, q))
        many = np.log(special.betainc(b + n - k, a + k, 1 - q)) - np.log(
            special.betainc(b, a, 1 - q)
        )
    return Tables(mixed + few, mixed + many)


def log_e_larger(
    control: FloatArray, treatment: FloatArray, many: FloatArray, few: FloatArray, paired: bool
) -> float:
    """Return log E that the treatment's quantile is larger; the arms' values sorted.

    `many` are control's table, `few` the treatment's.

    >>> two = tables(2, 0.5, 2.0)
    >>> log_e = log_e_larger(np.array([1.0, 2.0]), np.array([3.0, 4.0]), two.many, two.few, False)
    >>> round(math.exp(log_e), 2)  # 2.33 × 0.33: at x = 1 nothing is below
    0.78
    """
    at = np.searchsorted(treatment, control, "right")
    of_treatment = few[np.append(at, treatment.size)]
    if paired:
        return float(np.min(np.logaddexp(many, of_treatment))) - math.log(2)
    return float(np.min(many + of_treatment))


def lower_end(
    control: FloatArray,
    treatment: FloatArray,
    many: FloatArray,
    few: FloatArray,
    paired: bool,
    threshold: float,
) -> float:
    """Return the shift up to which all are refuted as too small, at log E >= `threshold`.

    At x = control's (i+1)-th value, with i below it, the treatment may have at most K_i
    values at or below x + δ: so δ stays under its (K_i + 1)-th value − x, for every i. −inf where
    none is refuted.

    >>> many, few, control = tables(40, 0.5, 4.0).many, tables(40, 0.5, 4.0).few, np.arange(40.0)
    >>> lower_end(control, control + 100, many, few, False, math.log(40))
    85.0
    """
    if paired:
        with np.errstate(divide="ignore"):
            gap = np.expm1(np.minimum(many - threshold - math.log(2), 0.0))
            needed = threshold + math.log(2) + np.log(-gap)
    else:
        needed = threshold - many
    most = np.searchsorted(-few, -needed, "right") - 1  # few falls with the count
    if most[-1] < treatment.size or np.any(most < 0):
        return -math.inf
    bound = most[:-1] < treatment.size
    if not np.any(bound):
        return math.inf
    return float(np.min(treatment[most[:-1][bound]] - control[bound]))


@dataclass(frozen=True)
class QuantileTest(RowByRow):
    """The difference of the arms' q-quantiles by exact counts, [experiments, looks].

    `strength` is what the prior is worth in units. Each side is tested at alpha/2, so p <= alpha
    as the interval leaves 0.
    """

    q: float = 0.5
    strength: float = 2.0

    def row_evidence(self, row: UnitsRow) -> RowEvidence:
        paired, start = row.units.pairs is not None, self.rules.start
        by_look = [
            (look, self._one_look(np.sort(control), np.sort(treatment), paired))
            for look, control, treatment in row.samples()
            if min(control.size, treatment.size) >= start
        ]
        if not by_look:
            return row.nothing()
        at = np.array([look for look, _ in by_look], dtype=np.int64)
        table = np.array([numbers for _, numbers in by_look])
        low, high = np.maximum.accumulate(table[:, 2]), np.minimum.accumulate(table[:, 3])
        return row.spread(at, (table[:, 0], table[:, 1]), low, high)

    def _one_look(
        self, c: FloatArray, t: FloatArray, paired: bool
    ) -> tuple[float, float, float, float]:
        """log E of larger and of smaller, and the interval's ends; values sorted."""
        of_c, of_t = (tables(values.size, self.q, self.strength) for values in (c, t))
        threshold = -math.log(self.rules.alpha / 2)
        return (
            log_e_larger(c, t, of_c.many, of_t.few, paired),
            log_e_larger(t, c, of_t.many, of_c.few, paired),
            lower_end(c, t, of_c.many, of_t.few, paired, threshold),
            -lower_end(t, c, of_t.many, of_c.few, paired, threshold),
        )

    def row_share(self, row: UnitsRow) -> float | None:
        """Relative ends refer to control's quantile, as if that had no error."""
        return value(row.units.arms()[0], self.q)

    def row_look(self, units: Sample) -> Look | None:
        return one_look(units, self.q)


def samples_at_looks(units: Sample) -> list[tuple[int, FloatArray, FloatArray]]:
    """Return the unit means of both arms at each of `look_numbers`, of a real experiment (look 0).

    >>> from expci.core.dataset.unit_paths import unit_path
    >>> index, value = np.arange(3), np.array([5.0, 7.0, 6.0])
    >>> units = Sample(*(unit_path(index % 2 == arm, index, value) for arm in (0, 1)))
    >>> [(c.tolist(), t.tolist()) for _, c, t in samples_at_looks(units)]
    [([5.0], []), ([5.0], [7.0]), ([5.0, 6.0], [7.0])]
    """
    if units.pairs is not None:
        control, treatment = units.pair_values()
        sizes = look_numbers(control.size) + 1
        return [(0, control[:n], treatment[:n]) for n in sizes]
    moments = np.sort(np.concatenate([units.control.position, units.treatment.position]))
    positions = moments[look_numbers(moments.size)].tolist()
    return [
        (0, _at(units.control, position), _at(units.treatment, position)) for position in positions
    ]


def _at(values: UnitPath, position: int) -> FloatArray:
    return values.before_position(position + 1).final


def strength_for(total: int | None) -> float:
    """Return r for a planned total of units.

    By the analogy of N(0, ρ²) mixtures (Waudby-Smith et al. 2024).
    100 units are assumed where none are planned (`None`).

    >>> strength_for(900), strength_for(9)
    (100.0, 2.0)
    """
    return max(2.0, (total or 100) / 9)


def value(values: FloatArray, q: float) -> float | None:
    """Return the sample quantile, linear between order statistics (Hyndman & Fan 1996, type 7).

    `None` of no values.

    >>> value(np.array([1.0, 2.0, 3.0, 4.0]), 0.9)
    3.7
    """
    return _at_rank(values, (values.size - 1) * q) if values.size else None


def _at_rank(values: FloatArray, rank: float) -> float:
    """What stands at a rank from 0, linear between order statistics.

    `numpy.quantile` says the same; it takes twenty times as long on the dozens of values of a
    simulated look, of which a plan has a hundred thousand.
    """
    below = int(rank)
    above = min(below + 1, values.size - 1)
    order = np.partition(values, (below, above))
    low, high, part = order[below], order[above], rank - below
    return float(low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part))


def difference(units: Sample, q: float) -> float | None:
    """Return treatment − control of the arms' q-quantiles, in the metric's unit.

    `None` where an arm has no units.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> arms = [single_trials(np.array(values)) for values in ([1.0, 2.0, 9.0], [4.0, 5.0, 6.0])]
    >>> difference(Sample(*arms), 0.5)
    3.0
    """
    control, treatment = (value(arm, q) for arm in units.arms())
    return None if control is None or treatment is None else treatment - control


def error(values: FloatArray, q: float) -> float | None:
    """Return the quantile's standard error from two order statistics (Woodruff 1952): no density.

    In the values' unit. `None` where the sample does not reach that far into the tail, or they
    coincide.

    >>> round(error(np.arange(100.0), 0.5) or 0.0, 2)  # of a uniform on 0..100: 100 √(¼ / 100)
    5.0
    """
    n = values.size
    if n < 2:
        return None
    margin = _WIDTH * math.sqrt(q * (1 - q) / n)
    low, high = q - margin, q + margin
    if low * n < 0.5 or high * n > n - 0.5:
        return None
    # The k-th value stands for the probability (k − ½)/n (Hazen 1914).
    width = (_at_rank(values, high * n - 0.5) - _at_rank(values, low * n - 0.5)) / (2 * _WIDTH)
    return width if 0 < width < math.inf else None


def excludes_zero(values: FloatArray, q: float) -> bool:
    """Return whether order statistics 1.96 standard errors about the quantile are on one side of 0.

    >>> excludes_zero(np.arange(1.0, 21.0), 0.5), excludes_zero(np.arange(-9.0, 11.0), 0.5)
    (True, False)
    """
    n, order = values.size, np.sort(values)
    margin = _WIDTH * math.sqrt(n * q * (1 - q))
    low, high = max(math.floor(n * q - margin), 1), min(math.ceil(n * q + margin) + 1, n)
    return bool(n >= 2 and np.sign(order[low - 1]) * np.sign(order[high - 1]) > 0)


def one_look(units: Sample, q: float) -> Look | None:
    """Return one look by the normal approximation, with order-statistic errors.

    In pairs the arms' quantiles covary by (P(both at or below) − q²)/(q(1 − q)). `None` where an
    arm's error is unknown.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> look = one_look(Sample(*(single_trials(np.arange(100.0) + up) for up in (0, 10))), 0.5)
    >>> (round(look.z, 2), round(look.error, 2)) if look else None  # 10 / (5 √2)
    (1.41, 7.07)
    """
    control, treatment = units.arms()
    e_c, e_t = error(control, q), error(treatment, q)
    if e_c is None or e_t is None:
        return None
    quantiles = (
        _at_rank(control, (control.size - 1) * q),
        _at_rank(treatment, (treatment.size - 1) * q),
    )
    correlation = 0.0
    if units.pairs is not None:
        both = np.mean((control <= quantiles[0]) & (treatment <= quantiles[1]))
        correlation = min(0.95, (float(both) - q * q) / (q * (1 - q)))
    covariance = correlation * e_c * e_t
    variance = e_c**2 + e_t**2 - 2 * covariance
    if not 0 < variance < math.inf:
        return None
    gap, spread = quantiles[1] - quantiles[0], math.sqrt(variance)

    def ends(critical: float) -> tuple[RowEnds, RowEnds]:
        one = (quantiles[0], gap, e_c**2, variance, covariance - e_c**2, critical)
        low, high = classical.fieller(*(np.array([number]) for number in one))
        return (gap - critical * spread, gap + critical * spread), (float(low[0]), float(high[0]))

    return Look(gap / spread, ends)

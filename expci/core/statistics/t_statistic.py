"""A difference with a standard error, compared by t: at every look, at planned ones, or now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.special_functions import special
from expci.core.statistics import t_mixture
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.planned_looks import PlannedLooks
from expci.core.statistics.t_mixture import Ends, Rules, Weighable

_LARGEST_Z = 37.0  # a tail beyond it is 0 in a 64-bit float


@dataclass(frozen=True)
class TStatistic:
    """A difference with a standard error, compared by t."""

    weighable: Weighable

    @property
    def rules(self) -> Rules:
        return self.weighable.rules

    @property
    def looks(self) -> Looks:
        return self.weighable.looks

    @property
    def n(self) -> FloatArray:
        return self.looks.n

    @property
    def difference(self) -> FloatArray:
        return self.looks.difference * self.looks.scale

    @property
    def error(self) -> FloatArray:
        """The standard error of the difference; 0 where nothing varies, nan under two units."""
        return self.looks.error * self.looks.scale

    def at_level(self, alpha: float) -> Self:
        return replace(self, weighable=self.weighable.at_level(alpha))

    def log_e(self) -> FloatArray:
        return self.weighable.log_e()

    def log_e_now(self) -> FloatArray:
        return self.weighable.log_e_now()

    def harm_log_e(self) -> FloatArray:
        return self.weighable.harm_log_e()

    def interval(self) -> Ends:
        return self.weighable.interval()

    def relative(self) -> Ends:
        return self.weighable.relative()

    def planned_z(self, plan: PlannedLooks) -> FloatArray:
        return z_of(self.looks.only(plan.index))

    def planned_ends(self, plan: PlannedLooks) -> tuple[Ends, Ends]:
        return ends_of(self.looks.only(plan.index), np.array(plan.bounds))


@dataclass(frozen=True)
class OfUnitsAndPairs(TStatistic):
    """Units with several pairs: what both the units' means and the pairs themselves show.

    Over the units alone a mean that many visits make ever more precise is looked at anew each
    time, which no t of so few units allows for; over the pairs alone the units' own effects are
    taken for the treatment's. Where either errs the other holds (`docs/calibration.md`).
    """

    pairs: Weighable

    def at_level(self, alpha: float) -> Self:
        of_pairs = self.pairs.at_level(alpha)
        return replace(self, weighable=self.weighable.at_level(alpha), pairs=of_pairs)

    def log_e(self) -> FloatArray:
        return np.minimum(self.weighable.log_e(), self.pairs.log_e())

    def log_e_now(self) -> FloatArray:
        return np.minimum(self.weighable.log_e_now(), self.pairs.log_e_now())

    def harm_log_e(self) -> FloatArray:
        return np.minimum(self.weighable.harm_log_e(), self.pairs.harm_log_e())

    def interval(self) -> Ends:
        return _wider(self.weighable.interval(), self.pairs.interval())

    def relative(self) -> Ends:
        return _wider(self.weighable.relative(), self.pairs.relative())


def _wider(a: Ends, b: Ends) -> Ends:
    return np.minimum(a[0], b[0]), np.maximum(a[1], b[1])


def of_units_and_pairs(units: Looks, pairs: Looks, rules: Rules) -> OfUnitsAndPairs:
    """Return the comparison of the looks at the units' means and at the pairs, after every pair.

    >>> from expci.core.statistics.mean_difference import paired
    >>> looks = paired(np.zeros((1, 4)), np.array([[3.0, 1.0, 4.0, 2.0]]), np.ones((1, 4)))
    >>> of_units_and_pairs(looks, looks, Rules(alpha=0.05, harm=1, start=2)).n
    array([[1., 2., 3., 4.]])
    """
    weighable = t_mixture.weighable
    return OfUnitsAndPairs(weighable(units, rules), weighable(pairs, rules))


def by_t(looks: Looks, rules: Rules) -> TStatistic:
    """Return the comparison by t of these looks.

    >>> from expci.core.statistics.mean_difference import two_sample
    >>> looks = two_sample(np.array([[0, 1, 0, 1]]), np.array([[1.0, 3.0, 3.0, 5.0]]))
    >>> statistic = by_t(looks, Rules(alpha=0.05, harm=1, start=2))
    >>> statistic.difference[:, -1]  # 4 − 2
    array([2.])
    """
    return TStatistic(t_mixture.weighable(looks, rules))


def z_of(looks: Looks) -> FloatArray:
    """Return t mapped to the normal deviate with its p-value; nan where nothing varies.

    >>> from expci.core.statistics.mean_difference import two_sample
    >>> looks = two_sample(np.array([[0, 1, 0, 1]]), np.array([[8.0, 14.0, 9.0, 15.0]]))
    >>> z_of(looks).round(2)  # t = 6/√½ at two degrees of freedom: p = 0.014
    array([[ nan,  nan,  nan, 2.47]])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        t = looks.difference / looks.error
        tail = np.maximum(special.stdtr(looks.df, -np.abs(t)), 1e-300)
        z = np.copysign(np.minimum(-special.ndtri(tail), _LARGEST_Z), t)
    return np.where(looks.valid, z, np.nan)


def ends_of(looks: Looks, critical: FloatArray) -> tuple[Ends, Ends]:
    """Return the interval and the relative one for a critical |z|, mapped to t through its tail.

    >>> from expci.core.statistics.mean_difference import two_sample
    >>> looks = two_sample(np.array([[0, 1, 0, 1]]), np.array([[8.0, 14.0, 9.0, 15.0]])).last
    >>> (low, high), _ = ends_of(looks, np.array([1.96]))  # 6 ± 4.30 √½
    >>> low.round(1), high.round(1)
    (array([[3.]]), array([[9.]]))
    """
    with np.errstate(invalid="ignore"):
        tail = special.ndtr(-critical)
        t = np.where(tail > 0, -special.stdtrit(looks.df, tail), np.inf)
        low, high = looks.difference - t * looks.error, looks.difference + t * looks.error
    interval = low * looks.scale, high * looks.scale
    return interval, t_mixture.fieller_limits(looks, t)


@dataclass(frozen=True)
class Snapshot:
    """One look at one experiment: `z` is standard normal under no effect.

    `error` is the standard error, in the unit; `clear` whether control's interval excludes 0.
    """

    z: float
    error: float
    clear: bool


def t_snapshot(looks: Looks | None) -> Snapshot | None:
    """Return the last look of one row; `None` where nothing varies.

    >>> from expci.core.statistics.mean_difference import two_sample
    >>> looks = two_sample(np.array([[0, 1, 0, 1]]), np.array([[8.0, 14.0, 9.0, 15.0]]))
    >>> snapshot = t_snapshot(looks)  # t = 6/√½ at two degrees of freedom: p = 0.014
    >>> round(snapshot.z, 2) if snapshot else None
    2.47
    """
    if looks is None or not looks.valid[0, -1]:
        return None
    last = looks.last
    low, high = (float(end[0, 0]) for end in ends_of(last, np.array([1.0]))[0])
    share = ends_of(last, np.array([1.96]))[1]
    clear = bool(np.isfinite(share[0][0, 0]) and np.isfinite(share[1][0, 0]))
    return Snapshot(float(z_of(last)[0, 0]), (high - low) / 2, clear)

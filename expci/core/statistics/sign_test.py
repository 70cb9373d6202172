"""Preferences in pairs: betting on a fair coin, exact at every look.

A pair's gap is +½ where the treatment was preferred, −½ where control was, 0 for a tie. Its sign S
has mean 0 where neither is preferred, whatever the share of ties; so each factor 1 + λ S has
expectation 1, and a tie leaves the capital as it is: the sign test as a test martingale (Ville
1939; the bets of Waudby-Smith & Ramdas 2024), exact at every n and every stopping time. The
interval bets on twice the gap, D, against a mean δ: 1 + λ (D − δ)/(1 + δ).

Where a unit (a case) is visited again and again, it is one coin, not one a visit. It is weighed in
stages (`visit_stages`): the sign of its mean, so that visits make a unit's coin surer. Of the
interval for the mean gap only whether it holds 0 is the sign test's answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.dataset.unit_paths import repeats, running_means
from expci.core.statistics import betting
from expci.core.statistics.bets import USUAL, Bets
from expci.core.statistics.betting import Blocks
from expci.core.statistics.outcome import Words
from expci.core.statistics.planned_looks import PlannedLooks
from expci.core.statistics.t_mixture import Ends, Rules
from expci.core.statistics.two_arms import Sample
from expci.core.statistics.visit_stages import ONCE, Stages

WORDS = Words("exact sign test", "sign test", "no pair has a preference")
_BESIDE = 2.0**-14  # on which side of 0 an end lies that is closer than the grid of ends
_UNIT = 2.0  # bets are laid on twice the gap, which lies between −1 and 1


@dataclass(frozen=True)
class VisitStage:
    """The units with so many visits, each bet on once: by sign, and by mean for the interval.

    `share` is the stage's of alpha.
    """

    share: float
    signs: Blocks
    means: Blocks

    def mirrored(self) -> VisitStage:
        return replace(self, signs=self.signs.mirrored(), means=self.means.mirrored())

    def of(self, rows: BoolArray) -> VisitStage:
        return replace(self, signs=self.signs.of(rows), means=self.means.of(rows))

    def means_upto(self, look: IntArray) -> VisitStage:
        """As it stood at one look of each experiment."""
        count = np.take_along_axis(self.means.count, look[:, None], axis=1)
        return replace(self, means=self.means.upto(count))


@dataclass(frozen=True)
class SignTest:
    """Pairs' preferences as evidence, [experiments, looks]; a look follows every pair.

    `n` are the units with a pair, `difference` is the mean gap over them and `error` its standard
    error under no preference. `bounds` are the improvements that the interval is compared with,
    where it is only evaluated on that grid; without them it is evaluated at the last look.
    """

    rules: Rules
    n: FloatArray
    difference: FloatArray
    error: FloatArray
    stages: tuple[VisitStage, ...]
    bounds: tuple[float, ...] | None = None

    @property
    def _mirrored(self) -> tuple[VisitStage, ...]:
        return tuple(stage.mirrored() for stage in self.stages)

    @cached_property
    def _sides(self) -> tuple[FloatArray, FloatArray]:
        """The largest log E so far that the treatment is preferred, and that control is."""
        return _exceeds(self.stages), _exceeds(self._mirrored)

    @property
    def _threshold(self) -> float:
        return -math.log(self.rules.alpha / 2)

    def at_level(self, alpha: float) -> Self:
        return replace(self, rules=replace(self.rules, alpha=alpha))

    def log_e(self) -> FloatArray:
        """½ max(E of either side): p <= alpha exactly when the interval, alpha/2 on each side,
        excludes 0."""
        return np.asarray(np.maximum(*self._sides) - math.log(2))

    def log_e_now(self) -> FloatArray:
        now = [
            betting.exceeds_now(stage.signs, 0.0)[:, -1] + math.log(stage.share)
            for stage in (*self.stages, *self._mirrored)
        ]
        return np.asarray(np.maximum.reduce(now) - math.log(2))

    def harm_log_e(self) -> FloatArray:
        """No bet on harm is tuned to the hoped-for effect."""
        harm = self.stages if self.rules.harm > 0 else self._mirrored
        usual = [replace(stage, signs=replace(stage.signs, bets=USUAL)) for stage in harm]
        return _exceeds(usual)

    def interval(self) -> Ends:
        low, high = self._now() if self.bounds is None else self._on_grid(self.bounds)
        preferred, other = (side[:, -low.shape[1] :] >= self._threshold for side in self._sides)
        low = np.where(preferred, np.maximum(low, _BESIDE), np.minimum(low, -_BESIDE))
        return low, np.where(other, np.minimum(high, -_BESIDE), np.maximum(high, _BESIDE))

    def _now(self) -> Ends:
        half = self.rules.alpha / 2
        low, high = _lower_ends(self.stages, half), -_lower_ends(self._mirrored, half)
        return low[:, None], high[:, None]

    def _on_grid(self, bounds: tuple[float, ...]) -> Ends:
        better, half = self.rules.harm < 0, self.rules.alpha / 2
        up, down = (self.stages, self._mirrored) if better else (self._mirrored, self.stages)
        low, high = (np.full(self.n.shape, end / _UNIT) for end in (-1.0, 1.0))
        for bound in sorted(bounds):
            low = np.where(_lower_end_above(up, bound - 1e-9, half), bound, low)
        for bound in sorted(bounds, reverse=True):
            under = _lower_end_above(down, -bound, half)
            high = np.where(under, np.nextafter(bound, -np.inf), high)
        return (low, high) if better else (-high, -low)

    def relative(self) -> Ends:
        nowhere = np.full(self.n.shape, np.inf)
        return -nowhere, nowhere

    def planned_z(self, plan: PlannedLooks) -> FloatArray:
        difference, error = plan.at(self.difference), plan.at(self.error)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(error > 0, difference / error, np.nan)

    def planned_ends(self, plan: PlannedLooks) -> tuple[Ends, Ends]:
        difference, error = plan.at(self.difference), plan.at(self.error)
        margin = np.array(plan.bounds) * error
        nowhere, end = np.full(error.shape, np.inf), 1 / _UNIT
        ends = np.maximum(difference - margin, -end), np.minimum(difference + margin, end)
        return ends, (-nowhere, nowhere)

    def crossed(self, rows: BoolArray, look: IntArray) -> BoolArray:
        """Whether the interval of each of these experiments is empty at its `look`."""
        sides = [_at(side[rows], look) >= self._threshold for side in self._sides]
        empty, half = sides[0] & sides[1], self.rules.alpha / 2
        now = [stage.of(rows).means_upto(look) for stage in self.stages]
        mean = np.nan_to_num(_at(self.difference[rows], look))
        for row in np.flatnonzero(~empty & _refutes(now, mean, half)).tolist():
            only = np.arange(look.size) == row
            one = [stage.of(only) for stage in now]
            high = -_lower_ends([stage.mirrored() for stage in one], half)
            empty[row] = bool(_lower_ends(one, half) > high)
        return empty


def _at(column: FloatArray, look: IntArray) -> FloatArray:
    return np.take_along_axis(column, look[:, None], axis=1)[:, 0]


def _exceeds(stages: Sequence[VisitStage]) -> FloatArray:
    sides = [betting.exceeds(stage.signs, 0.0) + math.log(stage.share) for stage in stages]
    return np.asarray(np.maximum.reduce(sides))


def _refutes(stages: Sequence[VisitStage], mean: FloatArray, alpha: float) -> BoolArray:
    """Whether any stage refutes this mean gap from either side."""
    far = np.clip(_UNIT * mean, -0.99, 0.99)
    refuted = [
        betting.exceeds(side, sign * far)[:, -1] >= -math.log(alpha * stage.share)
        for stage in stages
        for side, sign in ((stage.means, 1), (stage.means.mirrored(), -1))
    ]
    return np.asarray(np.logical_or.reduce(refuted))


def _lower_ends(stages: Sequence[VisitStage], alpha: float) -> FloatArray:
    ends = [betting.lower_ends(stage.means, alpha * stage.share) for stage in stages]
    return np.asarray(np.maximum.reduce(ends) / _UNIT)


def _lower_end_above(stages: Sequence[VisitStage], bound: float, alpha: float) -> BoolArray:
    above = [
        betting.lower_end_above(stage.means, _UNIT * bound, alpha * stage.share) for stage in stages
    ]
    return np.asarray(np.logical_or.reduce(above))


def sign_test(
    gaps: FloatArray,
    unit: IntArray | None,
    rules: Rules,
    bets: Bets = USUAL,
    stages: Stages = ONCE,
    bounds: tuple[float, ...] | None = None,
) -> SignTest:
    """Return the evidence of `gaps` [experiments, pairs]; nan for a pair without a preference.

    `unit` codes what each pair ran on (`None`: each is a unit of its own).

    >>> test = sign_test(np.full((1, 8), 0.5), None, Rules(alpha=0.05, harm=-1, start=1))
    >>> test.n[0, -1], test.difference[0, -1]
    (np.float64(8.0), np.float64(0.5))
    """
    units = np.broadcast_to(np.arange(gaps.shape[1]), gaps.shape) if unit is None else unit
    rows = [_Row.of(row, codes) for row, codes in zip(gaps, units, strict=True)]
    n, total, square = (
        np.stack([getattr(row, name) for row in rows]) for name in ("n", "total", "square")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        difference, error = total / n, np.sqrt(square) / n
    looks = gaps.shape[1]
    parts = tuple(_stage(rows, *stage, looks, bets) for stage in stages)
    return SignTest(rules, n, difference, error, parts, bounds)


@dataclass(frozen=True)
class _Row:
    """One experiment: each pair's visit number and its unit's mean gap then; sums at each look."""

    at: IntArray
    visit: IntArray
    mean: FloatArray
    n: FloatArray
    total: FloatArray
    square: FloatArray

    @staticmethod
    def of(gaps: FloatArray, unit: IntArray) -> _Row:
        at = np.flatnonzero(~np.isnan(gaps))
        _, code = np.unique(unit[at], return_inverse=True)
        mean, before = running_means(code, gaps[at])
        old = np.nan_to_num(before, nan=0.0)
        changes = np.zeros((3, gaps.size))
        changes[:, at] = np.isnan(before), mean - old, mean * mean - old * old
        n, total, square = np.cumsum(changes, axis=1)
        return _Row(at, 1 + repeats(code), mean, n, total, np.maximum(square, 0.0))


def _stage(rows: Sequence[_Row], visits: int, share: float, looks: int, bets: Bets) -> VisitStage:
    """Every unit once, when it has had that many visits."""
    hits = [row.visit == visits for row in rows]
    most = max((int(hit.sum()) for hit in hits), default=0)
    means, count = np.zeros((len(rows), most)), np.zeros((len(rows), looks), dtype=np.int64)
    for index, (row, hit) in enumerate(zip(rows, hits, strict=True)):
        means[index, : int(hit.sum())] = np.round(_UNIT * row.mean[hit], 12)
        count[index, row.at[hit]] = 1
    blocks = Blocks(means, np.cumsum(count, axis=1), bets=bets)
    return VisitStage(share, replace(blocks, new=np.sign(means)), blocks)


def gaps_of(units: Sample) -> tuple[FloatArray, IntArray | None]:
    """Return treatment − control of every pair in the order of completion, and its unit's code.

    >>> from expci.core.dataset.unit_paths import Pairs, single_trials
    >>> at, column = np.array([0, 2]), np.array([0.5, 1.0, 0.5, 0.0])
    >>> pairs = Pairs(at, at + 1, np.zeros(2), 0, 0)
    >>> arms = single_trials(column[at]), single_trials(column[at + 1])
    >>> gaps_of(Sample(*arms, pairs, column))[0]
    array([ 0.5, -0.5])
    """
    if units.visits is not None:
        return units.visits.treatment - units.visits.control, units.visits.pairs.unit
    control, treatment = units.pair_values()
    return treatment - control, None

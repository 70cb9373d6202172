"""Statistics of sorted values, weighed one experiment after the other.

Nothing is gained by arrays over experiments where values must be sorted. What a decision holds
an interval against is fixed beforehand, so a simulated interval is computed on that grid only; the
interval of a real experiment as it stands now.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray
from expci.core.statistics.planned_looks import PlannedLooks
from expci.core.statistics.statistic import RowEnds
from expci.core.statistics.t_mixture import Ends, Rules
from expci.core.statistics.two_arms import Sample
from expci.core.statistics.visit_stages import ONCE, Stages

Sizes = tuple[int, int]  # units of control and treatment in a block
SHORT = 60  # moments of a simulated experiment that are all looked at
_FIRST, _FEW = 10, 24
_EVERY = 200  # of a real one: every moment up to here, then every further per cent
_LARGEST_Z = 37.0  # a tail beyond it is 0 in a 64-bit float


@dataclass(frozen=True)
class Look:
    """One look at one experiment: `z` is standard normal under no effect, positive where
    treatment is larger.

    `ends` gives, for a critical |z|, the interval of the difference and the same as a
    share of control's value (unbounded without one).
    """

    z: float
    ends: Callable[[float], tuple[RowEnds, RowEnds]]

    @property
    def error(self) -> float:
        """The standard error in the unit: half of what a critical value of 1 spans."""
        low, high = self.ends(1.0)[0]
        return (high - low) / 2


@dataclass(frozen=True)
class RowEvidence:
    """One experiment at every look: log E of "larger" and of "smaller" so far, and the ends.

    `now` is the larger of the two as it stands at the end.
    """

    up: FloatArray
    down: FloatArray
    low: FloatArray
    high: FloatArray
    now: FloatArray

    def at_share(self, share: float) -> RowEvidence:
        """The same where it has only a share of alpha; the ends are computed at that."""
        less = math.log(share)
        return replace(self, up=self.up + less, down=self.down + less, now=self.now + less)

    def beside(self, other: RowEvidence) -> RowEvidence:
        """Of two that share alpha whichever shows more."""
        return RowEvidence(
            np.maximum(self.up, other.up),
            np.maximum(self.down, other.down),
            np.maximum(self.low, other.low),
            np.minimum(self.high, other.high),
            np.maximum(self.now, other.now),
        )


@dataclass(frozen=True)
class UnitsRow:
    """One experiment: its units, how many looks there are, and which of them bring what.

    `sizes` are the units of control and treatment in a block, `complete` is the look at which each
    block (each pair, also where a unit has several) was complete;
    `samples` are both arms' values at looks in between, for statistics that need them all.
    `bounds` are the differences that the interval is compared with (`None`: computed exactly).
    """

    units: Sample
    looks: int
    complete: IntArray
    samples: Callable[[], Sequence[tuple[int, FloatArray, FloatArray]]]
    bounds: tuple[float, ...] | None = None
    sizes: Sizes = (1, 1)

    def stage(self, visits: int) -> UnitsRow | None:
        """Each unit once, as it stood when it had so many pairs; `None` where none has."""
        own = self.units.visits
        if own is None:
            return self if visits == 1 else None
        last, units = own.stage(visits)
        row = replace(self, units=units, complete=self.complete[last])
        return replace(row, samples=row.growing_pairs) if last.size else None

    def growing_pairs(self) -> Sequence[tuple[int, FloatArray, FloatArray]]:
        """Both arms' values at growing numbers of pairs, with the look at which there were so many.

        Of a real experiment at each of `look_numbers`, of a simulated one at some two dozen.
        """
        control, treatment = self.units.pair_values()
        n = control.size
        numbers = look_numbers(n) + 1 if self.bounds is None else few(n)
        return [(int(self.complete[n - 1]), control[:n], treatment[:n]) for n in numbers]

    def nothing(self) -> RowEvidence:
        never, open_end = np.full(self.looks, -math.inf), np.full(self.looks, math.inf)
        return RowEvidence(never, never, -open_end, open_end, np.array(-math.inf))

    def spread(
        self, at: IntArray, sides: tuple[FloatArray, FloatArray], low: FloatArray, high: FloatArray
    ) -> RowEvidence:
        """What stands after the looks `at`, at every look until the next of them.

        `sides` are log E of "larger" and of "smaller" at each, −inf where there is none yet.
        """
        up, down = (np.maximum.accumulate(side) for side in sides)
        return RowEvidence(
            self.standing(at, up, -math.inf),
            self.standing(at, down, -math.inf),
            self.standing(at, low, -math.inf),
            self.standing(at, high, math.inf),
            np.maximum(*(side[-1] for side in sides)),
        )

    def standing(self, at: IntArray, values: FloatArray, before: float) -> FloatArray:
        index = np.searchsorted(at, np.arange(self.looks), "right")
        return np.concatenate([[before], values])[index]


def look_numbers(total: int) -> IntArray:
    """Return which of `total` moments are looked at: a fixed list, the same however many follow.

    >>> look_numbers(210)[-6:]  # every one up to 200, then every further per cent
    array([199, 200, 202, 204, 206, 208])
    """
    numbers, at = list(range(min(total, _EVERY))), float(_EVERY)
    while at < total:
        numbers.append(int(at))
        at *= 1.01
    return np.unique(np.array(numbers, dtype=np.int64))


def few(total: int) -> IntArray:
    """Return growing numbers up to `total`: all of few, some two dozen of many.

    >>> few(3), few(1000).size, few(1000)[-1]
    (array([1, 2, 3]), 24, np.int64(1000))
    """
    if total <= SHORT:
        return np.arange(1, total + 1)
    first = max(_FIRST, total // 20)
    return np.unique(np.geomspace(first, total, _FEW).round().astype(np.int64))


def as_shares(interval: RowEnds, control: float | None) -> RowEnds:
    """Return the ends as shares of control's value, as if that had no error; open where it is 0.

    >>> as_shares((1.0, 3.0), 10.0), as_shares((1.0, 3.0), -10.0)
    ((0.1, 0.3), (-0.3, -0.1))
    """
    if not control:
        return -math.inf, math.inf
    low, high = sorted(end / control for end in interval)
    return low, high


@dataclass(frozen=True)
class RowByRow:
    """A statistic of many experiments, [experiments, looks]; `n` are the smaller arm's units.

    Units with several pairs are weighed in `stages`.
    """

    rules: Rules
    n: FloatArray
    rows: Sequence[UnitsRow]
    stages: Stages = ONCE

    def row_evidence(self, row: UnitsRow) -> RowEvidence:
        raise NotImplementedError

    def row_share(self, row: UnitsRow) -> float | None:
        """What relative ends refer to; `None` where there is nothing."""
        raise NotImplementedError

    def row_look(self, units: Sample) -> Look | None:
        raise NotImplementedError

    @cached_property
    def _evidence(self) -> RowEvidence:
        evidence = [self._staged(row) for row in self.rows]
        return RowEvidence(
            *(
                np.stack([getattr(one, name) for one in evidence])
                for name in ("up", "down", "low", "high", "now")
            )
        )

    def _staged(self, row: UnitsRow) -> RowEvidence:
        evidence = row.nothing()
        for visits, share in self.stages:
            own = row.stage(visits)
            if own is not None:
                there = self.at_level(self.rules.alpha * share).row_evidence(own)
                evidence = evidence.beside(there.at_share(share))
        return evidence

    def at_level(self, alpha: float) -> Self:
        return replace(self, rules=replace(self.rules, alpha=alpha))

    def log_e(self) -> FloatArray:
        """Both one-sided tests as one: ½ max(E of "larger", E of "smaller")."""
        return np.asarray(np.maximum(self._evidence.up, self._evidence.down) - math.log(2))

    def log_e_now(self) -> FloatArray:
        return self._evidence.now - math.log(2)

    def harm_log_e(self) -> FloatArray:
        return self._evidence.up if self.rules.harm > 0 else self._evidence.down

    def interval(self) -> Ends:
        return self._evidence.low, self._evidence.high

    def relative(self) -> Ends:
        shares = [
            as_shares((float(low), float(high)), self.row_share(row))
            for row, low, high in zip(
                self.rows, self._evidence.low[:, -1], self._evidence.high[:, -1], strict=True
            )
        ]
        return np.array([[low] for low, _ in shares]), np.array([[high] for _, high in shares])

    @cached_property
    def _planned(self) -> dict[tuple[int, int], Look | None]:
        return {}

    def _look(self, row: int, units: int) -> Look | None:
        """The row as it stood at the planned look; `None` where it never was or is silent."""
        if (row, units) not in self._planned:
            then = self.rows[row].units.until(units)
            self._planned[row, units] = self.row_look(then) if then.n >= units else None
        return self._planned[row, units]

    def planned_z(self, plan: PlannedLooks) -> FloatArray:
        looks = [[self._look(row, size) for size in plan.units] for row in range(len(self.rows))]
        z = [
            [math.nan if x is None else math.copysign(min(abs(x.z), _LARGEST_Z), x.z) for x in row]
            for row in looks
        ]
        return np.array(z, dtype=np.float64).reshape(len(self.rows), len(plan.units))

    def planned_ends(self, plan: PlannedLooks) -> tuple[Ends, Ends]:
        ends = np.empty((2, 2, len(self.rows), len(plan.units)))
        for row in range(len(self.rows)):
            for k, (size, bound) in enumerate(zip(plan.units, plan.bounds, strict=True)):
                look = self._look(row, size)
                unknown = ((-math.inf, math.inf),) * 2
                ends[:, :, row, k] = unknown if look is None else look.ends(bound)
        return (ends[0, 0], ends[0, 1]), (ends[1, 0], ends[1, 1])


def one_experiment(
    units: Sample,
    samples: Callable[[], Sequence[tuple[int, FloatArray, FloatArray]]] | None = None,
    sizes: Sizes = (1, 1),
) -> UnitsRow:
    """Return a real experiment as a row: one look, as it stands now, with an exact interval.

    `samples` are what a statistic needs of looks in between, `sizes` the units in a block.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> units = Sample(*(single_trials(np.arange(n)) for n in (7, 3)))
    >>> one_experiment(units, sizes=(2, 1)).complete.size  # blocks of two and one
    3
    """
    blocks = units.pairs_run
    if units.pairs is None:
        arms = units.control, units.treatment
        blocks = min(int(arm.first.sum()) // size for arm, size in zip(arms, sizes, strict=True))
    complete = np.zeros(blocks, dtype=np.int64)
    return UnitsRow(units, 1, complete, samples or (lambda: ()), sizes=sizes)

"""Simulated experiments one after the other, for statistics of sorted values.

The estimate, and the whole of a quantile's evidence, are looked at some two dozen times in long
experiments, at every look in short ones. A relative limit refers to control's value at the end
of each experiment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray
from expci.core.dataset.unit_paths import Pairs, UnitPath, unit_path
from expci.core.decision.numbers import Improvement
from expci.core.kinds.contrast import Simulated
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.statistics import quantile, signed_rank
from expci.core.statistics.effect_scale import signed, where_clear
from expci.core.statistics.row_by_row import RowByRow, Sizes, UnitsRow
from expci.core.statistics.two_arms import Sample, Visits, of_visits

_SHORT = 60  # looks of an experiment that are all looked at
_LOOKS = 24
_FIRST = 10  # trials or pairs; nothing is decided on fewer


@dataclass(frozen=True)
class SimulatedRow:
    """One experiment: its units with their look, and how many looks there are.

    `goal` is the look at which the sample size is reached (−1: never), `control` control's
    value at the end, nan where it may be 0, `grid` what intervals are compared with.
    """

    units: Sample
    looks: int
    goal: int
    control: float
    grid: tuple[float, ...]
    sizes: Sizes = (1, 1)

    @cached_property
    def sparse(self) -> IntArray:
        """The looks with an estimate, the last and the one that ends it among them."""
        if self.looks <= _SHORT:
            return np.arange(self.looks)
        last = self.looks - 1 if self.goal < 0 else self.goal
        first = max(min(_FIRST, last + 1), (last + 1) // 20)
        steps = np.geomspace(first, last + 1, _LOOKS).round().astype(np.int64) - 1
        return np.unique(np.minimum(np.append(steps, self.looks - 1), self.looks - 1))

    @cached_property
    def complete(self) -> IntArray:
        """The look at which each block was complete (each pair, also where a case has several)."""
        if self.units.visits is not None:
            return self.units.visits.pairs.control // 2
        if self.units.pairs is not None:
            return self.units.pairs.control // 2
        return np.sort(signed_rank.completion(self.units.control, self.units.treatment, self.sizes))

    def units_at(self, look: int) -> Sample:
        """What there is up to that look (of pairs, only complete ones)."""
        if self.units.pairs is not None:
            return self.units.after_pairs(int(np.searchsorted(self.complete, look, "right")))
        control, treatment = self.units.control, self.units.treatment
        return Sample(control.before_position(look + 1), treatment.before_position(look + 1))

    def arms_at(self, look: int) -> tuple[FloatArray, FloatArray]:
        """Both arms' values up to that look."""
        return self.units_at(look).arms()

    def samples(self) -> Sequence[tuple[int, FloatArray, FloatArray]]:
        return [(int(look), *self.arms_at(int(look))) for look in self.sparse]

    def row(self) -> UnitsRow:
        return UnitsRow(self.units, self.looks, self.complete, self.samples, self.grid, self.sizes)


def simulated_rows(simulated: Simulated, q: float) -> list[SimulatedRow]:
    """Return each experiment's units; in a paired design the blocks are the looks. `q`: control's
    quantile that relative limits refer to.

    >>> from expci.core.model.experiment import Metric
    >>> from support.examples import simulated_of
    >>> latency = Metric("ms", "primary", "rank", "decrease")
    >>> [row] = simulated_rows(simulated_of(latency, [10.0, 11.0, 900.0], [5.0, 6.0, 700.0]), 0.5)
    >>> row.looks, row.arms_at(3)
    (6, (array([10., 11.]), array([5., 6.])))
    """
    arrays, value = simulated.arrays, simulated.arrays.values[simulated.metric.name]
    own = np.broadcast_to(np.arange(value.shape[1]), value.shape)
    unit = own if arrays.unit is None else arrays.unit
    sizes, rows = simulated.terms.block_sizes(simulated.name), []
    cases = arrays.pair_units if arrays.paired else None
    for index in range(value.shape[0]):
        if arrays.paired:
            control, treatment = (arm[index] for arm in arrays.pair_values(value, simulated.arm))
            units = _pairs(control, treatment, None if cases is None else cases[index])
        else:
            arm = arrays.arm[index]
            units = Sample(
                unit_path(arm == 0, unit[index], value[index]),
                unit_path(arm == simulated.arm, unit[index], value[index]),
            )
        final = units.arms()[0]
        control = float(np.quantile(final, q)) if quantile.excludes_zero(final, q) else math.nan
        grid = _grid(simulated, control)
        goal = int(simulated.goal[index])
        rows.append(SimulatedRow(units, arrays.looks, goal, control, grid, sizes))
    return rows


def _grid(simulated: Simulated, control: float) -> tuple[float, ...]:
    points = [b.value * (abs(control) if b.relative else 1.0) for b in simulated.bounds]
    return tuple(sorted({0.0, *(point for point in points if math.isfinite(point))}))


def _pairs(control: FloatArray, treatment: FloatArray, case: IntArray | None) -> Sample:
    keep = np.flatnonzero(~np.isnan(control + treatment))
    column = np.stack([control, treatment], axis=1).ravel()
    pairs = Pairs(2 * keep, 2 * keep + 1, np.zeros(keep.size), 0, 0)
    empty = np.full(keep.size, np.nan)
    paths = [UnitPath(at, np.arange(at.size), column[at], empty) for at in (2 * keep, 2 * keep + 1)]
    units = Sample(paths[0], paths[1], pairs, column)
    if case is None:
        return units
    return of_visits(units, Visits(replace(pairs, unit=case[keep]), control[keep], treatment[keep]))


def smaller_arms(simulated: Simulated) -> FloatArray:
    """Return the units of the smaller arm with a value (pairs with both), at each look.

    >>> from expci.core.model.experiment import Metric
    >>> from support.examples import simulated_of
    >>> latency = Metric("ms", "primary", "rank", "decrease")
    >>> smaller_arms(simulated_of(latency, [10.0, np.nan], [5.0, 6.0]))
    array([[0., 1., 1., 1.]])
    """
    value = simulated.arrays.values[simulated.metric.name]
    return simulated.arrays.smaller_arm(value, simulated.arm, in_pairs=True)


def look_evidence(
    simulated: Simulated,
    test: RowByRow,
    rows: Sequence[SimulatedRow],
    difference: Callable[[FloatArray, FloatArray, bool], float],
) -> LookEvidence:
    """Return the evidence; `difference` estimates from both arms' values, paired or not.

    >>> from expci.core.model.experiment import Metric
    >>> from expci.core.statistics.signed_rank import RankTest
    >>> from expci.core.statistics.terms import rules_of
    >>> from support.examples import simulated_of
    >>> latency = Metric("ms", "primary", "rank", "decrease")
    >>> simulated = simulated_of(latency, [10.0, 11.0, 12.0], [5.0, 6.0, 7.0])
    >>> rows, rules = simulated_rows(simulated, 0.5), rules_of(latency, simulated.terms, 0.5)
    >>> test = RankTest(rules, smaller_arms(simulated), [row.row() for row in rows])
    >>> medians = lambda control, treatment, paired: np.median(treatment) - np.median(control)
    >>> float(look_evidence(simulated, test, rows, medians).absolute.estimate[0, -1])
    5.0
    """
    weighed = simulated.weighed(test)
    control = np.abs([row.control for row in rows])[:, None]

    def differences() -> Improvement:
        estimate = np.stack([_estimates(row, difference) for row in rows])
        if weighed.plan is not None:
            planned = [
                [_at_planned(row, size, difference) for size in weighed.plan.units] for row in rows
            ]
            table = np.array(planned, dtype=np.float64).reshape(len(rows), -1)
            spread = weighed.plan.spread(table, np.nan)
            estimate = np.where(weighed.plan.reached > 0, spread, estimate)
        return signed(estimate, weighed.interval, simulated.better)

    def shares() -> Improvement:
        improvement, clear = evidence.absolute, np.broadcast_to(np.isfinite(control), test.n.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = (
                column / control
                for column in (improvement.estimate, improvement.low, improvement.high)
            )
            return where_clear(Improvement(*parts), clear)

    def difference_errors() -> FloatArray:
        return np.stack([_errors(row, test) for row in rows])

    def share_errors() -> FloatArray:
        return np.asarray(evidence.absolute_error / control)

    evidence = LookEvidence(weighed, test.n, shares, differences, share_errors, difference_errors)
    return evidence


def _errors(row: SimulatedRow, test: RowByRow) -> FloatArray:
    """The standard error of the estimate, as it stands at every look."""
    looks = (test.row_look(row.units_at(look)) for look in row.sparse.tolist())
    errors = [math.nan if look is None else look.error for look in looks]
    return row.row().standing(row.sparse, np.array(errors), math.nan)


def _estimates(
    row: SimulatedRow, difference: Callable[[FloatArray, FloatArray, bool], float]
) -> FloatArray:
    paired = row.units.pairs is not None
    differences = [
        difference(control, treatment, paired) if min(control.size, treatment.size) else math.nan
        for _, control, treatment in row.samples()
    ]
    return row.row().standing(row.sparse, np.array(differences), math.nan)


def _at_planned(
    row: SimulatedRow, units: int, difference: Callable[[FloatArray, FloatArray, bool], float]
) -> float:
    then = row.units.until(units)
    return difference(*then.arms(), then.pairs is not None) if then.n >= units else math.nan

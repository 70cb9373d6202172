"""Both arms' units of one metric on one scale, as two independent samples or as pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray, Moments, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.dataset.unit_paths import Pairs, UnitPath, repeats, single_trials, unit_path
from expci.core.model.results import Paired
from expci.core.statistics import classical, mean_difference
from expci.core.statistics.mean_difference import Looks


@dataclass(frozen=True)
class Visits:
    """Pairs of units some of which have several, in the order of completion.

    `control` and `treatment` are the values of each pair's runs.
    """

    pairs: Pairs
    control: FloatArray
    treatment: FloatArray

    @cached_property
    def paths(self) -> tuple[UnitPath, UnitPath, UnitPath]:
        """The units' means of control, treatment and the order, as they changed."""
        every = np.ones(self.control.size, dtype=np.bool_)
        unit = np.zeros(self.control.size, np.int64) if self.pairs.unit is None else self.pairs.unit
        columns = self.control, self.treatment, self.pairs.treatment_first
        control, treatment, order = (unit_path(every, unit, column) for column in columns)
        return control, treatment, order

    def means_of(self, column: FloatArray) -> FloatArray:
        """The units' means of another column of the table, laid out as the sample's own."""
        other = Visits(self.pairs, column[self.pairs.control], column[self.pairs.treatment])
        return np.stack([path.final for path in other.paths[:2]], axis=1).ravel()

    def until(self, units: int) -> Visits:
        """What there was when the first `units` units had a pair each."""
        first = np.flatnonzero(self.paths[0].first)
        return self.after(int(first[units - 1]) + 1 if units <= first.size else self.control.size)

    def after(self, pairs: int) -> Visits:
        """The first pairs."""
        return Visits(self.pairs.only(slice(pairs)), self.control[:pairs], self.treatment[:pairs])

    def stage(self, visits: int) -> tuple[IntArray, Sample]:
        """Each unit as it was when it had so many pairs: which was the last, and the means."""
        control, treatment, _ = self.paths
        last = np.flatnonzero(repeats(control.unit) == visits - 1)
        return last, of_pairs(control.mean[last], treatment.mean[last])

    def pair_looks(self) -> Looks:
        """The difference after every pair as though each were a unit of its own, one row."""
        order = self.pairs.treatment_first[None, :]
        return mean_difference.paired(self.control[None, :], self.treatment[None, :], order)

    def looks(self) -> Looks:
        """The difference of the units' means after every pair, one row."""
        control, treatment, order = (path.mean[None, :] for path in self.paths)
        c, t, x = (path.before[None, :] for path in self.paths)
        return mean_difference.paired(control, treatment, order, (c, t, x))


def of_visits(apart: Sample, visits: Visits) -> Sample:
    """Return one pair for each unit, of the means of its pairs, side by side in the column.

    >>> pairs = Pairs(np.array([0, 2]), np.array([1, 3]), np.zeros(2), 0, 0, np.array([7, 7]))
    >>> visits = Visits(pairs, np.array([4.0, 6.0]), np.array([5.0, 9.0]))
    >>> of_visits(of_pairs(visits.control, visits.treatment), visits).pair_values()
    (array([5.]), array([7.]))
    """
    control, treatment, order = (path.final for path in visits.paths)
    index = 2 * np.arange(control.size)
    lone = visits.pairs.lone_control, visits.pairs.lone_treatment
    column = np.stack([control, treatment], axis=1).ravel()
    return replace(apart, pairs=Pairs(index, index + 1, order, *lone), column=column, visits=visits)


def of_pairs(control: FloatArray, treatment: FloatArray) -> Sample:
    """Return units with one pair each, whose order is not known.

    >>> of_pairs(np.array([4.0, 6.0]), np.array([5.0, 9.0])).pair_values()
    (array([4., 6.]), array([5., 9.]))
    """
    index = 2 * np.arange(control.size)
    pairs = Pairs(index, index + 1, np.zeros(control.size), 0, 0)
    column = np.stack([control, treatment], axis=1).ravel()
    return Sample(single_trials(control), single_trials(treatment), pairs, column)


@dataclass(frozen=True)
class Sample:
    """Both arms' units on one scale: two paths, or pairs in the order of completion.

    Where a unit has several pairs, `pairs` are one for each unit, of its means, by first
    appearance, and `visits` the pairs that these come from.
    """

    control: UnitPath
    treatment: UnitPath
    pairs: Pairs | None = None
    column: FloatArray | None = None
    visits: Visits | None = None

    @property
    def n(self) -> int:
        """Pairs (units, where one has several), or units of the smaller arm."""
        if self.pairs is not None:
            return int(self.pairs.control.size)
        return int(min(self.control.first.sum(), self.treatment.first.sum()))

    @property
    def pairs_run(self) -> int:
        """Pairs, also where a unit has several."""
        return self.n if self.visits is None else int(self.visits.control.size)

    def first(self, units: int) -> Sample:
        """The first `units` units per arm (pairs)."""
        if self.pairs is None:
            return Sample(self.control.up_to(units), self.treatment.up_to(units))
        if self.visits is not None:
            return of_visits(self, self.visits.until(units))
        return replace(self, pairs=self.pairs.only(slice(units)))

    def after_pairs(self, pairs: int) -> Sample:
        """As it stood after so many pairs, those of a unit counted each."""
        if self.visits is None:
            return self.first(pairs)
        return of_visits(self, self.visits.after(pairs))

    def until(self, units: int) -> Sample:
        """As it stood when each arm (the pairs) first had `units` units, without later trials."""
        if self.pairs is not None:
            return self.first(units)
        if self.n < units:
            return self
        last = max(int(p.position[p.first][units - 1]) for p in (self.control, self.treatment))
        return Sample(
            self.control.before_position(last + 1), self.treatment.before_position(last + 1)
        )

    def row(self) -> tuple[IntArray, FloatArray, FloatArray | None]:
        """Arm, unit mean after and before each trial of either arm, as one row [1, trials]."""
        paths = self.control, self.treatment
        order = np.argsort(np.concatenate([p.position for p in paths]), kind="stable")
        arm = np.repeat(np.array([0, 1]), [p.position.size for p in paths])[order]
        mean = np.concatenate([p.mean for p in paths])[order]
        before = np.concatenate([p.before for p in paths])[order]
        alone = bool(np.isnan(before).all())
        return arm[None, :], mean[None, :], None if alone else before[None, :]

    def looks(self) -> Looks | None:
        """The difference of means after every trial or pair, one row; `None` without any."""
        if self.pairs is not None:
            if not self.n:
                return None
            if self.visits is not None:
                return self.visits.looks()
            control, treatment = self.pair_values()
            first = self.pairs.treatment_first
            return mean_difference.paired(control[None, :], treatment[None, :], first[None, :])
        arm, mean, before = self.row()
        return mean_difference.two_sample(arm, mean, 1, before) if mean.size else None

    def pair_looks(self) -> Looks | None:
        """The same after every pair as though each were a unit of its own; `None` where it is."""
        return None if self.visits is None else self.visits.pair_looks()

    def difference(self) -> float | None:
        """Treatment − control of unit means, of pairs at balanced order."""
        if not self.n:
            return None
        if self.pairs is None:
            return self.treatment.moments.mean - self.control.moments.mean
        control, treatment = self.pair_values()
        return classical.order_adjusted_mean(treatment - control, self.pairs.treatment_first)

    def estimated(self) -> classical.Difference | None:
        """The difference with its standard error and df: Welch's, of pairs order-adjusted."""
        if self.pairs is None:
            return classical.welch_difference(self.control.moments, self.treatment.moments)
        if not self.n:
            return None
        control_values, treatment_values = self.pair_values()
        return classical.order_adjusted(
            treatment_values - control_values, self.pairs.treatment_first
        )

    def control_mean(self) -> Moments:
        return self.control.moments if self.pairs is None else moments(self.pair_values()[0])

    def paired_test(self, level: float) -> Paired | None:
        if self.pairs is None or self.n < 2:
            return None
        control, treatment = self.pair_values()
        return classical.paired_test(treatment - control, self.pairs.treatment_first, level)

    def arms(self) -> tuple[FloatArray, FloatArray]:
        """Control's and the treatment's values, of pairs only those in a pair."""
        if self.pairs is None:
            return self.control.final, self.treatment.final
        return self.pair_values()

    def pair_values(self) -> tuple[FloatArray, FloatArray]:
        if self.pairs is None or self.column is None:
            raise ValueError("not a paired sample")
        return self.column[self.pairs.control], self.column[self.pairs.treatment]


def sample(table: TrialsTable, arm: int, column: FloatArray, paired: bool) -> Sample:
    """Return `column` of control and of the arm with index `arm`; pairs need both values.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.trials_table import TrialsTable
    >>> arm, none = np.array([0, 1, 0, 1]), trial_columns([])
    >>> table = TrialsTable(none, ("control", "treatment"), False, arm, np.arange(4))
    >>> units = sample(table, 1, np.array([5.0, 7.0, 6.0, np.nan]), paired=False)
    >>> units.n, units.difference()
    (1, 1.5)
    """
    apart = Sample(table.path(0, column), table.path(arm, column))
    if not paired:
        return apart
    pairs = table.pairs(arm)
    complete = pairs.only(~np.isnan(column[pairs.control] + column[pairs.treatment]))
    if complete.unit is None or np.unique(complete.unit).size == complete.unit.size:
        return replace(apart, pairs=complete, column=column)
    values = column[complete.control], column[complete.treatment]
    return of_visits(apart, Visits(complete, *values))

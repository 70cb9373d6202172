"""The trials of many experiments of one plan as arrays, and what is counted in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.dataset.unit_paths import running_means
from expci.core.model.experiment import Metric
from expci.core.statistics import mean_difference
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import TStatistic, by_t, of_units_and_pairs

T = TypeVar("T", np.float64, np.int64)


@dataclass(frozen=True)
class TrialArrays:
    """Trials of many experiments, [experiments, trials], in the ledger's order.

    `arm` is 0 for control; in a paired design each block of `arms` trials holds every arm
    once. `values` are by metric as reported, nan for none; `failed` marks runs that did
    not do their job. `unit` codes the trial's unit (default: each its own; in a paired design
    the case that a block runs on). A look follows every trial, or every complete block.
    """

    arm: IntArray
    arms: int
    values: Mapping[str, FloatArray]
    failed: BoolArray
    paired: bool = False
    unit: IntArray | None = None

    @property
    def looks(self) -> int:
        trials = int(self.arm.shape[1])
        return trials // self.arms if self.paired else trials

    def at_looks(self, running: NDArray[T]) -> NDArray[T]:
        """What stands after every trial, at the looks."""
        return running[:, self.arms - 1 :: self.arms] if self.paired else running

    @cached_property
    def order(self) -> IntArray:
        """The place of each arm in each block: [experiments, blocks, arms]."""
        shape = (self.arm.shape[0], -1, self.arms)
        return np.asarray(np.argsort(self.arm.reshape(shape), axis=2))

    @property
    def pair_units(self) -> IntArray | None:
        """The unit of each block; `None` where each is a unit of its own."""
        return None if self.unit is None else self.unit[:, :: self.arms]

    def by_arm(self, column: FloatArray) -> FloatArray:
        """Values by block and arm: [experiments, blocks, arms]."""
        shape = (column.shape[0], -1, self.arms)
        return np.take_along_axis(column.reshape(shape), self.order, axis=2)

    def in_trials(self, by_arm: Mapping[int, FloatArray]) -> FloatArray:
        """The values of some arms in each block as a column of the trials, nan elsewhere."""
        blocks = np.full(self.order.shape, np.nan)
        for arm, values in by_arm.items():
            blocks[..., arm] = values
        column = np.empty(blocks.shape)
        np.put_along_axis(column, self.order, blocks, axis=2)
        return column.reshape(self.arm.shape)

    def pair_values(self, column: FloatArray, arm: int) -> tuple[FloatArray, FloatArray]:
        """Control's and the arm's value in each block."""
        values = self.by_arm(column)
        return values[..., 0], values[..., arm]

    def unit_means(self, value: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Each trial's unit mean after it and before it (nan: its first), in its arm.

        Before is `None` where each trial is its own unit.
        """
        if self.unit is None:
            return value, None
        return _running_unit_means(self.unit * self.arms + self.arm, value)

    def counts(self, value: FloatArray, arm: int) -> tuple[FloatArray, FloatArray]:
        """Units of control and of the arm with a value, at each look."""
        there, before = ~np.isnan(value), self.unit_means(value)[1]
        first = there if before is None else there & np.isnan(before)
        control, treatment = (
            np.cumsum(first & (self.arm == index), axis=1, dtype=np.float64) for index in (0, arm)
        )
        return self.at_looks(control), self.at_looks(treatment)

    def totals(self, value: FloatArray, arm: int) -> tuple[FloatArray, FloatArray]:
        """The sums of control's and the arm's units at each look."""
        mean, before = self.unit_means(value)
        added = np.nan_to_num(mean) - (0.0 if before is None else np.nan_to_num(before))
        control, treatment = (
            np.cumsum(np.where(self.arm == index, added, 0.0), axis=1) for index in (0, arm)
        )
        return self.at_looks(control), self.at_looks(treatment)

    def pairs_run(self, value: FloatArray, arm: int) -> FloatArray:
        """Pairs with both values, at each look."""
        control, treatment = self.pair_values(value, arm)
        return np.cumsum(~np.isnan(control + treatment), axis=1, dtype=np.float64)

    def smaller_arm(self, value: FloatArray, arm: int, in_pairs: bool) -> FloatArray:
        """Units of the smaller arm with a value (pairs, or cases with a pair), at each look."""
        if not self.paired or not in_pairs:
            return np.minimum(*self.counts(value, arm))
        if self.unit is None:
            return self.pairs_run(value, arm)
        after, before = self.case_means(np.add(*self.pair_values(value, arm)))
        return np.cumsum(~np.isnan(after) & np.isnan(before), axis=1, dtype=np.float64)

    def case_means(self, column: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The mean of each pair's case after it and before it (nan: its first pair)."""
        return _running_unit_means(self.unit_of_pairs, column)

    @property
    def unit_of_pairs(self) -> IntArray:
        unit = self.pair_units
        if unit is None:
            raise ValueError("each pair is a unit of its own")
        return unit

    def mean_statistic(self, value: FloatArray, arm: int, rules: Rules) -> TStatistic:
        """The difference of means at every look, as an analysis weighs it."""
        looks = self.mean_looks(value, arm)
        if not self.paired or self.unit is None:
            return by_t(looks, rules)
        return of_units_and_pairs(looks, self._pair_looks(value, arm), rules)

    def mean_looks(self, value: FloatArray, arm: int) -> Looks:
        """The difference of means at every look: Welch's, of pairs freed of their order.

        Of cases that are visited again and again: of their means.
        """
        if not self.paired:
            mean, before = self.unit_means(value)
            return mean_difference.two_sample(self.arm, mean, arm, before)
        if self.unit is None:
            return self._pair_looks(value, arm)
        columns = (*self._whole_pairs(value, arm), self._treatment_first(arm))
        (control, c), (treatment, t), (order, x) = map(self.case_means, columns)
        return mean_difference.paired(control, treatment, order, (c, t, x))

    def _pair_looks(self, value: FloatArray, arm: int) -> Looks:
        return mean_difference.paired(*self.pair_values(value, arm), self._treatment_first(arm))

    def _treatment_first(self, arm: int) -> FloatArray:
        return np.where(self.order[..., arm] < self.order[..., 0], 1.0, -1.0)

    def _whole_pairs(self, value: FloatArray, arm: int) -> tuple[FloatArray, FloatArray]:
        """Both values of each pair, nan for both where one has none."""
        control, treatment = self.pair_values(value, arm)
        gap = np.isnan(control + treatment)
        return np.where(gap, np.nan, control), np.where(gap, np.nan, treatment)

    def control_moments(
        self, value: FloatArray, arm: int
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """n, mean and squared error of control's units (in complete pairs) at each look."""
        if self.paired:
            control = self._whole_pairs(value, arm)[0]
            if self.unit is not None:
                return mean_difference.running_moments(*self.case_means(control))
            return mean_difference.running_moments(control)
        mine = np.where(self.arm == 0, value, np.nan)
        return mean_difference.running_moments(*self.unit_means(mine))


def _running_unit_means(codes: IntArray, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each row's unit means after every value and before it, nan where there is none."""
    row = np.arange(value.shape[0])[:, None] * (int(codes.max(initial=0)) + 1)
    after, before = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    there = ~np.isnan(value)
    _, code = np.unique((row + codes)[there], return_inverse=True)
    after[there], before[there] = running_means(code, value[there])
    return after, before


def simulated_column(metric: Metric, arrays: TrialArrays) -> MetricColumn:
    """Return the values of simulated trials as `metric_column` gives those of real ones.

    >>> timed = Metric("duration_s", "primary", "duration", "decrease")
    >>> times, failed = np.array([[9.0, 3.0, 5.0]]), np.array([[False, True, False]])
    >>> arrays = TrialArrays(np.array([[0, 1, 0]]), 2, {"duration_s": times}, failed)
    >>> column = simulated_column(timed, arrays)
    >>> column.value, column.last  # a failed run has no time, and ranks last
    (array([[ 9., nan,  5.]]), array([[9., 9., 5.]]))
    """
    reported = arrays.values[metric.name]
    unreported = np.zeros(reported.shape, dtype=np.bool_)
    if not metric.traits.is_timed or not arrays.failed.any():
        return MetricColumn(reported, reported, unreported)
    value = np.where(arrays.failed, np.nan, reported)
    longest = np.fmax.accumulate(reported, axis=1)
    first = np.fmax.reduce(reported[:, :10], axis=1, keepdims=True)
    last = np.where(arrays.failed, np.fmax(longest, first), value)
    return MetricColumn(value, last, unreported)

"""Both arms' units of one metric on one scale, as two independent samples or as pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray, Moments, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.dataset.unit_paths import Pairs, UnitPath
from expci.core.model.results import Paired
from expci.core.statistics import classical, mean_difference
from expci.core.statistics.mean_difference import Looks


@dataclass(frozen=True)
class Sample:
    """Both arms' units on one scale: two paths, or pairs in the order of completion."""

    control: UnitPath
    treatment: UnitPath
    pairs: Pairs | None = None
    column: FloatArray | None = None

    @property
    def n(self) -> int:
        """Pairs, or units of the smaller arm."""
        if self.pairs is not None:
            return int(self.pairs.control.size)
        return int(min(self.control.first.sum(), self.treatment.first.sum()))

    def first(self, units: int) -> Sample:
        """The first `units` units per arm (pairs)."""
        if self.pairs is None:
            return Sample(self.control.up_to(units), self.treatment.up_to(units))
        return replace(self, pairs=self.pairs.only(slice(units)))

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
            control, treatment = self.pair_values()
            first = self.pairs.treatment_first
            return mean_difference.paired(control[None, :], treatment[None, :], first[None, :])
        arm, mean, before = self.row()
        return mean_difference.two_sample(arm, mean, 1, before) if mean.size else None

    def difference(self) -> float | None:
        """Treatment − control of unit means, of pairs at balanced order."""
        if not self.n:
            return None
        if self.pairs is None:
            return moments(self.treatment.final).mean - moments(self.control.final).mean
        control, treatment = self.pair_values()
        return classical.order_adjusted_mean(treatment - control, self.pairs.treatment_first)

    def estimated(self) -> classical.Difference | None:
        """The difference with its standard error and df: Welch's, of pairs order-adjusted."""
        if self.pairs is None:
            control, treatment = moments(self.control.final), moments(self.treatment.final)
            return classical.welch_difference(control, treatment)
        if not self.n:
            return None
        control_values, treatment_values = self.pair_values()
        return classical.order_adjusted(
            treatment_values - control_values, self.pairs.treatment_first
        )

    def control_mean(self) -> Moments:
        return moments(self.control.final if self.pairs is None else self.pair_values()[0])

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
    """`column` of control and of the arm with index `arm`; pairs need both values."""
    apart = Sample(table.path(0, column), table.path(arm, column))
    if not paired:
        return apart
    pairs = table.pairs(arm)
    complete = ~np.isnan(column[pairs.control] + column[pairs.treatment])
    return replace(apart, pairs=pairs.only(complete), column=column)

"""How evidence is weighed in each mode: at every look, at the planned looks, or once.

A statistic tells what every look so far adds up to, and how the arms stood at the planned looks,
as normal deviates and intervals. The modes are built from these. Harm is always weighed at every
look.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray
from expci.core.model.experiment import PlanRules
from expci.core.special_functions import special
from expci.core.statistics import group_sequential, t_mixture
from expci.core.statistics.planned_looks import PlannedLooks
from expci.core.statistics.statistic import Statistic
from expci.core.statistics.t_mixture import Ends, Rules, intersection


@dataclass(frozen=True)
class Weighed:
    """A statistic in the plan's mode: evidence and intervals at every look.

    `plan` is `None` where every look counts, `harm_level` what the evidence of harm is compared
    with. `exact` p-values at planned looks are dear: without it they are the level where its
    boundary was reached and 1 before.
    """

    statistic: Statistic
    plan: PlannedLooks | None
    harm_level: float
    exact: bool = False

    @property
    def rules(self) -> Rules:
        return self.statistic.rules

    @cached_property
    def log_e(self) -> FloatArray:
        return self.statistic.log_e()

    @cached_property
    def harm_log_e(self) -> FloatArray:
        return self.statistic.harm_log_e()

    @cached_property
    def p_value(self) -> FloatArray:
        """Two-sided; 1 where there is no evidence."""
        if self.plan is None:
            return t_mixture.p_values(self.log_e)
        p_values = self.plan.spread(self._planned_p_values(self.plan), 1.0)
        if not self.plan.extended.any():
            return p_values
        later = t_mixture.p_values(self._last(self.log_e)) / self.plan.rules.reserve
        return np.where(self.plan.extended, np.minimum(p_values, later), p_values)

    def _last(self, column: FloatArray) -> FloatArray:
        """As many looks of `column` as the plan has: all, or the last one."""
        width = self.plan.extended.shape[1] if self.plan is not None else column.shape[1]
        return column[:, -width:]

    @cached_property
    def harm_p_value(self) -> FloatArray:
        """One-sided: that at every look, and where the plan says so that at the planned looks.

        Each has a share of the level, so that the two together hold it (union bound).
        """
        at_every_look = t_mixture.p_values(self.harm_log_e)
        share = 0.0 if self.plan is None else self.plan.rules.planned_harm
        if self.plan is None or not share or not self.plan.units:
            return at_every_look
        planned = self.plan.spread(self._planned_harm(self.plan, share), 1.0)
        return np.minimum(planned, np.minimum(1.0, self._last(at_every_look) / (1 - share)))

    def _planned_harm(self, plan: PlannedLooks, share: float) -> FloatArray:
        """After each planned look; one side of the two-sided boundary at twice the level."""
        z = np.nan_to_num(np.maximum(self.rules.harm * self.planned_z, 0.0), nan=0.0)
        sides = 2 * share * self.harm_level
        if self.exact and len(z) == 1:
            p_values = np.minimum(1.0, _path_p_values(z, plan, sides) / (2 * share))
            return np.where(np.maximum.accumulate(z, axis=1) > 0, p_values, 1.0)
        spending = plan.rules.spending, plan.rules.rho
        bounds = group_sequential.boundaries(plan.fractions, sides, *spending)
        crossed = np.maximum.accumulate(z - np.array(bounds), axis=1) >= 0
        return np.where(crossed, self.harm_level, 1.0)

    @cached_property
    def planned_z(self) -> FloatArray:
        if self.plan is None:
            raise ValueError("an anytime plan has no planned looks")
        return self.statistic.planned_z(self.plan)

    def _planned_p_values(self, plan: PlannedLooks) -> FloatArray:
        z = np.nan_to_num(self.planned_z, nan=0.0)
        if not plan.units:
            return z
        if plan.rules.inference == "fixed":
            return np.asarray(2 * special.ndtr(-np.abs(z)))
        if self.exact:
            return _sequential_p_values(z, plan)
        crossed = np.maximum.accumulate(np.abs(z) - np.array(plan.bounds), axis=1) >= 0
        return np.where(crossed, plan.rules.alpha, 1.0)

    @cached_property
    def futile(self) -> BoolArray:
        """Whether the last planned look makes success unlikely."""
        plan = self.plan
        if plan is None or not stops_for_futility(plan.rules) or not plan.units:
            return np.zeros(self.statistic.n.shape, dtype=np.bool_)
        spending = plan.rules.spending, plan.rules.rho
        beta = 1 - plan.rules.power
        alpha = plan.rules.planned_alpha
        bounds = group_sequential.futility(plan.fractions, alpha, beta, *spending)
        # A look that cannot be computed (nan) is no sign of anything: the experiment goes on.
        below = (-self.rules.harm * self.planned_z < np.array(bounds)).astype(np.float64)
        return plan.spread(below, 0.0) > 0

    def estimated(self, column: FloatArray) -> FloatArray:
        """`column` as it stood at the look that estimates use."""
        return column if self.plan is None else self.plan.estimated(column)

    @cached_property
    def interval(self) -> Ends:
        """Of treatment − control; crossed where it is empty, infinite before any."""
        return self.statistic.interval() if self.plan is None else self._planned_ends[0]

    @cached_property
    def relative(self) -> Ends:
        """The same as a share of control's value."""
        return self.statistic.relative() if self.plan is None else self._planned_ends[1]

    @cached_property
    def _planned_ends(self) -> tuple[Ends, Ends]:
        """Repeated intervals hold together, so they intersect (Jennison & Turnbull 1989).

        In an extension those of the reserve take part.
        """
        plan = self.plan
        if plan is None:
            raise ValueError("an anytime plan has no planned looks")
        unknown = np.isnan(self.planned_z)
        both = []
        for ends in self.statistic.planned_ends(plan):
            low, high = intersection(
                np.where(unknown, -np.inf, ends[0]), np.where(unknown, np.inf, ends[1])
            )
            both.append((plan.spread(low, -np.inf), plan.spread(high, np.inf)))
        if not plan.extended.any():
            return both[0], both[1]
        later = self.statistic.at_level(plan.rules.alpha * plan.rules.reserve)
        return self._joined(both[0], later.interval()), self._joined(both[1], later.relative())

    def _joined(self, planned: Ends, later: Ends) -> Ends:
        """Both intervals at once, where there is an extension."""
        if self.plan is None:
            raise ValueError("an anytime plan has no extension")
        low, high = (self._last(end) for end in later)
        low = np.where(self.plan.extended, np.maximum(planned[0], low), planned[0])
        return low, np.where(self.plan.extended, np.minimum(planned[1], high), planned[1])


def stops_for_futility(rules: PlanRules) -> bool:
    """Return whether the plan ends where success has become unlikely.

    >>> stops_for_futility(PlanRules(inference="group-sequential", futility=True))
    True
    """
    return rules.futility and rules.inference == "group-sequential"


def _sequential_p_values(z: FloatArray, plan: PlannedLooks) -> FloatArray:
    """At the planned looks that are the last one of some look; others may be left at 1.

    One experiment's is exact; of many they are read from a table of boundaries.
    """
    share, alpha = 1 - plan.rules.reserve, plan.rules.planned_alpha
    if z.shape[0] > 1:
        spending = plan.rules.spending, plan.rules.rho
        tabled = group_sequential.p_values(z, plan.fractions, alpha, *spending)
        return np.minimum(1.0, tabled / share)
    return np.minimum(1.0, _path_p_values(z, plan, alpha) / share)


def _path_p_values(z: FloatArray, plan: PlannedLooks, alpha: float) -> FloatArray:
    """Of one experiment, two-sided; at most `alpha` exactly where its boundary was reached."""
    p_values = np.ones(z.shape)
    for count in np.unique(plan.reached[0]):
        if count:
            path, fractions = tuple(z[0, :count].tolist()), plan.fractions[:count]
            level = group_sequential.p_value(path, fractions, plan.rules, alpha)
            p_values[0, count - 1] = level
    return p_values

"""A treatment against control on one metric, at every look of many experiments at once.

What `weighing`, `comparison` and `change` say of one experiment, in arrays [experiments,
looks]. An estimate that is not known is nan, an open end of an interval is infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import special

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.decision.numbers import DurationGuard, Improvement
from expci.core.model.experiment import Metric, PlanRules
from expci.core.planning import batch
from expci.core.statistics import group_sequential
from expci.core.statistics.inference import schedule
from expci.core.statistics.t_mixture import Rules

Ends = tuple[FloatArray, FloatArray]
_LARGEST_Z = 37.0


@dataclass(frozen=True)
class Planned:
    """The planned looks of a `fixed` or `group-sequential` plan.

    `index` is the look at which each experiment reached each of them, [experiments,
    planned looks]; `reached` how many of them at each look; `seen` the look that the
    estimates are made of: the last planned one, before the first the present one.
    """

    rules: PlanRules
    units: tuple[int, ...]
    fractions: tuple[float, ...]
    index: IntArray
    reached: IntArray
    seen: IntArray

    @cached_property
    def bounds(self) -> tuple[float, ...]:
        """Critical |z| of each planned look."""
        if self.rules.inference == "fixed":
            return (-float(special.ndtri(self.rules.alpha / 2)),)
        spending = self.rules.spending, self.rules.rho
        return group_sequential.boundaries(self.fractions, self.rules.alpha, *spending)

    def at(self, column: FloatArray) -> FloatArray:
        """The values at the planned looks: [experiments, planned looks]."""
        return np.take_along_axis(column, self.index, axis=1)

    def shown(self, column: FloatArray) -> FloatArray:
        """The values that are seen at each look."""
        return np.take_along_axis(column, self.seen, axis=1)

    def spread(self, by_look: FloatArray, before: float) -> FloatArray:
        """What stands after each planned look, at every look; `before` the first one."""
        first = np.full((by_look.shape[0], 1), before)
        return np.take_along_axis(np.hstack([first, by_look]), self.reached, axis=1)


def planned(n: FloatArray, rules: PlanRules, target: int | None, start: int) -> Planned | None:
    """When the planned looks come, by the units so far; `None` where looks are not planned."""
    if rules.inference == "anytime":
        return None
    units: tuple[int, ...] = ()
    fractions: tuple[float, ...] = ()
    if target is not None and rules.inference == "fixed":
        units, fractions = (target,), (1.0,)
    elif target is not None:
        found = schedule(target, rules.looks, start)
        units, fractions = found.units, found.fractions
    index = np.stack([np.argmax(n >= size, axis=1) for size in units], axis=1) if units else None
    reached = np.searchsorted(units, n, side="right").astype(np.int64)
    now = np.broadcast_to(np.arange(n.shape[1]), n.shape)
    if index is None:
        return Planned(rules, (), (), np.zeros((n.shape[0], 0), np.int64), reached, now)
    last = np.take_along_axis(index, np.maximum(reached - 1, 0), axis=1)
    return Planned(rules, units, fractions, index, reached, np.where(reached > 0, last, now))


def planned_p_values(z: FloatArray, plan: Planned, exact: bool) -> FloatArray:
    """Two-sided p-values after each planned look; `exact` where more than alpha is asked."""
    if not plan.units:
        return z
    if plan.rules.inference == "fixed":
        return np.asarray(2 * special.ndtr(-np.abs(z)))
    if exact:
        return _sequential_p_values(z, plan)
    crossed = np.maximum.accumulate(np.abs(z) - np.array(plan.bounds), axis=1) >= 0
    return np.where(crossed, plan.rules.alpha, 1.0)


def _sequential_p_values(z: FloatArray, plan: Planned) -> FloatArray:
    found = np.ones(z.shape)
    for row in range(z.shape[0]):
        for look in range(z.shape[1]):
            path, fractions = tuple(z[row, : look + 1].tolist()), plan.fractions[: look + 1]
            found[row, look] = group_sequential.p_value(
                path, fractions, plan.rules, plan.rules.alpha
            )
    return found


def futile_looks(z: FloatArray, plan: Planned, rules: Rules) -> BoolArray | None:
    if not plan.rules.futility or plan.rules.inference == "fixed" or not plan.units:
        return None
    spending = plan.rules.spending, plan.rules.rho
    beta = 1 - plan.rules.power
    bounds = group_sequential.futility(plan.fractions, rules.alpha, beta, *spending)
    below = (-rules.harm * z < np.array(bounds)).astype(np.float64)
    return plan.spread(below, 0.0) > 0


@dataclass
class Weighed:
    """One scale: its looks, and what they add up to in the plan's mode."""

    found: batch.Weighable
    rules: Rules
    plan: Planned | None
    exact: bool = False

    @cached_property
    def z(self) -> FloatArray:
        """The normal deviates at the planned looks, 0 where nothing varies."""
        looks, plan = self.found.looks, self.plan
        if plan is None:
            raise ValueError("an anytime plan has no planned looks")
        with np.errstate(divide="ignore", invalid="ignore"):
            t = plan.at(looks.difference) / plan.at(looks.error)
            tail = np.maximum(special.stdtr(plan.at(looks.df), -np.abs(t)), 1e-300)
        z = np.sign(t) * np.minimum(-special.ndtri(tail), _LARGEST_Z)
        return np.where(self._valid, z, 0.0)

    @property
    def _valid(self) -> BoolArray:
        return np.take_along_axis(self.found.looks.valid, self._plan.index, axis=1)

    @property
    def _plan(self) -> Planned:
        if self.plan is None:
            raise ValueError("an anytime plan has no planned looks")
        return self.plan

    @cached_property
    def p_value(self) -> FloatArray:
        """1 where there is no evidence."""
        if self.plan is None:
            return batch.p_value(batch.evidence(self.found, self.rules))
        return self.plan.spread(planned_p_values(self.z, self.plan, self.exact), 1.0)

    @cached_property
    def harm_p_value(self) -> FloatArray:
        return batch.p_value(batch.harm_evidence(self.found, self.rules))

    @cached_property
    def futile(self) -> BoolArray | None:
        return None if self.plan is None else futile_looks(self.z, self.plan, self.rules)

    @property
    def difference(self) -> FloatArray:
        column = self.found.looks.difference
        return column if self.plan is None else self.plan.shown(column)

    @cached_property
    def interval(self) -> Ends:
        """Of the difference; crossed where it is empty."""
        if self.plan is None:
            return batch.anytime_interval(self.found, self.rules)
        difference, error = (
            self.plan.at(column) for column in (self.found.looks.difference, self.found.looks.error)
        )
        return self._at_planned(difference - self._t * error, difference + self._t * error)

    @cached_property
    def ratio(self) -> Ends:
        """The same as a share of control's mean, by Fieller."""
        if self.plan is None:
            return batch.anytime_ratio(self.found, self.rules)
        return self._at_planned(*batch.fieller_at(self.found.looks, self._plan.at, self._t))

    @cached_property
    def _t(self) -> FloatArray:
        """The t that each planned look's bound is, mapped through its tail."""
        tail = special.ndtr(-np.array(self._plan.bounds))
        with np.errstate(invalid="ignore"):
            return np.asarray(-special.stdtrit(self._plan.at(self.found.looks.df), tail))

    def _at_planned(self, low: FloatArray, high: FloatArray) -> Ends:
        """Repeated intervals hold together, so those so far intersect."""
        low = np.where(self._valid, low, -np.inf)
        high = np.where(self._valid, high, np.inf)
        low, high = np.maximum.accumulate(low, axis=1), np.minimum.accumulate(high, axis=1)
        return self._plan.spread(low, -np.inf), self._plan.spread(high, np.inf)


def improvement(estimate: FloatArray, ends: Ends, better: float | FloatArray) -> Improvement:
    """Signed so that positive is better; an empty interval is open on both sides."""
    up = np.asarray(better) > 0
    low, high = np.where(up, ends[0], -ends[1]), np.where(up, ends[1], -ends[0])
    empty = low > high
    low, high = np.where(empty, -np.inf, low), np.where(empty, np.inf, high)
    return Improvement(better * estimate, low, high)


@dataclass
class Continuous:
    """A treatment on a duration or a mean. `control` are its n, mean and squared error, raw."""

    metric: Metric
    scaled: Weighed
    raw: Weighed
    measured: FloatArray
    control: tuple[FloatArray, FloatArray, FloatArray]
    ranked: Weighed | None = None

    @property
    def better(self) -> int:
        return 1 if self.metric.direction == "increase" else -1

    @property
    def p_value(self) -> FloatArray:
        return self.scaled.p_value

    @property
    def harm_p_value(self) -> FloatArray:
        return self.scaled.harm_p_value

    @property
    def futile(self) -> BoolArray | None:
        return self.scaled.futile

    @cached_property
    def absolute(self) -> Improvement:
        return improvement(self.raw.difference, self.raw.interval, self.better)

    @cached_property
    def relative(self) -> Improvement:
        return self._of_logs(self.scaled) if self.metric.kind == "duration" else self._of_means()

    def _of_logs(self, weighed: Weighed) -> Improvement:
        with np.errstate(over="ignore"):
            low, high = (np.expm1(end) for end in weighed.interval)
            return improvement(np.expm1(weighed.difference), (low, high), self.better)

    def _of_means(self) -> Improvement:
        n, mean, squared_error = self._seen_control()
        with np.errstate(divide="ignore", invalid="ignore"):
            margin = batch.t_quantile(n - 1, self.scaled.rules.alpha) * np.sqrt(squared_error)
            clear = np.abs(mean) > margin
            estimate = self.scaled.difference / mean
        sign = self.better * np.where(mean < 0, -1.0, 1.0)
        found = improvement(estimate, self.scaled.ratio, sign)
        return Improvement(
            np.where(clear, found.estimate, np.nan),
            np.where(clear, found.low, -np.inf),
            np.where(clear, found.high, np.inf),
        )

    def _seen_control(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        plan = self.scaled.plan
        if plan is None:
            return self.control
        n, mean, squared_error = (plan.shown(column) for column in self.control)
        return n, mean, squared_error

    @cached_property
    def guard(self) -> DurationGuard | None:
        """With failures ranked last; where none failed, the evidence itself."""
        if self.metric.kind != "duration" or self.metric.role != "primary":
            return None
        ranked = self.scaled if self.ranked is None else self.ranked
        saving = self.better * self.raw.difference
        return DurationGuard(saving, ranked.p_value, self._of_logs(ranked).low)


@dataclass
class Proportion:
    """A treatment on a proportion; everything is signed so that positive is better.

    `counts` are each arm's units and `totals` their sums at each look; `blocks` those of
    the safe test, whose interval is held against `bounds` only. `usable` is False where it is
    known to be empty.
    """

    metric: Metric
    rules: Rules
    counts: tuple[FloatArray, FloatArray]
    totals: tuple[FloatArray, FloatArray]
    blocks: batch.BlockDifferences
    plan: Planned | None
    usable: BoolArray
    bounds: Sequence[float]
    exact: bool = False
    _compared: dict[tuple[float, int], BoolArray] = field(default_factory=dict)

    @property
    def better(self) -> int:
        return 1 if self.metric.direction == "increase" else -1

    @property
    def measured(self) -> FloatArray:
        return np.minimum(*self.counts)

    @cached_property
    def estimate(self) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = [total / n for total, n in zip(self.totals, self.counts, strict=True)]
        found = self.better * (shares[1] - shares[0])
        return found if self.plan is None else self.plan.shown(found)

    @cached_property
    def harm_p_value(self) -> FloatArray:
        return batch.p_value(batch.exceeds(self.blocks.mirrored(), 0.0))

    @cached_property
    def p_value(self) -> FloatArray:
        if self.plan is not None:
            estimate, error = self._agresti_caffo
            p_values = planned_p_values(estimate / error, self.plan, self.exact)
            return self.plan.spread(p_values, 1.0)
        sides = [batch.exceeds(side, 0.0) for side in (self.blocks, self.blocks.mirrored())]
        return batch.p_value(np.maximum(*sides) - np.log(2))

    @property
    def futile(self) -> BoolArray | None:
        if self.plan is None:
            return None
        estimate, error = self._agresti_caffo
        return futile_looks(self.better * estimate / error, self.plan, self.rules)

    @cached_property
    def _agresti_caffo(self) -> tuple[FloatArray, FloatArray]:
        """Improvement and standard error at the planned looks (`proportion.agresti_caffo`)."""
        if self.plan is None:
            raise ValueError("an anytime plan has no planned looks")
        n = [self.plan.at(count) + 2 for count in self.counts]
        rates = [(self.plan.at(t) + 1) / m for t, m in zip(self.totals, n, strict=True)]
        variance = sum(rate * (1 - rate) / m for rate, m in zip(rates, n, strict=True))
        return self.better * (rates[1] - rates[0]), np.sqrt(variance)

    @cached_property
    def _ends(self) -> Ends:
        """Of a plan with planned looks."""
        estimate, error = self._agresti_caffo
        plan = self.plan
        if plan is None:
            raise ValueError("an anytime plan has no planned looks")
        margin = np.array(plan.bounds) * error if plan.units else error
        low = np.maximum.accumulate(np.maximum(estimate - margin, -1), axis=1)
        high = np.minimum.accumulate(np.minimum(estimate + margin, 1), axis=1)
        found = plan.spread(low, -np.inf), plan.spread(high, np.inf)
        empty = found[0] > found[1]
        return np.where(empty, -np.inf, found[0]), np.where(empty, np.inf, found[1])

    @property
    def absolute(self) -> Improvement:
        """In points. Of the safe test's interval only the bounds that it reaches."""
        if self.plan is not None:
            return Improvement(self.estimate, *self._ends)
        low, high = (np.full(self.estimate.shape, sign * np.inf) for sign in (-1, 1))
        for bound in sorted(self.bounds):
            low = np.where(self.usable & self._reaches(bound), bound, low)
        for bound in sorted(self.bounds, reverse=True):
            high = np.where(self.usable & self._under(bound), np.nextafter(bound, -np.inf), high)
        return Improvement(self.estimate, low, high)

    @property
    def relative(self) -> Improvement:
        """Proportions are compared in points only."""
        return self.absolute

    def _reaches(self, bound: float) -> BoolArray:
        if (bound, 1) not in self._compared:
            above = batch.lower_end_above(self.blocks, bound - 1e-9, self.rules.alpha / 2)
            self._compared[bound, 1] = above
        return self._compared[bound, 1]

    def _under(self, bound: float) -> BoolArray:
        if (bound, -1) not in self._compared:
            below = batch.lower_end_above(self.blocks.mirrored(), -bound, self.rules.alpha / 2)
            self._compared[bound, -1] = below
        return self._compared[bound, -1]

    def withdraw(self, row: IntArray, look: IntArray) -> bool:
        """Take the interval back from where its ends have crossed; was there such a one?"""
        if self.plan is not None:
            return False
        row = row[self.usable[row, look[row]]]
        chosen = np.zeros(look.shape, dtype=np.bool_)
        chosen[row] = True
        empty = batch.crossed(self.blocks.of(chosen), look[row], self.rules.alpha)
        for index in row[empty]:
            self.usable[index, look[index] :] = False
        return bool(empty.any())

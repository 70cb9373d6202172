"""How evidence is weighed in each mode: at every look, at the planned looks, or once.

A statistic compares two arms at every look, arrays [experiments, looks]; one real experiment is
one row. It tells what every look so far adds up to, and how the arms stood at the planned looks,
as normal deviates and intervals. The modes are made from these. Harm is always weighed at every
look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self, TypeVar

import numpy as np
from scipy import special

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.model.experiment import CONTROL, Experiment, Metric, PlanRules
from expci.core.model.results import Evidence
from expci.core.statistics import betting, group_sequential, t_mixture
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.t_mixture import Ends, Rules, Weighable, intersection

_LARGEST_Z = 37.0  # a tail beyond it is 0 in a 64-bit float
RowEnds = tuple[float, float]


class Units(Protocol):
    """Both arms' units on one scale; `looks` are the statistics after every trial, one row."""

    @property
    def n(self) -> int: ...

    def until(self, units: int, /) -> Self: ...

    def looks(self) -> Looks | None: ...


UnitsT = TypeVar("UnitsT", bound=Units)


class Statistic(Protocol):
    """A comparison of two arms at every look: [experiments, looks].

    `n` are the smaller arm's units (pairs). Evidence is −inf, an interval infinite, and a
    planned look nan where nothing is known; intervals are of treatment − control in its unit.
    """

    @property
    def rules(self) -> Rules: ...

    @property
    def n(self) -> FloatArray: ...

    def log_e(self) -> FloatArray:
        """The largest two-sided log E so far."""

    def harm_log_e(self) -> FloatArray:
        """The largest log E of harm so far."""

    def interval(self) -> Ends:
        """What fits every look so far; crossed where nothing does."""

    def relative(self) -> Ends:
        """The same as a share of control's value."""

    def planned_z(self, plan: PlannedLooks) -> FloatArray:
        """Standard normal under no effect, at the planned looks [experiments, planned]."""

    def planned_ends(self, plan: PlannedLooks) -> tuple[Ends, Ends]:
        """The interval and the relative one of each planned look, with its bound."""


@dataclass(frozen=True)
class Terms:
    """What all comparisons of one look share.

    `target` is units per arm, where known, `extra` those of them that were added after
    the start; `weights` the shares by arm (`None`: not known).
    """

    experiment: Experiment
    rules: PlanRules
    target: int | None
    harm_level: float
    paired: bool
    weights: Mapping[str, float] | None
    extra: int = 0

    @property
    def start(self) -> int:
        """Units per arm before which there is no evidence: Welch's t needs more if unequal."""
        equal = self.weights is not None and len(set(self.weights.values())) == 1
        return 5 if equal or self.paired else 10

    @property
    def level(self) -> float:
        return 1 - self.rules.alpha

    @property
    def design(self) -> str:
        """How the units are compared, whatever the plan called it."""
        return "paired" if self.paired else "randomized"

    @property
    def planned(self) -> int | None:
        """The units per arm that alpha was planned over: an extension buys no new look."""
        return None if self.target is None else self.target - self.extra

    def block_sizes(self, arm: str) -> tuple[int, int]:
        """Units of control and of `arm` in a block of the safe test."""
        if self.weights is None:
            return 1, 1
        return betting.block_sizes(self.weights[CONTROL], self.weights[arm])


@dataclass(frozen=True)
class Schedule:
    """The planned looks: units per arm at each, and the fraction of the sample that is."""

    units: tuple[int, ...]
    fractions: tuple[float, ...]


def schedule(planned: int, looks: int, start: int) -> Schedule:
    """Equal steps of `planned`; a look before `start` units is left out, its alpha kept."""
    sizes = sorted({math.ceil(planned * k / looks - 1e-9) for k in range(1, looks + 1)})
    units = tuple(n for n in sizes if n >= min(start, planned))
    return Schedule(units, tuple(n / planned for n in units))


@dataclass(frozen=True)
class PlannedLooks:
    """The planned looks of a `fixed` or `group-sequential` plan.

    `index` is the look at which each experiment reached each of them, [experiments,
    planned looks]; `reached` how many of them at each look; `latest` the look that the
    estimates are made of: the last planned one, before the first the present one.
    """

    rules: PlanRules
    units: tuple[int, ...]
    fractions: tuple[float, ...]
    index: IntArray
    reached: IntArray
    latest: IntArray

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

    def estimated(self, column: FloatArray) -> FloatArray:
        """The values that estimates are made of at each look."""
        return np.take_along_axis(column, self.latest, axis=1)

    def spread(self, by_look: FloatArray, before: float) -> FloatArray:
        """What stands after each planned look, at every look; `before` the first one."""
        first = np.full((by_look.shape[0], 1), before)
        return np.take_along_axis(np.hstack([first, by_look]), self.reached, axis=1)


def planned_looks(
    n: FloatArray, rules: PlanRules, target: int | None, start: int
) -> PlannedLooks | None:
    """When the planned looks come, by the units so far; `None` where looks are not planned."""
    if rules.inference == "anytime":
        return None
    units: tuple[int, ...] = ()
    fractions: tuple[float, ...] = ()
    if target is not None and rules.inference == "fixed":
        units, fractions = (target,), (1.0,)
    elif target is not None:
        steps = schedule(target, rules.looks, start)
        units, fractions = steps.units, steps.fractions
    reached = np.searchsorted(units, n, side="right").astype(np.int64)
    now = np.broadcast_to(np.arange(n.shape[1]), n.shape)
    if not units:
        return PlannedLooks(rules, (), (), np.zeros((n.shape[0], 0), np.int64), reached, now)
    index = np.stack([np.argmax(n >= size, axis=1) for size in units], axis=1)
    last = np.take_along_axis(index, np.maximum(reached - 1, 0), axis=1)
    return PlannedLooks(rules, units, fractions, index, reached, np.where(reached > 0, last, now))


@dataclass(frozen=True)
class Weighed:
    """A statistic in the plan's mode: evidence and intervals at every look.

    `plan` is `None` where every look counts. `exact` p-values at planned looks are dear: without
    it they are alpha where its boundary was reached and 1 before.
    """

    statistic: Statistic
    plan: PlannedLooks | None
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
        return self.plan.spread(self._planned_p_values(self.plan), 1.0)

    @cached_property
    def harm_p_value(self) -> FloatArray:
        return t_mixture.p_values(self.harm_log_e)

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
        """Whether the last planned look makes success unlikely; nowhere if not asked."""
        plan = self.plan
        if plan is None or not is_futility_asked(plan.rules) or not plan.units:
            return np.zeros(self.statistic.n.shape, dtype=np.bool_)
        spending = plan.rules.spending, plan.rules.rho
        beta = 1 - plan.rules.power
        bounds = group_sequential.futility(plan.fractions, self.rules.alpha, beta, *spending)
        z = np.nan_to_num(self.planned_z, nan=0.0)
        below = (-self.rules.harm * z < np.array(bounds)).astype(np.float64)
        return plan.spread(below, 0.0) > 0

    def estimated(self, column: FloatArray) -> FloatArray:
        """`column` as it stood at the look that estimates are made of."""
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
        """Repeated intervals hold together, so they intersect (Jennison & Turnbull 1989)."""
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
        return both[0], both[1]


def is_futility_asked(rules: PlanRules) -> bool:
    return rules.futility and rules.inference == "group-sequential"


def _sequential_p_values(z: FloatArray, plan: PlannedLooks) -> FloatArray:
    """Exact at the planned looks that are the last one of some look; others are never read."""
    p_values = np.ones(z.shape)
    for row in range(z.shape[0]):
        for count in np.unique(plan.reached[row]):
            if count:
                path, fractions = tuple(z[row, :count].tolist()), plan.fractions[:count]
                p_values[row, count - 1] = group_sequential.p_value(
                    path, fractions, plan.rules, plan.rules.alpha
                )
    return p_values


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

    def log_e(self) -> FloatArray:
        return self.weighable.log_e()

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


def by_t(looks: Looks, rules: Rules) -> TStatistic:
    return TStatistic(t_mixture.weighable(looks, rules))


def z_of(looks: Looks) -> FloatArray:
    """t mapped to the normal deviate with its p-value; nan where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        t = looks.difference / looks.error
        tail = np.maximum(special.stdtr(looks.df, -np.abs(t)), 1e-300)
        z = np.copysign(np.minimum(-special.ndtri(tail), _LARGEST_Z), t)
    return np.where(looks.valid, z, np.nan)


def ends_of(looks: Looks, critical: FloatArray) -> tuple[Ends, Ends]:
    """Interval and relative interval for a critical |z|, mapped to t through its tail."""
    with np.errstate(invalid="ignore"):
        tail = special.ndtr(-critical)
        t = np.where(tail > 0, -special.stdtrit(looks.df, tail), np.inf)
        low, high = looks.difference - t * looks.error, looks.difference + t * looks.error
    interval = low * looks.scale, high * looks.scale
    return interval, t_mixture.fieller_limits(looks, t)


@dataclass(frozen=True)
class Snapshot:
    """One look at one experiment: `z` is standard normal under no effect.

    `error` is the standard error, in the unit; `clear` whether control is told apart from 0.
    """

    z: float
    error: float
    clear: bool


def t_snapshot(looks: Looks | None) -> Snapshot | None:
    """The last look of one row; `None` where nothing varies."""
    if looks is None or not looks.valid[0, -1]:
        return None
    last = looks.last
    low, high = (float(end[0, 0]) for end in ends_of(last, np.array([1.0]))[0])
    share = ends_of(last, np.array([1.96]))[1]
    clear = bool(np.isfinite(share[0][0, 0]) and np.isfinite(share[1][0, 0]))
    return Snapshot(float(z_of(last)[0, 0]), (high - low) / 2, clear)


def rules_of(metric: Metric, terms: Terms, scale: float, start: int | None = None) -> Rules:
    return Rules(
        alpha=terms.rules.alpha,
        harm=1 if metric.direction == "decrease" else -1,
        start=terms.start if start is None else max(start, terms.start),
        scale=scale,
    )


@dataclass(frozen=True)
class Summary:
    """What all looks of one experiment add up to.

    `log_e_value` is the largest so far (`None` at planned looks). `interval` is the intersection
    of the intervals of all looks, in the values' unit; it excludes 0 exactly when `p_value` <=
    alpha. `relative` is the same as a share of the control's mean. An interval whose ends are
    crossed is empty: the effect was not the same all the time.
    """

    log_e_value: float | None
    p_value: float
    interval: RowEnds
    relative: RowEnds


@dataclass(frozen=True)
class Harm:
    """The evidence of harm in one experiment, weighed at every look."""

    log_e_value: float
    p_value: float


@dataclass(frozen=True)
class Outcome:
    """One experiment's two-sided evidence in the plan's mode beside that of harm.

    `summary` is `None` where there is no evidence, and `notes` say why. `opened` is how many
    units per arm the last planned look saw (`None`: all there are).
    """

    method: str
    summary: Summary | None
    harm: Harm | None
    looks: int | None
    notes: tuple[str, ...]
    alpha_spent: float | None = None
    futile: bool | None = None
    opened: int | None = None

    @property
    def interval(self) -> RowEnds | None:
        return None if self.summary is None else self.summary.interval

    def opened_units(self, units: UnitsT) -> UnitsT:
        """The units that the evidence and the estimate beside it are made of."""
        return units if self.opened is None else units.until(self.opened)

    def evidence(self, harm_level: float | None) -> Evidence:
        summary, log_e = self.summary, self.summary.log_e_value if self.summary else None
        e_value = None if log_e is None or log_e > 700 else math.exp(log_e)
        return Evidence(
            method=self.method,
            p_value=None if summary is None else summary.p_value,
            e_value=e_value,
            looks=self.looks,
            log_e_value=log_e,
            harm_p_value=None if self.harm is None else self.harm.p_value,
            level_harm=harm_level,
            alpha_spent=self.alpha_spent,
            futile=self.futile,
        )


@dataclass(frozen=True)
class Words:
    """What is said of a statistic: the test beside the mode, in `anytime` mode and in the others,
    and why there is none though there are units."""

    anytime: str = ""
    planned: str = ""
    silent: str = "the values do not vary"


def outcome(
    statistic: Statistic | None, n: int, words: Words, rules: Rules, terms: Terms
) -> Outcome:
    """One experiment's evidence as it stands, in the plan's mode.

    `statistic` is one row, `None` where nothing can be compared yet; `n` are units per arm.
    """
    harm = None if statistic is None else _harm(statistic)
    method = _method(words, terms)
    if terms.rules.inference == "anytime":
        if statistic is None or harm is None:
            return Outcome(method, None, None, None, (_why_none(n, words, rules),))
        return Outcome(method, _summary(Weighed(statistic, None)), harm, None, ())
    if terms.planned is None:
        locked = "locked: no sample size is known; state `plan: sample_size`"
        return Outcome(method, None, harm, None, (locked,))
    if terms.rules.inference == "fixed" and n < terms.planned:
        return Outcome(method, None, harm, None, (f"locked until {terms.planned} per arm",))
    return _at_planned_looks(statistic, n, words, rules, terms, harm)


def _harm(statistic: Statistic) -> Harm | None:
    log_e = float(statistic.harm_log_e()[0, -1])
    return None if log_e == -math.inf else Harm(log_e, t_mixture.p_value_of(log_e))


def _summary(weighed: Weighed) -> Summary:
    log_e = float(weighed.log_e[0, -1]) if weighed.plan is None else None
    interval, relative = (
        (float(low[0, -1]), float(high[0, -1]))
        for low, high in (weighed.interval, weighed.relative)
    )
    p_value = float(weighed.p_value[0, -1]) if log_e is None else t_mixture.p_value_of(log_e)
    return Summary(log_e, p_value, interval, relative)


def _method(words: Words, terms: Terms) -> str:
    said = words.anytime if terms.rules.inference == "anytime" else words.planned
    return f"{terms.rules.inference}, {said}" if said else terms.rules.inference


def _why_none(n: int, words: Words, rules: Rules) -> str:
    if n < rules.start:
        return f"evidence starts at {rules.start} per arm; there are {n}"
    return words.silent


def _at_planned_looks(
    statistic: Statistic | None,
    n: int,
    words: Words,
    rules: Rules,
    terms: Terms,
    harm: Harm | None,
) -> Outcome:
    """At the planned looks that have been reached; data between them change nothing."""
    method, fixed = _method(words, terms), terms.rules.inference == "fixed"
    column = np.array([[float(n)]]) if statistic is None else statistic.n
    plan = planned_looks(column, terms.rules, terms.planned, rules.start)
    if plan is None:
        raise ValueError("an anytime plan has no planned looks")
    plan = replace(plan, reached=plan.reached[:, -1:], latest=plan.latest[:, -1:])  # as it stands
    done = int(plan.reached[0, 0])
    if not done:
        note = f"the first look of {len(plan.units)} is at {plan.units[0]} per arm"
        return Outcome(method, None, harm, 0, (note,), alpha_spent=0.0)
    notes = _extended(terms) if fixed else (_look_words(plan, done), *_extended(terms))
    spent: float | None = rules.alpha if fixed else _spent(plan, done, rules)
    weighed = None if statistic is None else Weighed(statistic, plan, exact=True)
    if weighed is None or np.isnan(weighed.planned_z[0, :done]).all():
        notes = (words.silent,) if fixed else (words.silent, *notes)
        spent = None if fixed else spent
        return Outcome(method, None, harm, done, notes, spent, opened=plan.units[done - 1])
    futile = bool(weighed.futile[0, -1]) if is_futility_asked(terms.rules) else None
    opened = plan.units[done - 1]
    return Outcome(method, _summary(weighed), harm, done, notes, spent, futile, opened)


def _spent(plan: PlannedLooks, done: int, rules: Rules) -> float:
    spending = plan.rules.spending, plan.rules.rho
    return 2 * group_sequential.spent(plan.fractions[done - 1], rules.alpha / 2, *spending)


def _look_words(plan: PlannedLooks, done: int) -> str:
    words = f"look {done} of {len(plan.units)}, at {plan.units[done - 1]} per arm"
    return words if done == len(plan.units) else f"{words}; the next at {plan.units[done]}"


def _extended(terms: Terms) -> tuple[str, ...]:
    if not terms.extra:
        return ()
    return (
        f"extended by {terms.extra} per arm: alpha was planned over {terms.planned}, "
        "so the trials after that are evidence of harm only",
    )

"""How evidence is weighed in each mode: at every look, at the planned looks, or once.

A kind of metric says two things about its units: what every look so far adds up to
(`anytime`), and how they stood when each arm had so many units (`at`), as a normal
deviate and an interval for any critical value. The modes are made from these two.
Harm is always weighed at every look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
from scipy import special

from expci.core.model.experiment import CONTROL, Experiment, Metric, PlanRules
from expci.core.model.results import Evidence
from expci.core.statistics import betting, group_sequential, t_mixture
from expci.core.statistics.t_mixture import Looks, Rules, Sequence


class Units(Protocol):
    """Both arms' units on one scale; `looks` are the statistics after every trial."""

    @property
    def n(self) -> int: ...

    def until(self, units: int, /) -> Self: ...

    def looks(self) -> Looks | None: ...


UnitsT = TypeVar("UnitsT", bound=Units)

_LARGEST_Z = 37.0  # a tail beyond it is 0 in a 64-bit float
Ends = tuple[float, float]


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
class Snapshot:
    """One look: `z` is standard normal under no effect, positive where treatment is larger.

    `ends` gives, for a critical |z|, the interval of the difference and the same as a
    share of control's value (unbounded where that is not known).
    """

    z: float
    ends: Callable[[float], tuple[Ends, Ends]]


@dataclass(frozen=True)
class Measured:
    """What a kind of metric knows of the units of two arms. `n` is the smaller arm's (pairs).

    `words` name the test beside the mode, in `anytime` mode and in the others.
    """

    n: int
    anytime: Callable[[Rules], Sequence | None]
    at: Callable[[int], Snapshot | None]
    words: tuple[str, str] = ("", "")
    silent: str = "the values do not vary"


@dataclass(frozen=True)
class Weighed:
    """The two-sided evidence in the plan's mode beside the always anytime evidence of harm.

    `opened` is how many units per arm the last planned look saw (`None`: all there are).
    """

    method: str
    found: Sequence | None
    harm: Sequence | None
    looks: int | None
    notes: tuple[str, ...]
    alpha_spent: float | None = None
    futile: bool | None = None
    opened: int | None = None

    @property
    def interval(self) -> Ends | None:
        return None if self.found is None else self.found.interval

    def seen(self, units: UnitsT) -> UnitsT:
        """The units that the evidence and the estimate beside it are made of."""
        return units if self.opened is None else units.until(self.opened)

    def evidence(self, harm_level: float | None) -> Evidence:
        found, log_e = self.found, self.found.log_e_value if self.found else None
        e_value = None if log_e is None or log_e > 700 else math.exp(log_e)
        return Evidence(
            method=self.method,
            p_value=None if found is None else found.p_value,
            e_value=e_value,
            looks=self.looks,
            log_e_value=log_e,
            harm_p_value=None if self.harm is None else self.harm.harm_p_value,
            level_harm=harm_level,
            alpha_spent=self.alpha_spent,
            futile=self.futile,
        )


def rules_of(metric: Metric, terms: Terms, scale: float, start: int | None = None) -> Rules:
    return Rules(
        alpha=terms.rules.alpha,
        harm=1 if metric.direction == "decrease" else -1,
        start=terms.start if start is None else max(start, terms.start),
        scale=scale,
    )


def weigh(units: Measured, rules: Rules, terms: Terms) -> Weighed:
    """The evidence of `units` in the plan's mode."""
    harm = units.anytime(rules)
    if terms.rules.inference == "anytime":
        notes = () if harm is not None else (_why_none(units, rules),)
        return Weighed(_method(units, terms), harm, harm, None, notes)
    if terms.planned is None:
        locked = "locked: no sample size is known; state `plan: sample_size`"
        return Weighed(_method(units, terms), None, harm, None, (locked,))
    if terms.rules.inference == "fixed":
        return _once(units, rules, terms, terms.planned, harm)
    return _at_looks(units, rules, terms, terms.planned, harm)


def _method(units: Measured, terms: Terms) -> str:
    words = units.words[terms.rules.inference != "anytime"]
    return f"{terms.rules.inference}, {words}" if words else terms.rules.inference


def _why_none(units: Measured, rules: Rules) -> str:
    if units.n < rules.start:
        return f"evidence starts at {rules.start} per arm; there are {units.n}"
    return units.silent


def _once(
    units: Measured, rules: Rules, terms: Terms, planned: int, harm: Sequence | None
) -> Weighed:
    method = _method(units, terms)
    if units.n < planned:
        return Weighed(method, None, harm, None, (f"locked until {planned} per arm",))
    look = units.at(planned)
    if look is None:
        return Weighed(method, None, harm, 1, (units.silent,), opened=planned)
    interval, relative = look.ends(-float(special.ndtri(rules.alpha / 2)))
    p_value = float(2 * special.ndtr(-abs(look.z)))
    found = _sequence(1, p_value, interval, relative)
    notes = _extended(terms)
    return Weighed(method, found, harm, 1, notes, alpha_spent=rules.alpha, opened=planned)


def _sequence(looks: int, p_value: float, interval: Ends, relative: Ends) -> Sequence:
    return Sequence(looks, None, p_value, None, 1.0, interval, relative)


def _extended(terms: Terms) -> tuple[str, ...]:
    if not terms.extra:
        return ()
    return (
        f"extended by {terms.extra} per arm: alpha was planned over {terms.planned}, "
        "so the trials after that are evidence of harm only",
    )


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


def _at_looks(
    units: Measured, rules: Rules, terms: Terms, planned: int, harm: Sequence | None
) -> Weighed:
    """Lan-DeMets at the planned looks that have been reached; data between them change nothing."""
    method, plan = _method(units, terms), schedule(planned, terms.rules.looks, rules.start)
    reached = [n for n in plan.units if n <= units.n]
    if not reached:
        note = f"the first look of {len(plan.units)} is at {plan.units[0]} per arm"
        return Weighed(method, None, harm, 0, (note,), alpha_spent=0.0)
    snapshots = [units.at(n) for n in reached]
    z = tuple(0.0 if look is None else look.z for look in snapshots)
    fractions, spending = plan.fractions[: len(z)], (terms.rules.spending, terms.rules.rho)
    bounds = group_sequential.boundaries(fractions, rules.alpha, *spending)
    spent = 2 * group_sequential.spent(fractions[-1], rules.alpha / 2, *spending)
    known = [(s, bound) for s, bound in zip(snapshots, bounds, strict=True) if s is not None]
    notes = (_look_words(plan, len(z)), *_extended(terms))
    if not known:
        notes = (units.silent, *notes)
        return Weighed(method, None, harm, len(z), notes, spent, opened=reached[-1])
    interval, relative = _intersection([look.ends(bound) for look, bound in known])
    p_value = group_sequential.p_value(z, fractions, terms.rules, rules.alpha)
    found = _sequence(len(z), p_value, interval, relative)
    futile = _futile(z, plan, rules, terms) if terms.rules.futility else None
    return Weighed(method, found, harm, len(z), notes, spent, futile, reached[-1])


def _look_words(plan: Schedule, done: int) -> str:
    words = f"look {done} of {len(plan.units)}, at {plan.units[done - 1]} per arm"
    return words if done == len(plan.units) else f"{words}; the next at {plan.units[done]}"


def _intersection(looks: list[tuple[Ends, Ends]]) -> tuple[Ends, Ends]:
    """Repeated confidence intervals (Jennison & Turnbull 1989) hold together, so they intersect."""
    interval, relative = (
        (max(look[part][0] for look in looks), min(look[part][1] for look in looks))
        for part in (0, 1)
    )
    return interval, relative


def _futile(z: tuple[float, ...], plan: Schedule, rules: Rules, terms: Terms) -> bool:
    beta, spending = 1 - terms.rules.power, (terms.rules.spending, terms.rules.rho)
    bounds = group_sequential.futility(plan.fractions, rules.alpha, beta, *spending)
    better = -rules.harm
    return better * z[-1] < bounds[len(z) - 1]


def by_t(units: Units, words: tuple[str, str] = ("", "")) -> Measured:
    """A difference with a standard error after every trial, compared by t."""
    looks = units.looks()

    def anytime(rules: Rules) -> Sequence | None:
        return None if looks is None else t_mixture.weigh(looks, rules)

    return Measured(units.n, anytime, lambda n: t_snapshot(units.until(n).looks()), words)


def t_snapshot(looks: Looks | None) -> Snapshot | None:
    """The last look: t is mapped to z through its p-value, and back for the ends."""
    if looks is None or not looks.valid[-1]:
        return None
    index = looks.n.size - 1
    df = float(looks.df[index])
    t = float(looks.difference[index] / looks.error[index])
    tail = max(float(special.stdtr(df, -abs(t))), 1e-300)
    z = math.copysign(min(-float(special.ndtri(tail)), _LARGEST_Z), t)

    def ends(critical: float) -> tuple[Ends, Ends]:
        tail = float(special.ndtr(-critical))
        bound = -float(special.stdtrit(df, tail)) if tail > 0 else math.inf
        return t_mixture.intervals(looks, np.array([index]), np.array([bound]))

    return Snapshot(z, ends)

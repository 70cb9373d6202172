"""One experiment's evidence as it stands, in the plan's mode, with the words beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from expci.core import number_format
from expci.core.model.results import EXACT, Evidence
from expci.core.statistics import group_sequential
from expci.core.statistics.planned_looks import PlannedLooks, planned_looks
from expci.core.statistics.statistic import RowEnds, Statistic, UnitsT
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.terms import Terms
from expci.core.statistics.weighed import Weighed, stops_for_futility

_LARGEST_LOG = 700.0  # exp of more does not fit a 64-bit float


@dataclass(frozen=True)
class Summary:
    """What all looks of one experiment add up to.

    `log_e_now` is the evidence as it stands (`None` at planned looks); `p_value` is of the largest
    so far. `interval` is the intersection
    of the intervals of all looks, in the values' unit; it excludes 0 exactly when `p_value` <=
    alpha. `relative` is the same as a share of the control's mean. An interval whose ends are
    crossed is empty: the effect was not the same all the time. `p_value` is `None` where the
    values never vary: their interval is one point.
    """

    log_e_now: float | None
    p_value: float | None
    interval: RowEnds
    relative: RowEnds


@dataclass(frozen=True)
class Harm:
    """The evidence of harm in one experiment: the anytime log E, and the p-value that counts."""

    log_e_value: float
    p_value: float


@dataclass(frozen=True)
class Outcome:
    """One experiment's two-sided evidence in the plan's mode beside that of harm.

    `summary` is `None` where there is no evidence, and `notes` say why. `opened` is how many
    units per arm the last planned look saw (`None`: all there are). `error` is the standard error
    of the difference of all there are, where it has one after every trial.
    """

    method: str
    summary: Summary | None
    harm: Harm | None
    looks: int | None
    notes: tuple[str, ...]
    alpha_spent: float | None = None
    futile: bool | None = None
    opened: int | None = None
    error: float | None = None

    @property
    def interval(self) -> RowEnds | None:
        return None if self.summary is None else self.summary.interval

    @property
    def is_exact(self) -> bool:
        return self.method == EXACT

    def opened_units(self, units: UnitsT) -> UnitsT:
        """The units that the evidence and the estimate beside it use."""
        return units if self.opened is None else units.until(self.opened)

    def evidence(self, harm_level: float | None) -> Evidence:
        summary, log_e = self.summary, self.summary.log_e_now if self.summary else None
        e_value = None if log_e is None or log_e > _LARGEST_LOG else math.exp(log_e)
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
    """The words for a statistic: the test beside the mode, in `anytime` mode and in the others,
    and why there is none though there are units."""

    anytime: str = ""
    planned: str = ""
    silent: str = "the values do not vary"


def outcome(
    statistic: Statistic | None, n: int, words: Words, rules: Rules, terms: Terms
) -> Outcome:
    """Return one experiment's evidence as it stands, in the plan's mode.

    `statistic` is one row, `None` where nothing can be compared yet; `n` are units per arm.

    >>> from expci.core.model.experiment import Assignment, DecisionRules, Experiment, PlanRules
    >>> plan = PlanRules(inference="anytime")
    >>> experiment = Experiment("", "", "", (), (), Assignment(), plan, DecisionRules())
    >>> terms = Terms(experiment, plan, None, 0.025, False, None)
    >>> outcome(None, 3, Words(), Rules(alpha=0.05, harm=1, start=5), terms).notes
    ('evidence starts at 5 per arm; there are 3',)
    """
    method = _method(words, terms)
    column = np.array([[float(n)]]) if statistic is None else statistic.n
    plan = planned_looks(column, terms.rules, terms.planned, rules.start, terms.extra)
    plan = None if plan is None else plan.as_it_stands()
    weighed = None
    if statistic is not None:
        weighed = Weighed(statistic, plan, terms.harm_level, exact=True)
    harm = None if weighed is None else _harm(weighed)
    if plan is None:
        if weighed is None or harm is None:
            return Outcome(method, None, None, None, (_why_none(n, words, rules),))
        return Outcome(method, _summary(weighed), harm, None, ())
    if terms.planned is None:
        locked = "locked: no sample size is known; state `plan: sample_size`"
        return Outcome(method, None, harm, None, (locked,))
    if terms.rules.inference == "fixed" and n < terms.planned:
        return Outcome(method, None, harm, None, (f"locked until {terms.planned} per arm",))
    return _at_planned_looks(weighed, plan, words, rules, terms, harm)


def _harm(weighed: Weighed) -> Harm | None:
    log_e = float(weighed.harm_log_e[0, -1])
    return None if log_e == -math.inf else Harm(log_e, float(weighed.harm_p_value[0, -1]))


def _summary(weighed: Weighed) -> Summary:
    goes_on = weighed.plan is None or bool(weighed.plan.extended[0, -1])
    now = float(weighed.statistic.log_e_now()[0]) if goes_on else -math.inf
    interval, relative = (
        (float(low[0, -1]), float(high[0, -1]))
        for low, high in (weighed.interval, weighed.relative)
    )
    standing = now if math.isfinite(now) else None
    return Summary(standing, float(weighed.p_value[0, -1]), interval, relative)


def _method(words: Words, terms: Terms) -> str:
    test = words.anytime if terms.rules.inference == "anytime" else words.planned
    return f"{terms.rules.inference}, {test}" if test else terms.rules.inference


def _why_none(n: int, words: Words, rules: Rules) -> str:
    if n < rules.start:
        return f"evidence starts at {rules.start} per arm; there are {n}"
    return words.silent


def _at_planned_looks(
    weighed: Weighed | None,
    plan: PlannedLooks,
    words: Words,
    rules: Rules,
    terms: Terms,
    harm: Harm | None,
) -> Outcome:
    """At the planned looks that have been reached; data between them change nothing."""
    method, fixed = _method(words, terms), terms.rules.inference == "fixed"
    done = int(plan.reached[0, 0])
    if not done:
        note = f"the first look of {len(plan.units)} is at {plan.units[0]} per arm"
        return Outcome(method, None, harm, 0, (note,), alpha_spent=0.0)
    notes = _extended(terms) if fixed else (_look_words(plan, done), *_extended(terms))
    goes_on = bool(plan.extended[0, 0])
    spent: float | None = rules.alpha if fixed or goes_on else _spent(plan, done)
    opened = None if goes_on else plan.units[done - 1]
    if weighed is None or np.isnan(weighed.planned_z[0, :done]).all():
        notes = (words.silent,) if fixed else (words.silent, *notes)
        spent = None if fixed else spent
        return Outcome(method, None, harm, done, notes, spent, opened=opened)
    futile = bool(weighed.futile[0, -1]) if stops_for_futility(terms.rules) else None
    return Outcome(method, _summary(weighed), harm, done, notes, spent, futile, opened)


def _spent(plan: PlannedLooks, done: int) -> float:
    spending = plan.rules.spending, plan.rules.rho
    side = plan.rules.planned_alpha / 2
    return 2 * group_sequential.spent(plan.fractions[done - 1], side, *spending)


def _look_words(plan: PlannedLooks, done: int) -> str:
    words = f"look {done} of {len(plan.units)}, at {plan.units[done - 1]} per arm"
    return words if done == len(plan.units) else f"{words}; the next at {plan.units[done]}"


def _extended(terms: Terms) -> tuple[str, ...]:
    if not terms.extra:
        return ()
    if terms.rules.reserve:
        kept = number_format.stated(terms.rules.alpha * terms.rules.reserve)
        return (
            f"extended by {terms.extra} per arm: trials after the first {terms.planned} are "
            f"weighed at every look, with the {kept} of alpha that the plan kept for them",
        )
    return (
        f"extended by {terms.extra} per arm: alpha was planned over {terms.planned}, "
        "so the trials after that are evidence of harm only",
    )

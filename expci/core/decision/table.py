"""The decision table: its rows in their order, as data.

The first row that applies gives the verdict: rollback, invalid, promote, stop, expire,
continue; where the arms are implausibly far apart, invalid comes before rollback. Of several
treatments one that does harm, or cannot win any more, is dropped, and the others go on. A point
estimate alone never decides. Elementwise over `[experiments, looks]`, so that a plan is
simulated by the very rows that decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from expci.core.decision.criteria import CriterionKey, is_small_harm, looks_harmful, met
from expci.core.decision.numbers import BoolArray, FloatArray, LookNumbers
from expci.core.decision.thresholds import promotion_threshold
from expci.core.model.results import ReasonCode, Verdict

IntArray = NDArray[np.int64]

TRUST: Mapping[str, ReasonCode] = {
    "sample_ratio": "sample_ratio",
    "attrition": "attrition",
    "missing_primary": "attrition",
    "exposure": "not_exposed",
    "plan_drift": "plan_drift",
    "unusable_values": "attrition",
    "implausible_ratio": "implausible",
    "every_run_failed": "every_run_failed",
}

_IMPLAUSIBLE = {name for name, code in TRUST.items() if code == "implausible"}


RowCode = Literal[
    "implausible",
    "harm",
    "harm_by_one",
    "distrust",
    "win",
    "below_threshold",
    "one_below_threshold",
    "sample_size",
    "budget",
    "time_over",
    "waiting",
]


SIZE, TIME = CriterionKey("sample_size"), CriterionKey("time_over")
BUDGET = CriterionKey("budget")


class Reason(NamedTuple):
    """Why a row applies and where; the treatment and the metric that it is about."""

    code: ReasonCode
    arm: str | None
    where: BoolArray
    about: str = ""


@dataclass(frozen=True)
class Row:
    """A verdict, the criteria it looks at, where it applies, and for what reason.

    The first of `reasons` that holds where the row applies is the reason.
    """

    code: RowCode
    verdict: Verdict
    questions: Callable[[LookNumbers], Iterable[CriterionKey]]
    applies: Callable[[LookNumbers], BoolArray]
    reasons: Callable[[LookNumbers], Iterable[Reason]]
    while_watching: bool = False


class Ruling(NamedTuple):
    """What the table says of one experiment."""

    row: RowCode
    verdict: Verdict
    reason_code: ReasonCode
    arm: str | None
    about: str = ""


@dataclass(frozen=True)
class FirstRows:
    """For each experiment: the place in `TABLE` of the row that applied first, and its look.

    `CONTINUE`, at the last look, where no row ever did.
    """

    row: IntArray
    look: IntArray


def first_rows(n: LookNumbers) -> FirstRows:
    """Return which row decides each experiment, and when.

    >>> from support.look_numbers import numbers
    >>> first = first_rows(numbers())
    >>> [TABLE[row].code for row in first.row]
    ['win']
    """
    looks = n.counted.shape[1]
    first = np.stack([_first_look(row, n, looks) for row in TABLE[:CONTINUE]])
    look = first.min(axis=0)
    row = np.where(look == looks, CONTINUE, first.argmin(axis=0))
    return FirstRows(row, np.minimum(look, looks - 1))


def _first_look(row: Row, n: LookNumbers, looks: int) -> IntArray:
    if n.watching and not row.while_watching:
        return np.full(n.counted.shape[0], looks)
    where = row.applies(n)
    return np.where(where.any(axis=1), where.argmax(axis=1), looks)


def rulings(n: LookNumbers, first: FirstRows) -> list[Ruling]:
    """Return verdict, reason and treatment of each experiment at its deciding look.

    >>> from support.look_numbers import looks, numbers
    >>> n = numbers(checks={"sample_ratio": looks(0)})  # failed: a win does not count
    >>> [(ruling.verdict, ruling.reason_code) for ruling in rulings(n, first_rows(n))]
    [('invalid', 'sample_ratio')]
    """
    reasons: dict[int, Sequence[Reason]] = {
        int(index): tuple(TABLE[index].reasons(n)) for index in np.unique(first.row)
    }
    return [
        _ruling(TABLE[row], reasons[row], (experiment, look))
        for experiment, (row, look) in enumerate(
            zip(first.row.tolist(), first.look.tolist(), strict=True)
        )
    ]


def _ruling(row: Row, reasons: Sequence[Reason], at: tuple[int, int]) -> Ruling:
    reason = next(reason for reason in reasons if reason.where[at])
    return Ruling(row.code, row.verdict, reason.code, reason.arm, reason.about)


def questions(n: LookNumbers) -> Iterator[CriterionKey]:
    """Return every criterion that the table looks at, in its order.

    >>> from support.look_numbers import numbers
    >>> [question.code for question in questions(numbers(watching=True))]
    ['harm', 'harm', 'check']
    """
    for row in TABLE:
        if row.while_watching or not n.watching:
            yield from row.questions(n)


# --- what the rows look at ---------------------------------------------------------------


def _harms(n: LookNumbers) -> list[CriterionKey]:
    return [CriterionKey("harm", arm, metric.name) for metric in n.judged for arm in n.treatments]


def _checks(n: LookNumbers) -> list[CriterionKey]:
    return [CriterionKey("check", about=name) for name in n.checks]


def win_questions(n: LookNumbers, arm: str) -> list[CriterionKey]:
    """Return what the promotion of `arm` needs, one by one.

    >>> from support.look_numbers import numbers
    >>> [question.code for question in win_questions(numbers(), "treatment")][:3]
    ['enough_trials', 'evidence', 'effect']
    """
    needed = [
        CriterionKey("enough_trials", arm),
        CriterionKey("evidence", arm),
        CriterionKey("effect", arm),
    ]
    for metric in n.guardrails:
        needed.append(CriterionKey("guardrail", arm, metric.name))
        if not metric.non_inferior:  # its whole interval says more
            needed.append(CriterionKey("guardrail_evidence", arm, metric.name))
    if n.experiment.primary.traits.is_timed:
        needed += [CriterionKey("arithmetic_mean", arm), CriterionKey("failures_last", arm)]
    if arm in n.must_pass:
        needed.append(CriterionKey("must_pass", arm))
    return needed


def _wins(n: LookNumbers) -> list[CriterionKey]:
    return [question for arm in n.treatments for question in win_questions(n, arm)]


def _below(n: LookNumbers) -> list[CriterionKey]:
    return [CriterionKey("below_threshold", arm) for arm in n.treatments]


def _size(n: LookNumbers) -> tuple[CriterionKey, ...]:
    del n
    return (SIZE,)


def _money(n: LookNumbers) -> tuple[CriterionKey, ...]:
    return () if n.spent is None else (BUDGET,)


def _time(n: LookNumbers) -> tuple[CriterionKey, ...]:
    del n
    return (TIME,)


def _nothing(n: LookNumbers) -> tuple[CriterionKey, ...]:
    del n
    return ()


# --- where they apply --------------------------------------------------------------------


def _harmed(n: LookNumbers) -> BoolArray:
    """Where one of those that remain does harm, and no other is left to go on with."""
    return _one_harms(n) & _all_leave(n)


def _one_harms(n: LookNumbers) -> BoolArray:
    return _either(n, (_does_harm(n, arm) for arm in n.treatments))


def _does_harm(n: LookNumbers, arm: str) -> BoolArray:
    by_metric = (met(n, question) for question in _harms(n) if question.arm == arm)
    return _either(n, by_metric) & n.remains(arm)


def _all_leave(n: LookNumbers) -> BoolArray:
    """Where no treatment remains but those that do harm or cannot win any more."""
    leaving = [
        ~n.remains(arm) | _does_harm(n, arm) | met(n, CriterionKey("below_threshold", arm))
        for arm in n.treatments
    ]
    return np.asarray(np.logical_and.reduce(leaving))


def _all(n: LookNumbers, needed: Iterable[CriterionKey]) -> BoolArray:
    where = ~_nowhere(n)
    for question in needed:
        if not where.any():
            break
        where = where & met(n, question)
    return where


def _failed(n: LookNumbers) -> BoolArray:
    return _either(n, (answer == 0 for answer in n.checks.values()))


def _implausible(n: LookNumbers) -> BoolArray:
    """Arms so far apart that a unit was mixed up: no evidence of harm either."""
    return _either(n, (n.checks[name] == 0 for name in _IMPLAUSIBLE & n.checks.keys()))


def _wins_somewhere(n: LookNumbers) -> BoolArray:
    return _either(n, (_wins_now(n, arm) for arm in n.treatments))


def _wins_now(n: LookNumbers, arm: str) -> BoolArray:
    return _all(n, win_questions(n, arm)) & n.remains(arm)


def _below_everywhere(n: LookNumbers) -> BoolArray:
    below = [met(n, question) | ~n.remains(question.arm) for question in _below(n)]
    return np.asarray(np.logical_and.reduce(below))


def _one_below(n: LookNumbers) -> BoolArray:
    return _either(n, (met(n, q) & n.remains(q.arm) for q in _below(n)))


def _either(n: LookNumbers, conditions: Iterable[BoolArray]) -> BoolArray:
    where = _nowhere(n)
    for condition in conditions:
        where = where | condition
    return where


def _full(n: LookNumbers) -> BoolArray:
    return met(n, SIZE)


def _spent(n: LookNumbers) -> BoolArray:
    return met(n, BUDGET)


def _over(n: LookNumbers) -> BoolArray:
    return met(n, TIME)


def _nowhere(n: LookNumbers) -> BoolArray:
    return np.zeros(n.counted.shape, dtype=np.bool_)


def _everywhere(n: LookNumbers) -> BoolArray:
    return ~_nowhere(n)


# --- for what reason ---------------------------------------------------------------------


def _harm_reasons(n: LookNumbers) -> Iterator[Reason]:
    for question in _harms(n):
        primary = question.about == n.experiment.primary.name
        code: ReasonCode = "harm_primary" if primary else "harm_guardrail"
        code = "errors" if question.about == "success" else code
        where = met(n, question) & n.remains(question.arm)
        yield Reason(code, question.arm, where, question.about)


def _trust_reasons(n: LookNumbers) -> Iterator[Reason]:
    for name, passed in n.checks.items():
        yield Reason(TRUST[name], None, passed == 0)


def _implausible_reasons(n: LookNumbers) -> Iterator[Reason]:
    yield Reason("implausible", None, _everywhere(n))


def _win_reasons(n: LookNumbers) -> Iterator[Reason]:
    """The winner with the best estimate; of those alike the one that changes least."""
    estimates = {arm: win_estimate(n, arm) for arm in n.treatments}
    best = np.maximum.reduce(list(estimates.values()))
    for arm in sorted(n.treatments, key=lambda arm: n.change_sizes.get(arm, 0)):
        yield Reason("win", arm, alike(estimates[arm], best))


def win_estimate(n: LookNumbers, arm: str) -> FloatArray:
    """Return the estimate of `arm` where it wins; -inf elsewhere.

    >>> from support.look_numbers import looks, numbers
    >>> n = numbers()
    >>> few = numbers(units={"treatment": looks(3)})
    >>> win_estimate(n, "treatment"), win_estimate(few, "treatment")
    (array([[0.3]]), array([[-inf]]))
    """
    primary, threshold = n.experiment.primary, promotion_threshold(n.experiment)
    estimate = n.improvement(primary, arm, threshold).estimate
    return np.where(_wins_now(n, arm), estimate, -np.inf)


def alike(one: FloatArray, other: FloatArray) -> BoolArray:
    """Return where two estimates read the same in three digits.

    >>> alike(np.array([0.1234, 0.12]), np.array([0.1231, 0.13]))
    array([ True, False])
    """
    return np.asarray(np.isfinite(one) & (_three_digits(one) == _three_digits(other)))


def _three_digits(value: FloatArray) -> FloatArray:
    texts = [f"{number:.3g}" for number in value.ravel().tolist()]
    return np.array(texts, dtype=np.float64).reshape(value.shape)


def _below_reasons(n: LookNumbers) -> Iterator[Reason]:
    by_bound = _either(n, (_by_bound(n, arm) & n.remains(arm) for arm in n.treatments))
    others = (~is_small_harm(n, arm) & n.remains(arm) for arm in n.treatments)
    yield Reason("harm_below_limit", _only(n), ~_either(n, others))
    yield Reason("effect_below_threshold", _only(n), ~by_bound)
    yield Reason("no_effect", _only(n), _everywhere(n))


def _by_bound(n: LookNumbers, arm: str) -> BoolArray:
    """Where it is the futility bound, not the interval, that leaves no chance."""
    threshold = promotion_threshold(n.experiment)
    return ~(n.improvement(n.experiment.primary, arm, threshold).high < threshold.value)


def _one_below_reasons(n: LookNumbers) -> Iterator[Reason]:
    for question in _below(n):
        arm, where = question.arm, met(n, question) & n.remains(question.arm)
        yield Reason("harm_below_limit", arm, where & is_small_harm(n, arm))
        yield Reason("effect_below_threshold", arm, where & ~_by_bound(n, arm))
        yield Reason("no_effect", arm, where)


def _size_reasons(n: LookNumbers) -> Iterator[Reason]:
    """That of the treatment that came nearest to a win."""
    for arm in n.treatments:
        near = _all(n, win_questions(n, arm)[:3])
        if arm in n.must_pass:
            broken = n.must_pass[arm] == 0
            yield Reason("must_pass_broken", arm, near & broken & n.remains(arm))
        yield Reason("guardrail_unproven", arm, near & n.remains(arm))
    for arm in n.treatments:
        better = met(n, CriterionKey("evidence", arm))
        yield Reason("effect_below_threshold", arm, better & n.remains(arm))
    for arm in n.treatments:
        yield Reason("looks_harmful", arm, looks_harmful(n, arm) & n.remains(arm))
    for arm in n.treatments:
        yield Reason("harm_below_limit", _only(n), is_small_harm(n, arm) & n.remains(arm))
    yield Reason("no_effect", _only(n), _everywhere(n))


def _only(n: LookNumbers) -> str | None:
    return n.treatments[0] if len(n.treatments) == 1 else None


def _money_reasons(n: LookNumbers) -> Iterator[Reason]:
    yield Reason("budget_spent", _only(n), _everywhere(n))


def _time_reasons(n: LookNumbers) -> Iterator[Reason]:
    yield Reason("expired", _only(n), _everywhere(n))


def _waiting_reasons(n: LookNumbers) -> Iterator[Reason]:
    yield Reason("no_data", None, n.counted == 0)
    yield Reason("collecting", None, _everywhere(n))


TABLE: tuple[Row, ...] = (
    # A pause stops exposure as a rollback does, and can be taken back. After a promotion the
    # revert is the safe side, so this row does not apply then.
    Row("implausible", "invalid", _nothing, _implausible, _implausible_reasons),
    Row("harm", "rollback", _harms, _harmed, _harm_reasons, while_watching=True),
    Row("harm_by_one", "drop", _nothing, _one_harms, _harm_reasons),
    Row("distrust", "invalid", _checks, _failed, _trust_reasons, while_watching=True),
    Row("win", "promote", _wins, _wins_somewhere, _win_reasons),
    Row("below_threshold", "stop", _below, _below_everywhere, _below_reasons),
    Row("one_below_threshold", "drop", _nothing, _one_below, _one_below_reasons),
    Row("sample_size", "stop", _size, _full, _size_reasons),
    Row("budget", "stop", _money, _spent, _money_reasons),
    Row("time_over", "expire", _time, _over, _time_reasons),
    Row("waiting", "continue", _nothing, _everywhere, _waiting_reasons, while_watching=True),
)
CONTINUE = len(TABLE) - 1

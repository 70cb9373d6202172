"""The decision table on numbers alone: every row, every reason, their order, when and of whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from expci.core.decision.criteria import CriterionKey
from expci.core.decision.numbers import DurationGuard, LookNumbers
from expci.core.decision.table import (
    CONTINUE,
    TABLE,
    TRUST,
    alike,
    first_rows,
    questions,
    rulings,
    win_estimate,
    win_questions,
)
from expci.core.model.experiment import Limit, Metric
from expci.core.model.results import ReasonCode
from support.analysis_samples import SUCCESS, make_experiment
from support.look_numbers import NAN, effect, evidence, guard, looks, numbers

COST = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.1, True))
SCORE = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(1.0, False))
PLAIN = make_experiment(others=(SUCCESS, COST))
TWO = make_experiment(treatments=("first", "second"), others=(SUCCESS,))
HARMFUL = evidence(harm_p_value=looks(0.001), relative=effect(-0.5, -0.9, -0.2))
UNDECIDED = evidence(p_value=looks(0.5), relative=effect(0.02, -0.2, 0.2))
NO_CHANCE = replace(UNDECIDED, relative=effect(0.0, -0.05, 0.05))
SMALL_HARM = replace(UNDECIDED, relative=effect(-0.05, -0.09, -0.01))
FUTILE = replace(UNDECIDED, futile=np.array([[True]]))
LOOKS_HARMFUL = replace(UNDECIDED, relative=effect(-0.2, -0.45, 0.05))
TINY = evidence(relative=effect(0.01, 0.001, 0.2))  # shown, under the threshold
LOSES_HOURS = evidence(guard=guard(-1.0))


def ruled(look: LookNumbers) -> tuple[str, str, str, str | None]:
    [ruling] = rulings(look, first_rows(look))
    return ruling.row, ruling.verdict, ruling.reason_code, ruling.arm


def one(primary: Any = UNDECIDED, **changes: Any) -> LookNumbers:
    guards = {key: changes.pop(key) for key in ("success", "cost") if key in changes}
    found = {("duration_s", "treatment"): primary}
    found |= {(name, "treatment"): guard for name, guard in guards.items()}
    return numbers(PLAIN, found, **changes)


def two(first: Any, second: Any, **changes: Any) -> LookNumbers:
    found = {("duration_s", "first"): first, ("duration_s", "second"): second}
    return numbers(TWO, found, **changes)


SECOND_OUT = {"second": np.array([[True]])}
FEW_OF_SECOND = {"first": looks(40), "second": looks(3)}
SMALL = {"treatment": looks(9)}  # under what a stop for futility needs
OVER = {"overdue": np.array([[True]])}
SPENT = {"spent": np.array([[True]])}
FULL = {"target": 40.0}
FAILED = {"checks": {"sample_ratio": looks(1), "exposure": looks(0), "attrition": looks(0)}}

ROWS: Mapping[str, tuple[LookNumbers, tuple[str, str, str, str | None]]] = {
    "harm to the primary": (one(HARMFUL), ("harm", "rollback", "harm_primary", "treatment")),
    "harm to a guardrail": (
        one(evidence(), cost=HARMFUL),
        ("harm", "rollback", "harm_guardrail", "treatment"),
    ),
    "more failures": (
        one(evidence(), success=HARMFUL),
        ("harm", "rollback", "errors", "treatment"),
    ),
    "harm by the second of two": (
        two(evidence(), HARMFUL),
        ("harm_by_one", "drop", "harm_primary", "second"),
    ),
    "harm by the second of two before a failed check": (
        two(evidence(), HARMFUL, **FAILED),
        ("harm_by_one", "drop", "harm_primary", "second"),
    ),
    "harm by both": (two(HARMFUL, HARMFUL), ("harm", "rollback", "harm_primary", "first")),
    "harm by one, no chance for the other": (
        two(NO_CHANCE, HARMFUL),
        ("harm", "rollback", "harm_primary", "second"),
    ),
    "harm by the one that is left": (
        two(HARMFUL, UNDECIDED, dropped=SECOND_OUT),
        ("harm", "rollback", "harm_primary", "first"),
    ),
    "a win of the one that is left": (
        two(evidence(), HARMFUL, dropped=SECOND_OUT),
        ("win", "promote", "win", "first"),
    ),
    "what is out does not win": (
        two(UNDECIDED, evidence(), dropped=SECOND_OUT),
        ("waiting", "continue", "collecting", None),
    ),
    "no chance for the one that is left": (
        two(NO_CHANCE, evidence(), dropped=SECOND_OUT),
        ("below_threshold", "stop", "effect_below_threshold", None),
    ),
    "full, what is out is not counted": (
        two(UNDECIDED, evidence(), dropped=SECOND_OUT, units=FEW_OF_SECOND, **FULL),
        ("sample_size", "stop", "no_effect", None),
    ),
    "full, what is out came nearest": (
        two(UNDECIDED, TINY, dropped=SECOND_OUT, **FULL),
        ("sample_size", "stop", "no_effect", None),
    ),
    "harm to the primary before harm to a guardrail": (
        one(HARMFUL, success=HARMFUL),
        ("harm", "rollback", "harm_primary", "treatment"),
    ),
    "harm before a failed check": (
        one(HARMFUL, **FAILED),
        ("harm", "rollback", "harm_primary", "treatment"),
    ),
    "arms implausibly far apart before harm": (
        one(HARMFUL, checks={"implausible_ratio": looks(0)}),
        ("implausible", "invalid", "implausible", None),
    ),
    "watching: harm before arms implausibly far apart": (
        one(HARMFUL, watching=True, checks={"implausible_ratio": looks(0)}),
        ("harm", "rollback", "harm_primary", "treatment"),
    ),
    "a failed check before a win": (
        one(evidence(), **FAILED),
        ("distrust", "invalid", "not_exposed", None),
    ),
    "a check that cannot say yet is no failed one": (
        one(evidence(), checks={"exposure": looks(NAN)}),
        ("win", "promote", "win", "treatment"),
    ),
    "a win": (one(evidence()), ("win", "promote", "win", "treatment")),
    "a win before the sample size and the time": (
        one(evidence(), **FULL, **OVER),
        ("win", "promote", "win", "treatment"),
    ),
    "no win while a guardrail is not known": (
        one(evidence(), cost=replace(evidence(), relative=effect(NAN, NAN, NAN))),
        ("waiting", "continue", "collecting", None),
    ),
    "no win that loses hours": (one(LOSES_HOURS), ("waiting", "continue", "collecting", None)),
    "no chance": (
        one(NO_CHANCE),
        ("below_threshold", "stop", "effect_below_threshold", "treatment"),
    ),
    "no chance by the bound": (one(FUTILE), ("below_threshold", "stop", "no_effect", "treatment")),
    "a harm under the limit": (
        one(SMALL_HARM),
        ("below_threshold", "stop", "harm_below_limit", "treatment"),
    ),
    "no chance for both": (
        two(NO_CHANCE, SMALL_HARM),
        ("below_threshold", "stop", "effect_below_threshold", None),
    ),
    "no chance for one by the bound": (
        two(NO_CHANCE, FUTILE),
        ("below_threshold", "stop", "no_effect", None),
    ),
    "a small harm by both": (
        two(SMALL_HARM, SMALL_HARM),
        ("below_threshold", "stop", "harm_below_limit", None),
    ),
    "a chance for one is a chance": (
        two(NO_CHANCE, UNDECIDED),
        ("one_below_threshold", "drop", "effect_below_threshold", "first"),
    ),
    "no chance for one by the bound, a chance for the other": (
        two(UNDECIDED, FUTILE),
        ("one_below_threshold", "drop", "no_effect", "second"),
    ),
    "a win before one without a chance": (
        two(NO_CHANCE, evidence()),
        ("win", "promote", "win", "second"),
    ),
    "no chance before the sample size": (
        one(NO_CHANCE, **FULL),
        ("below_threshold", "stop", "effect_below_threshold", "treatment"),
    ),
    "full without evidence": (
        one(UNDECIDED, **FULL),
        ("sample_size", "stop", "no_effect", "treatment"),
    ),
    "full without evidence for two": (
        two(UNDECIDED, UNDECIDED, **FULL),
        ("sample_size", "stop", "no_effect", None),
    ),
    "full with an effect too small": (
        one(TINY, **FULL),
        ("sample_size", "stop", "effect_below_threshold", "treatment"),
    ),
    "full with an effect too small of the second": (
        two(UNDECIDED, TINY, **FULL),
        ("sample_size", "stop", "effect_below_threshold", "second"),
    ),
    "full with a guardrail in the way": (
        one(LOSES_HOURS, **FULL),
        ("sample_size", "stop", "guardrail_unproven", "treatment"),
    ),
    "full with the first guardrail in the way": (
        one(evidence(), success=replace(evidence(), absolute=effect(-0.2, -0.4, 0.1)), **FULL),
        ("sample_size", "stop", "guardrail_unproven", "treatment"),
    ),
    "full with a case broken that must pass": (
        one(evidence(), must_pass={"treatment": looks(0)}, **FULL),
        ("sample_size", "stop", "must_pass_broken", "treatment"),
    ),
    "a case broken that must pass": (
        one(evidence(), must_pass={"treatment": looks(0)}),
        ("waiting", "continue", "collecting", None),
    ),
    "the cases that must pass were not run yet": (
        one(evidence(), must_pass={"treatment": looks(NAN)}),
        ("waiting", "continue", "collecting", None),
    ),
    "no case broken that must pass": (
        one(evidence(), must_pass={"treatment": looks(1)}),
        ("win", "promote", "win", "treatment"),
    ),
    "the interval ends at the threshold": (
        one(replace(FUTILE, relative=effect(0.0, -0.2, 0.075))),
        ("below_threshold", "stop", "no_effect", "treatment"),
    ),
    "full, the nearest to a win is named": (
        two(TINY, LOSES_HOURS, **FULL),
        ("sample_size", "stop", "guardrail_unproven", "second"),
    ),
    "no futility while it looks harmful": (
        one(LOOKS_HARMFUL),
        ("waiting", "continue", "collecting", None),
    ),
    "no futility by the bound while it looks harmful": (
        one(replace(LOOKS_HARMFUL, futile=np.array([[True]]))),
        ("waiting", "continue", "collecting", None),
    ),
    "full, and it looks harmful": (
        one(LOOKS_HARMFUL, **FULL),
        ("sample_size", "stop", "looks_harmful", "treatment"),
    ),
    "full, and the second of two looks harmful": (
        two(UNDECIDED, LOOKS_HARMFUL, **FULL),
        ("sample_size", "stop", "looks_harmful", "second"),
    ),
    "full, and what looks harmful is out": (
        two(UNDECIDED, LOOKS_HARMFUL, dropped=SECOND_OUT, **FULL),
        ("sample_size", "stop", "no_effect", None),
    ),
    "full, and what did a small harm is out": (
        two(UNDECIDED, SMALL_HARM, dropped=SECOND_OUT, **FULL),
        ("sample_size", "stop", "no_effect", None),
    ),
    "what has no chance is out": (
        two(UNDECIDED, NO_CHANCE, dropped=SECOND_OUT),
        ("waiting", "continue", "collecting", None),
    ),
    "full, and one is nearer to a win than the other is harmful": (
        two(LOOKS_HARMFUL, TINY, **FULL),
        ("sample_size", "stop", "effect_below_threshold", "second"),
    ),
    "full with a small harm": (
        one(replace(SMALL_HARM, relative=effect(-0.05, -0.09, -0.001)), units=SMALL, target=9.0),
        ("sample_size", "stop", "harm_below_limit", "treatment"),
    ),
    "full with a small harm by one of two": (
        two(UNDECIDED, SMALL_HARM, **FULL),
        ("one_below_threshold", "drop", "harm_below_limit", "second"),
    ),
    "full before the time": (
        one(UNDECIDED, **FULL, **OVER),
        ("sample_size", "stop", "no_effect", "treatment"),
    ),
    "the money is spent": (
        one(UNDECIDED, **SPENT),
        ("budget", "stop", "budget_spent", "treatment"),
    ),
    "the money is spent for two": (
        two(UNDECIDED, UNDECIDED, **SPENT, **OVER),
        ("budget", "stop", "budget_spent", None),
    ),
    "the money is spent, and it is full": (
        one(UNDECIDED, **FULL, **SPENT),
        ("sample_size", "stop", "no_effect", "treatment"),
    ),
    "money is left": (
        one(UNDECIDED, spent=np.array([[False]])),
        ("waiting", "continue", "collecting", None),
    ),
    "the time is over": (one(UNDECIDED, **OVER), ("time_over", "expire", "expired", "treatment")),
    "the time is over for two": (
        two(UNDECIDED, UNDECIDED, **OVER),
        ("time_over", "expire", "expired", None),
    ),
    "nothing yet": (one(UNDECIDED), ("waiting", "continue", "collecting", None)),
    "no trial": (one(UNDECIDED, counted=looks(0)), ("waiting", "continue", "no_data", None)),
    "watching: harm": (
        one(HARMFUL, watching=True),
        ("harm", "rollback", "harm_primary", "treatment"),
    ),
    "watching: a failed check": (
        one(evidence(), watching=True, **FAILED),
        ("distrust", "invalid", "not_exposed", None),
    ),
    "watching: nothing else": (
        one(evidence(), watching=True, **FULL, **OVER),
        ("waiting", "continue", "collecting", None),
    ),
    "watching: no trial": (
        one(NO_CHANCE, watching=True, counted=looks(0)),
        ("waiting", "continue", "no_data", None),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    look, expected = ROWS[name]
    assert ruled(look) == expected


def test_every_row_and_every_reason_is_among_them() -> None:
    assert {row for _, (row, *_) in ROWS.values()} == {row.code for row in TABLE}
    reasons = {reason for _, (_, _, reason, _) in ROWS.values()}
    assert reasons | set(TRUST.values()) == set(get_args(ReasonCode))


@pytest.mark.parametrize(("check", "code"), TRUST.items())
def test_every_trust_check_makes_the_data_invalid(check: str, code: str) -> None:
    look = one(evidence(), checks={"sample_ratio": looks(1), check: looks(0)})
    row = "implausible" if code == "implausible" else "distrust"
    assert ruled(look) == (row, "invalid", code, None)


def test_the_codes_of_trust_checks() -> None:
    assert TRUST == {
        "sample_ratio": "sample_ratio",
        "attrition": "attrition",
        "missing_primary": "attrition",
        "exposure": "not_exposed",
        "plan_drift": "plan_drift",
        "unusable_values": "attrition",
        "implausible_ratio": "implausible",
        "every_run_failed": "every_run_failed",
    }


# --- several winners ---------------------------------------------------------------------


def wins(estimate: float) -> Any:
    return evidence(relative=effect(estimate, 0.1, 0.9))


@pytest.mark.parametrize(
    ("first", "second", "sizes", "arm"),
    [
        (0.3, 0.4, {}, "second"),
        (0.4, 0.3, {"second": 1, "first": 9}, "first"),
        (0.3, 0.3, {}, "first"),
        (0.3001, 0.3004, {}, "first"),  # the same in three digits
        (0.3001, 0.3004, {"first": 2, "second": 1}, "second"),
        (0.3, 0.3, {"first": 2, "second": 2}, "first"),
        (0.3, 0.3, {"second": 1}, "first"),  # what is not known counts as nothing
    ],
)
def test_of_several_winners(first: float, second: float, sizes: dict[str, int], arm: str) -> None:
    assert ruled(two(wins(first), wins(second), change_sizes=sizes))[3] == arm


def test_a_loser_with_a_better_estimate_is_not_promoted() -> None:
    loser = replace(wins(0.9), p_value=looks(0.5))
    look = two(loser, wins(0.3))
    assert ruled(look) == ("win", "promote", "win", "second")
    assert win_estimate(look, "first").tolist() == [[-np.inf]]
    assert win_estimate(look, "second").tolist() == [[0.3]]


def test_alike_is_the_same_in_three_digits() -> None:
    ones, others = looks(0.12345, 0.1234, -np.inf, 1000.4), looks(0.1231, 0.1236, -np.inf, 1001.0)
    assert alike(ones, others).tolist() == [[True, False, False, True]]


# --- many experiments, many looks --------------------------------------------------------


def stacked() -> LookNumbers:
    """Four experiments at three looks: harm at the last, a win at the second, nothing, a stop
    and a win at the same look."""

    def column(*rows: tuple[float, ...]) -> Any:
        return np.array(rows, dtype=np.float64)

    calm, nothing = (1.0, 1.0, 1.0), (0.5, 0.5, 0.5)
    primary = replace(
        evidence(),
        harm_p_value=column((1.0, 1.0, 0.001), calm, calm, calm),
        p_value=column(nothing, (0.5, 0.01, 0.5), nothing, (0.5, 0.5, 0.01)),
        relative=type(effect())(
            column((-0.5, -0.5, -0.5), (0.3, 0.3, 0.3), (0.3, 0.3, 0.3), (0.3, 0.3, 0.3)),
            np.full((4, 3), 0.1),
            np.full((4, 3), 0.5),
        ),
        units=np.full((4, 3), 40.0),
        futile=np.zeros((4, 3), dtype=bool),
        exact=np.zeros((4, 3), dtype=bool),
        guard=DurationGuard(
            saving=np.full((4, 3), 1.0),
            p_value=np.full((4, 3), 0.01),
            low=np.full((4, 3), 0.1),
            exact=np.zeros((4, 3), dtype=bool),
        ),
    )
    units = column((20, 30, 40), (20, 30, 40), (20, 30, 39), (20, 30, 40))
    return LookNumbers(
        experiment=make_experiment(others=()),
        evidence={("duration_s", "treatment"): primary},
        units={"treatment": units},
        measured=units,
        target=40.0,
        counted=2 * units,
        overdue=np.zeros((4, 3), dtype=bool),
        checks={},
        paired=False,
    )


def test_the_first_look_at_which_a_row_applies_decides_and_of_its_rows_the_first() -> None:
    look = stacked()
    first = first_rows(look)
    assert [TABLE[row].code for row in first.row] == ["harm", "win", "waiting", "win"]
    assert first.look.tolist() == [2, 1, 2, 2]
    assert first.row.tolist()[2] == CONTINUE
    assert [r.reason_code for r in rulings(look, first)] == [
        "harm_primary", "win", "collecting", "win"
    ]  # fmt: skip


def test_while_watching_nothing_but_harm_decides_any_of_several_experiments() -> None:
    look = replace(stacked(), watching=True)
    first = first_rows(look)
    assert [TABLE[row].code for row in first.row] == ["harm", "waiting", "waiting", "waiting"]
    assert first.look.tolist() == [2, 2, 2, 2]


# --- what is looked at -------------------------------------------------------------------


def test_what_a_win_needs_in_its_order() -> None:
    look = numbers(PLAIN)
    assert win_questions(look, "treatment") == [
        CriterionKey("enough_trials", "treatment"),
        CriterionKey("evidence", "treatment"),
        CriterionKey("effect", "treatment"),
        CriterionKey("guardrail", "treatment", "success"),
        CriterionKey("guardrail_evidence", "treatment", "success"),
        CriterionKey("guardrail", "treatment", "cost"),
        CriterionKey("guardrail_evidence", "treatment", "cost"),
        CriterionKey("arithmetic_mean", "treatment"),
        CriterionKey("failures_last", "treatment"),
    ]
    proven = replace(COST, non_inferior=True)  # its whole interval says more
    strict = win_questions(numbers(make_experiment(others=(proven,))), "treatment")
    assert [q.code for q in strict if q.about] == ["guardrail"]
    score = numbers(make_experiment(primary=SCORE, others=()))
    assert [q.code for q in win_questions(score, "treatment")] == [
        "enough_trials", "evidence", "effect"
    ]  # fmt: skip


def test_the_questions_are_those_of_the_rows_in_their_order() -> None:
    asked = [question.code for question in questions(two(UNDECIDED, UNDECIDED))]
    win = [
        *("enough_trials", "evidence", "effect", "guardrail", "guardrail_evidence"),
        *("arithmetic_mean", "failures_last"),
    ]
    assert asked == [
        *["harm"] * 4,  # two metrics, two treatments
        "check",
        *win,
        *win,
        *["below_threshold"] * 2,
        "sample_size",
        "time_over",
    ]


def test_while_watching_only_harm_and_trust_are_asked() -> None:
    asked = list(questions(one(UNDECIDED, watching=True)))
    assert [(q.code, q.arm, q.about) for q in asked] == [
        ("harm", "treatment", "duration_s"),
        ("harm", "treatment", "success"),
        ("harm", "treatment", "cost"),
        ("check", "", "sample_ratio"),
    ]

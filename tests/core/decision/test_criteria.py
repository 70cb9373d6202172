"""Each criterion on numbers alone: met, not met, not known, and exactly where it turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from expci.core.decision.criteria import (
    PREDICATES,
    CriterionKey,
    answer,
    is_small_harm,
    looks_harmful,
    met,
)
from expci.core.decision.numbers import LookNumbers
from expci.core.decision.thresholds import (
    compared_with,
    harm_level,
    least_trials,
    promotion_threshold,
    regression_limit,
)
from expci.core.model.experiment import DecisionRules, Limit, Metric
from support.analysis_samples import DURATION, SUCCESS, make_experiment
from support.look_numbers import NAN, effect, evidence, guard, looks, numbers

INF = float("inf")
ARM = "treatment"
SCORE = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(1.0, False))
PASSED = Metric("passed", "primary", "proportion", "increase", minimum_effect=Limit(0.2, False))
COST = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.1, True))
PROVEN = replace(COST, non_inferior=True)

DURATIONS = make_experiment()
SCORES = make_experiment(primary=SCORE)
PROPORTIONS = make_experiment(primary=PASSED)
COSTS = make_experiment(others=(COST,))
PROOFS = make_experiment(others=(PROVEN,))
FIXED = make_experiment(inference="fixed")
LEVEL = 0.025  # alpha over (primary + success) x 1 treatment


def said(look: LookNumbers, question: CriterionKey) -> float | None:
    [[value]] = answer(look, question).tolist()
    return None if np.isnan(value) else value


def primary(name: str = "duration_s", **changes: Any) -> Mapping[tuple[str, str], Any]:
    return {(name, ARM): evidence(**changes)}


HARM = CriterionKey("harm", ARM, "duration_s")


@pytest.mark.parametrize(
    ("p_value", "estimate", "units", "expected"),
    [
        (LEVEL, -0.1001, 10, 1),
        (0.02501, -0.5, 10, 0),
        (LEVEL, -0.1, 10, 0),  # as large as the limit is no more than it
        (LEVEL, -0.5, 9, 0),
        (LEVEL, NAN, 10, None),
        (0.03, NAN, 10, 0),
        (NAN, -0.5, 10, None),
        (NAN, NAN, 10, None),
    ],
)
def test_harm(p_value: float, estimate: float, units: int, expected: float | None) -> None:
    look = numbers(
        DURATIONS,
        primary(harm_p_value=looks(p_value), relative=effect(estimate, NAN, NAN)),
        units={ARM: looks(units)},
    )
    assert said(look, HARM) == expected


@pytest.mark.parametrize(("estimate", "expected"), [(-0.11, 1), (-0.1, 0), (0.3, 0)])
def test_harm_that_is_exact_needs_its_estimate_alone(estimate: float, expected: float) -> None:
    """The limit of a primary without one of its own is 10%."""
    exact: dict[str, Any] = {"exact": np.array([[True]]), "harm_p_value": looks(NAN)}
    look = numbers(DURATIONS, primary(relative=effect(estimate, estimate, estimate), **exact))
    assert said(look, HARM) == expected


@pytest.mark.parametrize(("estimate", "expected"), [(0.3, 1), (-0.3, 0)])
def test_what_is_exact_is_evidence_in_its_direction(estimate: float, expected: float) -> None:
    exact: dict[str, Any] = {"exact": np.array([[True]]), "p_value": looks(NAN)}
    look = numbers(DURATIONS, primary(relative=effect(estimate, estimate, estimate), **exact))
    assert said(look, CriterionKey("evidence", ARM)) == expected


def test_harm_to_the_primary_counts_failed_runs_as_a_stop_does() -> None:
    """Ten runs, one of them failed: nine values."""
    harmful = primary(harm_p_value=looks(2e-5), relative=effect(-3.68, -5, -2), units=looks(9))
    look = numbers(DURATIONS, harmful, units={ARM: looks(10)})
    assert said(look, HARM) == 1


@pytest.mark.parametrize(("units", "expected"), [(9, 0), (10, 1)])
def test_harm_to_a_proportion_needs_evidence_alone(units: int, expected: float) -> None:
    found = {
        ("success", ARM): evidence(
            harm_p_value=looks(LEVEL), absolute=effect(-0.001), units=looks(units)
        )
    }
    assert said(numbers(DURATIONS, found), CriterionKey("harm", ARM, "success")) == expected


def test_harm_in_the_metrics_own_unit() -> None:
    strict = make_experiment(primary=replace(SCORE, max_regression=Limit(0.5, False)))
    for estimate, expected in ((-0.51, 1), (-0.5, 0)):
        found = primary("score", harm_p_value=looks(0.001), absolute=effect(estimate))
        assert said(numbers(strict, found), CriterionKey("harm", ARM, "score")) == expected


@pytest.mark.parametrize("value", [1.0, 0.0, NAN])
def test_a_check_is_what_it_found(value: float) -> None:
    look = numbers(checks={"exposure": looks(value)})
    assert said(look, CriterionKey("check", about="exposure")) == (
        None if value != value else value
    )


@pytest.mark.parametrize(
    ("plan", "units", "expected"),
    [
        ({}, 20, 1),
        ({}, 19, 0),
        ({"min_trials": 30}, 29, 0),
        ({"min_trials": 30, "sample_size": 25}, 25, 1),
        ({"min_trials": 2}, 9, 0),  # never under ten
        ({"min_trials": 2}, 10, 1),
        ({"min_trials": 2, "design": "paired"}, 5, 1),
        ({"min_trials": 2, "design": "paired"}, 4, 0),
    ],
)
def test_enough_trials(plan: dict[str, Any], units: int, expected: float) -> None:
    look = numbers(make_experiment(**plan), units={ARM: looks(units)})
    assert said(look, CriterionKey("enough_trials", ARM)) == expected


@pytest.mark.parametrize(
    ("p_value", "low", "low_in_unit", "expected"),
    [
        (0.05, 0.0, -1.0, 1),
        (0.0501, 0.5, 1.0, 0),
        (0.01, -0.001, 1.0, 0),
        (0.01, NAN, 0.0, 1),  # no share of control is known: the unit tells as much
        (0.01, -INF, 0.1, 1),
        (0.01, NAN, -0.1, 0),
        (0.01, NAN, NAN, 0),
        (NAN, 0.5, 1.0, None),
    ],
)
def test_evidence(p_value: float, low: float, low_in_unit: float, expected: float | None) -> None:
    found = primary(
        p_value=looks(p_value), relative=effect(0.3, low), absolute=effect(3.0, low_in_unit)
    )
    assert said(numbers(DURATIONS, found), CriterionKey("evidence", ARM)) == expected


def test_the_interval_of_each_look_says_the_direction_of_its_own_evidence() -> None:
    found = primary(
        p_value=looks(0.5, 0.01, 0.01),
        relative=replace(effect(), low=looks(NAN, 0.1, -0.1)),
        absolute=replace(effect(), low=looks(NAN, NAN, 1.0)),
    )
    assert met(numbers(DURATIONS, found), CriterionKey("evidence", ARM)).tolist() == [
        [False, True, False]
    ]


@pytest.mark.parametrize(("low", "expected"), [(0.0, 1), (-0.001, 0)])
def test_evidence_on_a_proportion_is_read_in_points(low: float, expected: float) -> None:
    found = primary("passed", absolute=effect(0.3, low), relative=effect(0.3, 0.5 - expected))
    assert said(numbers(PROPORTIONS, found), CriterionKey("evidence", ARM)) == expected


def test_high_risk_asks_for_one_percent() -> None:
    risky = replace(DURATIONS, risk="high")
    for p_value, expected in ((0.01, 1), (0.011, 0)):
        found = primary(p_value=looks(p_value))
        assert said(numbers(risky, found), CriterionKey("evidence", ARM)) == expected


@pytest.mark.parametrize(
    ("estimate", "expected"), [(0.075, 1), (0.0749, 0), (-0.3, 0), (NAN, None)]
)
def test_effect(estimate: float, expected: float | None) -> None:
    found = primary(relative=effect(estimate))
    assert said(numbers(DURATIONS, found), CriterionKey("effect", ARM)) == expected


def test_an_effect_of_nothing_is_none_whatever_the_threshold() -> None:
    anything = make_experiment(primary=replace(DURATION, minimum_effect=None))
    for estimate, expected in ((0.0, 0), (0.001, 1)):
        found = primary(relative=effect(estimate))
        assert said(numbers(anything, found), CriterionKey("effect", ARM)) == expected


@pytest.mark.parametrize(
    ("experiment", "estimate", "low", "expected"),
    [
        (COSTS, -0.1, -9.0, 1),
        (COSTS, -0.1 - 1e-10, -9.0, 1),  # as large as the limit but for binary numbers
        (COSTS, -0.1001, -0.05, 0),
        (COSTS, NAN, 0.0, None),
        (PROOFS, -9.0, -0.1, 1),
        (PROOFS, 0.5, -0.1001, 0),
        (PROOFS, 0.5, -INF, None),
        (PROOFS, 0.5, NAN, None),
    ],
)
def test_guardrail(experiment: Any, estimate: float, low: float, expected: float | None) -> None:
    found = {("cost", ARM): evidence(relative=effect(estimate, low), absolute=effect(-9, -9))}
    assert said(numbers(experiment, found), CriterionKey("guardrail", ARM, "cost")) == expected


def test_a_guardrail_that_is_a_proportion_is_held_to_five_points() -> None:
    for estimate, expected in ((-0.05, 1), (-0.051, 0)):
        found = {("success", ARM): evidence(absolute=effect(estimate), relative=effect(-1.0))}
        look = numbers(DURATIONS, found)
        assert said(look, CriterionKey("guardrail", ARM, "success")) == expected


@pytest.mark.parametrize(
    ("estimate", "error", "odds", "expected"),
    [
        (0.0, 0.16, NAN, 1),  # exp(2 · 0.1 · 0.1 / 0.16²) = 2.18 times as likely
        (0.0, 0.18, NAN, 0),  # 1.85 times, and a chance of 0.71 to be within 10 %
        (-0.1, 0.0001, NAN, 0),  # at the limit: as likely either way
        (-0.09, 0.0001, NAN, 1),
        (0.2, 0.35, NAN, 1),  # 1.63 times, but a chance of 0.804
        (0.2, 0.36, NAN, 0),  # 0.798
        (0.0, 0.18, 2.0, 1),  # the kind's own odds go before
        (0.0, 0.16, 1.9, 0),
        (0.0, 0.0, NAN, 1),
        (0.0, NAN, NAN, None),
        (NAN, 0.1, NAN, None),
    ],
)
def test_guardrail_evidence(
    estimate: float, error: float, odds: float, expected: float | None
) -> None:
    found = evidence(
        relative=effect(estimate), relative_error=looks(error), no_loss_odds=looks(odds)
    )
    look = numbers(COSTS, {("cost", ARM): found})
    assert said(look, CriterionKey("guardrail_evidence", ARM, "cost")) == expected


def test_a_guardrail_that_never_varies_needs_no_more_data() -> None:
    exact = evidence(exact=np.array([[True]]), relative_error=looks(NAN))
    look = numbers(COSTS, {("cost", ARM): exact})
    assert said(look, CriterionKey("guardrail_evidence", ARM, "cost")) == 1


@pytest.mark.parametrize(("saving", "expected"), [(0.001, 1), (0.0, 0), (-1, 0), (NAN, None)])
def test_arithmetic_mean(saving: float, expected: float | None) -> None:
    found = primary(guard=guard(saving))
    assert said(numbers(DURATIONS, found), CriterionKey("arithmetic_mean", ARM)) == expected


@pytest.mark.parametrize(
    ("p_value", "low", "expected"),
    [(0.045, 0.0, 1), (0.046, 0.1, 0), (0.01, -0.01, 0), (0.01, NAN, 0), (NAN, 0.1, None)],
)
def test_failures_last(p_value: float, low: float, expected: float | None) -> None:
    found = primary(guard=guard(1.0, p_value, low))
    assert said(numbers(DURATIONS, found), CriterionKey("failures_last", ARM)) == expected


@pytest.mark.parametrize(("value", "expected"), [(1.0, 1), (0.0, 0), (NAN, None)])
def test_must_pass(value: float, expected: float | None) -> None:
    look = numbers(DURATIONS, must_pass={ARM: looks(value)})
    assert said(look, CriterionKey("must_pass", ARM)) == expected


def test_pairs_count_against_min_trials_and_units_against_the_minimum() -> None:
    question = CriterionKey("enough_trials", ARM)
    for units, size, expected in ((10, 20, 1), (10, 19, 0), (9, 200, 0)):
        look = numbers(DURATIONS, units={ARM: looks(units)}, sizes={ARM: looks(size)})
        assert said(look, question) == expected


@pytest.mark.parametrize("code", ["arithmetic_mean", "failures_last"])
def test_what_no_guard_says_is_not_known(code: Any) -> None:
    look = numbers(DURATIONS, primary(guard=None))
    assert said(look, CriterionKey(code, ARM)) is None


@pytest.mark.parametrize(
    ("high", "futile", "units", "expected"),
    [
        (0.0749, False, 10, 1),
        (0.075, False, 10, 0),
        (0.0749, False, 9, 0),
        (0.5, True, 10, 1),
        (0.5, True, 9, 0),
        (INF, True, 10, 1),
        (INF, True, 9, None),
        (INF, False, 10, None),
        (NAN, False, 10, None),
    ],
)
def test_below_threshold(high: float, futile: bool, units: int, expected: float | None) -> None:
    found = primary(relative=effect(0.0, -1.0, high), futile=np.array([[futile]]))
    look = numbers(DURATIONS, found, units={ARM: looks(units)})
    assert said(look, CriterionKey("below_threshold", ARM)) == expected


@pytest.mark.parametrize(
    ("estimate", "futile", "expected"),
    [(-0.1001, False, 0), (-0.1001, True, 0), (-0.1, False, 1), (-0.1, True, 1), (NAN, False, 1)],
)
def test_no_futility_while_it_looks_harmful(estimate: float, futile: bool, expected: float) -> None:
    """Whatever the error is: here it is not known."""
    found = primary(
        relative=effect(estimate, -1.0, 0.01),
        relative_error=looks(NAN),
        futile=np.array([[futile]]),
    )
    assert said(numbers(DURATIONS, found), CriterionKey("below_threshold", ARM)) == expected


@pytest.mark.parametrize(
    ("estimate", "units", "expected"), [(-0.0580, 10, 0), (-0.0578, 10, 1), (-0.0580, 9, 0)]
)
def test_no_futility_while_harm_may_still_be_proven(
    estimate: float, units: int, expected: float
) -> None:
    """With an error of 5 points a fifth of the flat prior's posterior is beyond −10 % where the
    estimate is at −0.1 + 0.8416 · 0.05 = −0.0579 (z of .8)."""
    found = primary(relative=effect(estimate, -1.0, 0.01), relative_error=looks(0.05))
    look = numbers(DURATIONS, found, units={ARM: looks(units)})
    assert said(look, CriterionKey("below_threshold", ARM)) == expected


@pytest.mark.parametrize(
    ("estimate", "units", "expected"),
    [(-0.1001, 10, True), (-0.1, 10, False), (-0.5, 9, False), (NAN, 10, False), (0.5, 10, False)],
)
def test_looking_harmful(estimate: float, units: int, expected: bool) -> None:
    found = primary(relative=effect(estimate, -1.0, 1.0))
    look = numbers(DURATIONS, found, units={ARM: looks(units)})
    assert looks_harmful(look, ARM).item() is expected


@pytest.mark.parametrize(
    ("experiment", "units", "measured", "target", "expected"),
    [
        (DURATIONS, 100, 90, 100, 0),
        (DURATIONS, 99, 99, 100, 0),
        (DURATIONS, 100, 100, NAN, None),
        (FIXED, 100, 100, 100, 1),
        (FIXED, 100, 99, 100, 0),
        (FIXED, 99, 100, 100, 0),
    ],
)
def test_sample_size(
    experiment: Any, units: int, measured: int, target: float, expected: float | None
) -> None:
    look = numbers(
        experiment, units={ARM: looks(units)}, measured=looks(measured), target=float(target)
    )
    assert said(look, CriterionKey("sample_size")) == expected


def test_the_smallest_arm_has_the_sample_size() -> None:
    three = make_experiment(treatments=("a", "b"))
    look = numbers(three, units={"a": looks(100), "b": looks(99)})
    assert look.per_arm.tolist() == [[99]]
    assert said(look, CriterionKey("sample_size")) == 0


@pytest.mark.parametrize("spent", [True, False])
def test_budget(spent: bool) -> None:
    assert said(numbers(spent=np.array([[spent]])), CriterionKey("budget")) == spent
    assert said(numbers(), CriterionKey("budget")) is None


@pytest.mark.parametrize("over", [True, False])
def test_time_over(over: bool) -> None:
    assert said(numbers(overdue=np.array([[over]])), CriterionKey("time_over")) == over


@pytest.mark.parametrize(
    ("estimate", "high", "expected"),
    [(-0.1, -0.01, True), (-0.1001, -0.01, False), (-0.05, 0.0, False), (NAN, -0.01, False)],
)
def test_a_small_harm(estimate: float, high: float, expected: bool) -> None:
    look = numbers(DURATIONS, primary(relative=effect(estimate, -1, high)))
    assert is_small_harm(look, ARM).item() is expected


def test_every_code_has_a_test() -> None:
    assert {f"test_{code}" for code in PREDICATES} - {"test_check"} <= globals().keys()


# --- thresholds --------------------------------------------------------------------------


def test_limits_that_nobody_states() -> None:
    assert regression_limit(SUCCESS) == Limit(0.05, False)
    assert regression_limit(DURATION) == Limit(0.1, True)
    assert regression_limit(COST) == Limit(0.1, True)
    assert regression_limit(replace(SUCCESS, max_regression=Limit(0.2, False))).value == 0.2


def test_the_promotion_threshold_is_stated_or_half_the_effect() -> None:
    assert promotion_threshold(DURATIONS) == Limit(0.075, True)
    assert promotion_threshold(SCORES) == Limit(0.5, False)
    stated = make_experiment(decision=DecisionRules(promote_at=Limit(0.03, True)))
    assert promotion_threshold(stated) == Limit(0.03, True)
    assert promotion_threshold(
        make_experiment(primary=replace(DURATION, minimum_effect=None))
    ) == Limit(0.0, True)
    assert promotion_threshold(
        make_experiment(primary=replace(SCORE, minimum_effect=None))
    ) == Limit(0.0, False)


def test_what_intervals_are_compared_with() -> None:
    assert compared_with(DURATIONS, DURATION) == (Limit(-0.1, True), Limit(0.075, True))
    assert compared_with(DURATIONS, SUCCESS) == (Limit(-0.05, False),)


def test_harm_tests_share_alpha_over_metrics_and_treatments() -> None:
    assert harm_level(DURATIONS, 1) == pytest.approx(0.05 / 2)
    assert harm_level(make_experiment(others=(SUCCESS, COST)), 3) == pytest.approx(0.05 / 9)


def test_the_least_trials_are_never_more_than_the_sample_size() -> None:
    assert least_trials(DURATIONS) == 20
    assert least_trials(make_experiment(sample_size=12)) == 12
    assert least_trials(make_experiment(sample_size=50)) == 20


def test_a_proportion_is_held_against_a_relative_limit_in_points() -> None:
    """`max_regression: 10%` of a rate reads as ten points: there is no relative estimate of it."""
    relative = replace(SUCCESS, max_regression=Limit(0.1, True))
    found = {("success", ARM): evidence(relative=effect(NAN, NAN, NAN), absolute=effect(-0.09))}
    look = numbers(make_experiment(others=(relative,)), found)
    assert look.improvement(relative, ARM, Limit(0.1, True)).estimate.tolist() == [[-0.09]]
    assert said(look, CriterionKey("guardrail", ARM, "success")) == 1


def test_only_a_guardrail_guards() -> None:
    """A secondary metric that got much worse, with all the evidence there is, decides nothing."""
    secondary = replace(COST, role="secondary")
    experiment = make_experiment(others=(secondary,))
    bad = evidence(harm_p_value=looks(1e-9), relative=effect(-0.9, -0.95, -0.8))
    look = numbers(experiment, {("cost", ARM): bad})
    assert [metric.name for metric in look.judged] == ["duration_s"]
    assert harm_level(experiment, 1) == pytest.approx(0.05)


def test_a_secondary_metric_and_a_guardrail_without_evidence_are_not_judged() -> None:
    look = numbers(COSTS)
    assert [metric.name for metric in look.judged] == ["duration_s", "cost"]
    without = replace(look, evidence=primary())
    assert [metric.name for metric in without.judged] == ["duration_s"]

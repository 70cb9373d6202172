"""Each rule and each detail of a decision, word for word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest

from expci.core.decision.decide import decide
from expci.core.decision.inputs import Safeguard
from expci.core.model.budget import BudgetUse
from expci.core.model.experiment import Metric
from expci.core.model.results import CaseResult, Check, CriterionCode
from support.analysis_samples import DURATION, SUCCESS, make_experiment
from support.decision_samples import (
    ARM,
    COST,
    HARMFUL,
    NO_CHANCE,
    OVER,
    PROVEN,
    SILENT,
    UNDECIDED,
    decision,
    details,
)
from support.look_numbers import Effect, LookSample

# An effect on the primary, more of the look, a rule, and its answer and detail.
DETAILS: Mapping[str, tuple[Effect, Mapping[str, Any], str, bool | None, str]] = {
    "harm": (
        HARMFUL, {}, "rollback: treatment harms duration_s", True,
        "one-sided p = 0.0001, needs 0.025 or less; estimate −50.0%, limit −10%",
    ),
    "no harm": (
        UNDECIDED, {}, "rollback: treatment harms duration_s", False,
        "one-sided p > 0.99, needs 0.025 or less; estimate +2.0%, limit −10%",
    ),
    "harm without evidence": (
        SILENT, {}, "rollback: treatment harms duration_s", None,
        "no evidence yet: evidence starts at 5 per arm",
    ),
    "harm without an estimate": (
        Effect(1.0, 0.001, None, None, note_codes={"no_relative_change": "b"}, notes=("a",)), {},
        "rollback: treatment harms duration_s", None,
        "one-sided p = 0.001, needs 0.025 or less; estimate —, limit −10%; harm is "
        "likely, but the limit cannot be applied: b",
    ),
    "check": (UNDECIDED, {}, "trust: sample ratio", True, "20 and 20"),
    "check that failed": (
        UNDECIDED, {"checks": [Check("exposure", "failed", None, "3 of 9")]},
        "trust: exposure", False, "3 of 9",
    ),
    "check that cannot say": (
        UNDECIDED, {"checks": [Check("attrition", "unknown", None, "none yet")]},
        "trust: attrition", None, "none yet",
    ),
    "check that warns": (
        UNDECIDED, {"checks": [Check("attrition", "warning", 0.01, "few")]},
        "trust: attrition", True, "few",
    ),
    "enough": (
        UNDECIDED, {}, "promote treatment: enough trials", True, "40 trials per arm, needs 20",
    ),
    "enough pairs": (
        UNDECIDED, {"experiment": make_experiment(design="paired", min_trials=2)},
        "promote treatment: enough trials", True, "40 pairs, needs 5",
    ),
    "evidence": (Effect(), {}, "promote treatment: evidence", True, "p = 0.01, needs 0.05 or less"),
    "no evidence": (
        UNDECIDED, {}, "promote treatment: evidence", False, "p = 0.50, needs 0.05 or less",
    ),
    "evidence adjusted over the treatments": (
        replace(Effect(), holm_p_value=0.2), {}, "promote treatment: evidence", False,
        "p = 0.20, needs 0.05 or less",
    ),
    "evidence not yet": (
        SILENT, {}, "promote treatment: evidence", None,
        "no evidence yet: evidence starts at 5 per arm",
    ),
    "evidence of the other side": (
        Effect(interval=(-0.1, 0.5)), {}, "promote treatment: evidence", False,
        "p = 0.01, needs 0.05 or less; but the interval does not show an improvement",
    ),
    "effect": (Effect(), {}, "promote treatment: effect", True, "+30.0%, needs 7.5% or more"),
    "effect not known": (
        SILENT, {}, "promote treatment: effect", None,
        "no estimate yet, needs 7.5%: evidence starts at 5 per arm",
    ),
    "mean": (
        UNDECIDED, {}, "promote treatment: arithmetic mean", True,
        "saves 2.00 s per run on average",
    ),
    "mean that grows": (
        UNDECIDED, {"more": {"safeguards": {ARM: Safeguard(-0.5, 0.01, 0.1, (1, 2))}}},
        "promote treatment: arithmetic mean", False, "adds 0.500 s per run on average",
    ),
    "mean that stays": (
        UNDECIDED, {"more": {"safeguards": {ARM: Safeguard(-0.0, 0.01, 0.1, (1, 2))}}},
        "promote treatment: arithmetic mean", False, "saves 0 s per run on average",
    ),
    "mean not known": (
        UNDECIDED, {"more": {"safeguards": {}}}, "promote treatment: arithmetic mean", None,
        "not known yet",
    ),
    "failures": (
        UNDECIDED, {}, "promote treatment: failures ranked last", True,
        "p = 0.01 with them last, needs 0.045 or less; 2 failed runs in treatment, 1 in control",
    ),
    "failures not known": (
        UNDECIDED, {"more": {"safeguards": {}}}, "promote treatment: failures ranked last", None,
        "not known yet",
    ),
    "cannot reach": (
        NO_CHANCE, {}, "stop treatment: cannot reach the threshold", True,
        "upper end +5.0%, threshold 7.5%",
    ),
    "cannot reach, by the bound": (
        replace(UNDECIDED, futile=True), {}, "stop treatment: cannot reach the threshold", True,
        "success has become unlikely by the plan's futility bound; threshold 7.5%",
    ),
    "cannot reach, too early": (
        replace(UNDECIDED, futile=True), {"units": {ARM: 9}},
        "stop treatment: cannot reach the threshold", False, "upper end +20.0%, threshold 7.5%",
    ),
    "cannot reach, open": (
        replace(UNDECIDED, interval=(-0.2, None)), {},
        "stop treatment: cannot reach the threshold", None, "no upper end yet, threshold 7.5%",
    ),
    "cannot reach, but it may do harm": (
        replace(UNDECIDED, improvement=-0.2, interval=(-0.45, 0.05)), {},
        "stop treatment: cannot reach the threshold", False,
        "upper end +5.0%, threshold 7.5%; not while harm may still be proven: estimate −20.0%, "
        "limit −10%",
    ),
    "an end at the threshold reaches it": (
        replace(UNDECIDED, improvement=-0.2, interval=(-0.45, 0.075)), {},
        "stop treatment: cannot reach the threshold", False,
        "upper end +7.5%, threshold 7.5%",
    ),
    "budget": (
        UNDECIDED, {"more": {"budget": BudgetUse("cost_usd", 20.0, 4.2)}},
        "stop: budget spent", False, "$4.20 of $20 spent",
    ),
    "size": (
        UNDECIDED, {}, "stop: sample size reached", False, "40 of 100 trials per arm",
    ),
    "size not known": (
        UNDECIDED, {"target": None}, "stop: sample size reached", None,
        "the sample size is not known yet",
    ),
    "size, not measured": (
        replace(UNDECIDED, units=39),
        {"experiment": make_experiment(inference="fixed"), "target": 40},
        "stop: sample size reached", False, "40 of 40 trials per arm, of which 39 were measured",
    ),
    "time": (UNDECIDED, {}, "expire: max_days", False, "9 days left"),
    "time over": (UNDECIDED, {"at": OVER}, "expire: max_days", True, "its time is over"),
}  # fmt: skip


@pytest.mark.parametrize("name", DETAILS)
def test_detail(name: str) -> None:
    effect, changes, rule, is_met, detail = DETAILS[name]
    assert details(decision(effect, **changes))[rule] == (is_met, detail)


@pytest.mark.parametrize(
    ("metric", "effect", "is_met", "detail"),
    [
        (SUCCESS, Effect(difference=-0.02), True, "estimate −2.0 points, allowed −5 points"),
        (COST, Effect(improvement=-0.2), False, "estimate −20.0%, allowed −10%"),
        (PROVEN, Effect(interval=(-0.2, 0.1)), False,
         "interval's worse end −20.0%, allowed −10%"),
        (PROVEN, Effect(interval=(None, 0.1), notes=("why",)), None,
         "no interval's worse end yet, allowed −10%: why"),
        (COST, SILENT, None, "no estimate yet, allowed −10%: evidence starts at 5 per arm"),
    ],
)  # fmt: skip
def test_detail_of_a_guardrail(
    metric: Metric, effect: Effect, is_met: bool | None, detail: str
) -> None:
    experiment = make_experiment(others=(metric,))
    sample = LookSample(experiment, {(metric.name, ARM): effect})
    rule = f"promote treatment: guardrail {metric.name}"
    assert details(decide(sample.input()))[rule] == (is_met, detail)


def test_detail_of_the_data_on_a_guardrail() -> None:
    few = Effect(difference=0.0, error=0.1)  # exp(2 · 0.05 · 0.05 / 0.01) = 1.65; Φ(0.5) = 0.69
    sample = LookSample(effects={("success", ARM): few})
    rule = "promote treatment: data on guardrail success"
    assert details(decide(sample.input()))[rule] == (
        False,
        "an effect of 0 fits the data 1.6 times as well as −10 points (needs 2); the chance of "
        "being within −5 points is 69% (80% is enough)",
    )


def test_without_an_error_the_data_on_a_guardrail_say_nothing() -> None:
    silent = replace(SILENT, error=None)
    found = details(decide(LookSample(effects={("success", ARM): silent}).input()))
    assert found["promote treatment: data on guardrail success"] == (
        None,
        "no standard error yet: evidence starts at 5 per arm",
    )


def case(name: str, control: int, treatment: int, *broken_by: str) -> CaseResult:
    runs = {"control": control, ARM: treatment}
    return CaseResult(name, runs, runs, {}, {}, {}, True, True, broken_by)


@pytest.mark.parametrize(
    ("cases", "answer", "detail"),
    [
        ([case("log in", 2, 2), case("pay", 2, 1)], 1.0, "not broken: log in, pay"),
        ([case("log in", 2, 0), case("pay", 0, 2)], None,
         "not run yet under both arms: log in, pay"),
        ([case("pay", 1, 1)], None, "not run yet under both arms: log in"),
        ([case("log in", 2, 2, ARM), case("pay", 2, 2, ARM)], 0.0,
         "treatment fails what control passes: log in, pay"),
        ([case("log in", 2, 2), case("pay", 2, 2, "other")], 1.0, "not broken: log in, pay"),
    ],
)  # fmt: skip
def test_detail_of_the_cases_that_must_pass(
    cases: list[CaseResult], answer: float | None, detail: str
) -> None:
    plan = replace(make_experiment(design="paired"), must_pass=("log in", "pay"))
    sample = LookSample(plan, more={"cases": cases, "must_pass": {ARM: answer}})
    rule = "promote treatment: no case broken that must pass"
    assert details(decide(sample.input()))[rule] == (
        None if answer is None else bool(answer),
        detail,
    )


def test_harm_to_a_proportion_has_no_limit_in_its_words() -> None:
    sample = LookSample(effects={("success", ARM): Effect(harm_p_value=0.3, difference=-0.02)})
    detail = details(decide(sample.input()))["rollback: treatment harms success"][1]
    assert detail == "one-sided p = 0.30, needs 0.025 or less; estimate −2.0 points"


def test_every_criterion_has_its_code_and_what_it_is_about() -> None:
    found = decide(LookSample(make_experiment(others=(COST,))).input()).criteria
    # Without a budget nothing is asked of one, nor of cases without `must_pass`.
    assert {item.code for item in found} == set(get_args(CriterionCode)) - {"budget", "must_pass"}
    harm, check = found[1], next(item for item in found if item.code == "check")
    assert (harm.code, harm.arm, harm.about) == ("harm", ARM, "cost")
    assert (check.arm, check.about) == (None, "sample_ratio")
    assert (found[-1].arm, found[-1].about) == (None, None)


def test_no_minimum_effect_asks_for_anything_better() -> None:
    experiment = make_experiment(primary=replace(DURATION, minimum_effect=None), others=())
    found = details(decide(LookSample(experiment).input()))
    assert found["promote treatment: effect"][1] == "+30.0%, needs 0% or more"


def test_what_nothing_explains_is_not_explained() -> None:
    assert details(decision(replace(SILENT, notes=())))["promote treatment: evidence"] == (
        None,
        "no evidence yet",
    )


def test_an_empty_interval_is_said_instead_of_its_direction() -> None:
    effect = Effect(interval=None, difference_interval=None, note_codes={"unsteady_effect": "x"})
    assert details(decision(effect))["promote treatment: evidence"] == (
        False,
        "p = 0.01, needs 0.05 or less; but x",
    )

"""The words of a decision: each rule, each detail, each reason, each next step, word for word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest

from expci.core.decision.decide import decide
from expci.core.decision.inputs import Safeguard
from expci.core.model.experiment import DecisionRules, Limit, Metric
from expci.core.model.results import EXACT, Check, CriterionCode, Decision
from support.analysis_samples import DURATION, START, SUCCESS, make_experiment
from support.look_numbers import Effect, LookSample

COST = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.1, True))
PROVEN = replace(COST, non_inferior=True)
SCORE = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(1.0, False))
ARM = "treatment"
PRIMARY = ("duration_s", ARM)
UNDECIDED = Effect(p_value=0.5, improvement=0.02, interval=(-0.2, 0.2))
NO_CHANCE = Effect(p_value=0.5, improvement=0.0, interval=(-0.05, 0.05))
SILENT = Effect(None, None, None, None, None, None, notes=("evidence starts at 5 per arm",))
HARMFUL = Effect(1.0, 0.0001, -0.5, (-0.9, -0.2))
OVER = START + timedelta(days=14)


def decision(effect: Effect = UNDECIDED, **changes: Any) -> Decision:
    return decide(LookSample(effects={PRIMARY: effect}, **changes).input())


def details(found: Decision) -> dict[str, tuple[bool | None, str]]:
    return {item.rule: (item.met, item.detail) for item in found.criteria}


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
    "check": (UNDECIDED, {}, "trust: sample_ratio", True, "20 and 20"),
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
        "p = 0.01, needs 0.05 or less; but the interval does not say that it is better",
    ),
    "effect": (Effect(), {}, "promote treatment: effect", True, "+30.0%, needs 7.5% or more"),
    "effect not known": (
        SILENT, {}, "promote treatment: effect", None,
        "no estimate yet, needs 7.5%: evidence starts at 5 per arm",
    ),
    "mean": (
        UNDECIDED, {}, "promote treatment: arithmetic mean", True, "saves 2.00 per run on average",
    ),
    "mean that grows": (
        UNDECIDED, {"more": {"safeguards": {ARM: Safeguard(-0.5, 0.01, 0.1, (1, 2))}}},
        "promote treatment: arithmetic mean", False, "adds 0.500 per run on average",
    ),
    "mean that stays": (
        UNDECIDED, {"more": {"safeguards": {ARM: Safeguard(-0.0, 0.01, 0.1, (1, 2))}}},
        "promote treatment: arithmetic mean", False, "saves 0 per run on average",
    ),
    "mean not known": (
        UNDECIDED, {"more": {"safeguards": {}}}, "promote treatment: arithmetic mean", None,
        "not known yet",
    ),
    "failures": (
        UNDECIDED, {}, "promote treatment: failures ranked last", True,
        "p = 0.01 with them last; 2 failed runs in treatment, 1 in control",
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
        "no change fits the data 1.6 times as well as −10 points, needs 2; the chance of being "
        "within −5 points is 69%, 80% will do",
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


# Effects, more of the look, the verdict and its reasons.
REASONS: Mapping[str, tuple[LookSample, str, tuple[str, ...]]] = {
    "harm": (
        LookSample(effects={PRIMARY: HARMFUL}),
        "rollback",
        (
            "treatment makes duration_s worse by 50.0% after 40 trials per arm.",
            "The evidence of harm is p = 0.0001; 0.025 or less is needed at whatever time one "
            "looks.",
        ),
    ),
    "implausible": (
        LookSample(
            effects={PRIMARY: HARMFUL},
            checks=[Check("implausible_ratio", "failed", None, "60 times apart")],
        ),
        "invalid",
        ("The check implausible_ratio failed: 60 times apart.",),
    ),
    "distrust": (
        LookSample(
            checks=[
                Check("sample_ratio", "failed", 0.0002, "9 and 31"),
                Check("exposure", "failed", None, "3 of 9"),
                Check("attrition", "ok", 0.5, "fine"),
                Check("quiet", "failed", None, "no trust check"),
            ]
        ),
        "invalid",
        (
            "The check sample_ratio failed: 9 and 31 (p = 0.0002).",
            "The check exposure failed: 3 of 9.",
        ),
    ),
    "win": (
        LookSample(
            effects={("success", ARM): Effect(difference=0.02, difference_interval=(-0.05, 0.1))}
        ),
        "promote",
        (
            "treatment improves duration_s by 30.0% after 40 trials per arm; a promotion "
            "needs 7.5% or more.",
            "The evidence is p = 0.01; 0.05 or less is needed at whatever time one looks.",
            "Every guardrail is within its limit: success.",
            "Could not be excluded: a loss of success of up to 5.0 points (limit 5 points).",
        ),
    ),
    "win with an exact guardrail": (
        LookSample(
            make_experiment(others=(COST,)),
            effects={
                ("cost", ARM): Effect(improvement=-0.02, interval=(-0.02, -0.02), method=EXACT)
            },
        ),
        "promote",
        (
            "treatment improves duration_s by 30.0% after 40 trials per arm; a promotion "
            "needs 7.5% or more.",
            "The evidence is p = 0.01; 0.05 or less is needed at whatever time one looks.",
            "Every guardrail is within its limit: cost.",
            "cost is worse by exactly 2.0% (limit 10%).",
        ),
    ),
    "win without guardrails, at planned looks": (
        LookSample(make_experiment(others=(), inference="group-sequential")),
        "promote",
        (
            "treatment improves duration_s by 30.0% after 40 trials per arm; a promotion "
            "needs 7.5% or more.",
            "The evidence is p = 0.01; 0.05 or less is needed over all planned looks together.",
        ),
    ),
    "no chance": (
        LookSample(effects={PRIMARY: NO_CHANCE}),
        "stop",
        (
            "treatment changes duration_s by +5.0% at best (positive is better); a promotion "
            "needs 7.5%.",
        ),
    ),
    "no chance by the bound": (
        LookSample(effects={PRIMARY: replace(UNDECIDED, futile=True, looks=3)}),
        "stop",
        ("treatment: success has become unlikely by the plan's futility bound (look 3).",),
    ),
    "no chance by the bound, without an upper end": (
        LookSample(effects={PRIMARY: replace(SILENT, futile=True, looks=2)}),
        "stop",
        ("treatment: success has become unlikely by the plan's futility bound (look 2).",),
    ),
    "full": (
        LookSample(make_experiment(others=()), {PRIMARY: UNDECIDED}, target=40),
        "stop",
        (
            "The sample size is reached: 40 of 40 trials per arm.",
            "Not met: promote treatment: evidence (p = 0.50, needs 0.05 or less).",
            "Not met: promote treatment: effect (+2.0%, needs 7.5% or more).",
        ),
    ),
    "over": (
        LookSample(effects={PRIMARY: UNDECIDED}, at=OVER),
        "expire",
        ("The time is over after 40 of 100 trials per arm; nothing was shown.",),
    ),
    "over without a size": (
        LookSample(effects={PRIMARY: UNDECIDED}, at=OVER, target=None),
        "expire",
        ("The time is over after 40 trials per arm; nothing was shown.",),
    ),
    "collecting": (
        LookSample(effects={PRIMARY: UNDECIDED}, units={ARM: 9}),
        "continue",
        (
            "9 of at most 100 trials per arm so far; nothing is decided yet.",
            "Not met yet: promote treatment: enough trials (9 trials per arm, needs 20).",
            "Not met yet: promote treatment: evidence (p = 0.50, needs 0.05 or less).",
        ),
    ),
    "collecting without a size": (
        LookSample(make_experiment(others=()), {PRIMARY: UNDECIDED}, target=None, units={ARM: 25}),
        "continue",
        (
            "25 trials per arm so far; nothing is decided yet.",
            "Not met yet: promote treatment: evidence (p = 0.50, needs 0.05 or less).",
            "Not met yet: promote treatment: effect (+2.0%, needs 7.5% or more).",
        ),
    ),
    "no data": (
        LookSample(effects={PRIMARY: SILENT}, trials=0),
        "continue",
        ("No trial has been counted.",),
    ),
    "watching, no data": (
        LookSample(effects={PRIMARY: SILENT}, trials=0, more={"watching": True}),
        "continue",
        ("No trial has been counted since the promotion.",),
    ),
    "watching": (
        LookSample(more={"watching": True, "minimum_harm": 0.123}),
        "continue",
        (
            "No harm shown in 40 trials per arm since the promotion.",
            "A harm to duration_s of 12.3% or more would have been seen with 80% probability; a "
            "smaller one may be there.",
        ),
    ),
    "watching, too few": (
        LookSample(more={"watching": True}),
        "continue",
        (
            "No harm shown in 40 trials per arm since the promotion.",
            "How small a harm would have been seen is not known yet.",
        ),
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_reasons(name: str) -> None:
    sample, verdict, reasons = REASONS[name]
    found = decide(sample.input())
    assert (found.verdict, found.reasons) == (verdict, reasons)


@pytest.mark.parametrize(
    ("first", "second", "sizes", "sentence"),
    [
        (0.3, 0.4, {}, "first won too; second has the best estimate."),
        (0.3, 0.3, {"first": 2, "second": 1},
         "first won too; second has the same estimate and changes less."),
        (0.3, 0.3, {}, "second won too; first has the same estimate and was named first."),
        (0.3, 0.3, {"first": 2, "second": 2},
         "second won too; first has the same estimate and was named first."),
    ],
)  # fmt: skip
def test_why_one_of_several_winners(
    first: float, second: float, sizes: dict[str, int], sentence: str
) -> None:
    effects = {
        ("duration_s", arm): Effect(improvement=estimate)
        for arm, estimate in (("first", first), ("second", second))
    }
    experiment = make_experiment(treatments=("first", "second"))
    found = decide(LookSample(experiment, effects, more={"change_sizes": sizes}).input())
    assert found.reasons[-1] == sentence


def test_a_loser_is_no_winner_too() -> None:
    experiment = make_experiment(treatments=("first", "second"))
    found = decide(LookSample(experiment, {("duration_s", "first"): UNDECIDED}).input())
    assert found.arm == "second"
    assert not any("won too" in reason for reason in found.reasons)


PLAIN, MANUAL = make_experiment(), make_experiment(decision=DecisionRules(rollback="manual"))


def promoting(promote: Any) -> LookSample:
    return LookSample(make_experiment(decision=DecisionRules(promote=promote)))


@pytest.mark.parametrize(
    ("sample", "sentence"),
    [
        (promoting("pr"), "The pass opens a pull request that promotes treatment."),
        (promoting("merge"),
         "The pass opens a pull request that promotes treatment and merges it."),
        (promoting("never"),
         "The pass ends the experiment as a win; its plan says never to promote."),
        (LookSample(PLAIN, {PRIMARY: HARMFUL}),
         "The pass stops exposure first, then ends the experiment; control stays."),
        (LookSample(MANUAL, {PRIMARY: HARMFUL}),
         "The pass raises an alert; a person rolls back (`rollback: manual`)."),
        (LookSample(PLAIN, {PRIMARY: HARMFUL}, more={"watching": True}),
         "The pass reverts the promoted change."),
        (LookSample(checks=[Check("exposure", "failed")]),
         "The pass pauses the experiment and raises an alert."),
        (LookSample(effects={PRIMARY: NO_CHANCE}),
         "The pass ends the experiment; control stays."),
        (LookSample(effects={PRIMARY: UNDECIDED}, at=OVER),
         "The pass ends the experiment; control stays."),
        (LookSample(effects={PRIMARY: UNDECIDED}), "The next pass looks again as trials arrive."),
        (LookSample(more={"watching": True}),
         "The next pass looks again; it will watch for 7 days after the promotion."),
    ],
)  # fmt: skip
def test_what_comes_next(sample: LookSample, sentence: str) -> None:
    assert decide(sample.input()).next == sentence


def test_an_effect_in_the_metrics_own_unit() -> None:
    experiment = make_experiment(primary=SCORE, others=())
    effects = {("score", ARM): Effect(difference=2.5, difference_interval=(0.5, 4.5))}
    found = decide(LookSample(experiment, effects).input())
    assert found.reasons[0].startswith("treatment improves score by 2.50 after 40")
    effects = {("score", ARM): Effect(difference=-2.5, difference_interval=(-4.5, -0.5))}
    assert decide(LookSample(experiment, effects).input()).verdict == "stop"


def test_a_falling_metric_is_turned_so_that_positive_is_better() -> None:
    fewer = replace(SCORE, direction="decrease")
    experiment = make_experiment(primary=fewer, others=())
    effects = {("score", ARM): Effect(difference=-2.5, difference_interval=(-4.5, -0.5))}
    assert decide(LookSample(experiment, effects).input()).verdict == "promote"


def test_the_smaller_arm_counts_and_in_pairs_the_pairs_are_measured() -> None:
    experiment = make_experiment(design="paired", inference="fixed")
    sample = LookSample(experiment, {PRIMARY: replace(UNDECIDED, units=3)}, target=40)
    look = sample.input()
    assert (look.measured, look.numbers.evidence[PRIMARY].units.item()) == (40, 3)
    assert decide(look).reason_code == "no_effect"
    assert replace(look, paired=False).measured == 3


def test_no_minimum_effect_asks_for_anything_better() -> None:
    experiment = make_experiment(primary=replace(DURATION, minimum_effect=None), others=())
    found = details(decide(LookSample(experiment).input()))
    assert found["promote treatment: effect"][1] == "+30.0%, needs 0% or more"


def test_an_interval_that_ends_at_the_threshold_says_nothing_of_itself() -> None:
    effect = replace(UNDECIDED, futile=True, looks=3, interval=(-0.2, 0.075))
    assert decision(effect).reasons[0].startswith("treatment: success has become unlikely")


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

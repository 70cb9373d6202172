"""Each reason of a decision, word for word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from expci.core.decision.decide import decide
from expci.core.model.budget import BudgetUse
from expci.core.model.cases import CaseSource
from expci.core.model.results import EXACT, Check
from support.analysis_samples import make_experiment
from support.decision_samples import (
    ARM,
    COST,
    HARMFUL,
    NO_CHANCE,
    OVER,
    PRIMARY,
    SCORE,
    SILENT,
    UNDECIDED,
    decision,
)
from support.look_numbers import Effect, LookSample

SPENT = BudgetUse("cost_usd", 20.0, 21.0)

# Effects, more of the look, the verdict and its reasons.
REASONS: Mapping[str, tuple[LookSample, str, tuple[str, ...]]] = {
    "harm": (
        LookSample(effects={PRIMARY: HARMFUL}),
        "rollback",
        (
            "treatment makes duration_s worse by 50.0% after 40 trials per arm.",
            "The evidence of harm is p = 0.0001; 0.025 or less is needed at every look.",
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
            "The evidence is p = 0.01; 0.05 or less is needed at every look.",
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
            "The evidence is p = 0.01; 0.05 or less is needed at every look.",
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
    "full, and it looks harmful": (
        LookSample(effects={PRIMARY: Effect(0.5, 0.04, -0.2, (-0.45, 0.1))}, target=40),
        "stop",
        (
            "The sample size is reached: 40 of 40 trials per arm.",
            "treatment looks harmful to duration_s, and it is not proven: estimate −20.0%, "
            "limit −10%; the evidence of harm is p = 0.04, and 0.025 or less is needed.",
        ),
    ),
    "the budget is spent": (
        LookSample(effects={PRIMARY: UNDECIDED}, more={"budget": SPENT}),
        "stop",
        (
            "The budget is used up after 40 of 100 trials per arm ($21 of $20 spent); "
            "nothing was shown.",
        ),
    ),
    "the budget is spent without a size": (
        LookSample(effects={PRIMARY: UNDECIDED}, more={"budget": SPENT}, target=None),
        "stop",
        ("The budget is used up after 40 trials per arm ($21 of $20 spent); nothing was shown.",),
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
            "A harm to duration_s of 12.3% or more would have been detected with 80% "
            "probability; a smaller one may exist.",
        ),
    ),
    "watching, too few": (
        LookSample(more={"watching": True}),
        "continue",
        (
            "No harm shown in 40 trials per arm since the promotion.",
            "Which harm would have been detected is not known yet.",
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


def test_all_who_won_too_are_named() -> None:
    experiment = make_experiment(treatments=("first", "second", "third"))
    best = {("duration_s", "second"): Effect(improvement=0.4)}
    found = decide(LookSample(experiment, best).input())
    assert found.reasons[-1] == "first, third won too; second has the best estimate."


def test_a_loser_is_no_winner_too() -> None:
    experiment = make_experiment(treatments=("first", "second"))
    found = decide(LookSample(experiment, {("duration_s", "first"): UNDECIDED}).input())
    assert found.arm == "second"
    assert not any("won too" in reason for reason in found.reasons)


def test_an_effect_in_the_metrics_own_unit() -> None:
    experiment = make_experiment(primary=SCORE, others=())
    effects = {("score", ARM): Effect(difference=2.5, difference_interval=(0.5, 4.5))}
    found = decide(LookSample(experiment, effects).input())
    assert found.reasons[0].startswith("treatment improves score by 2.50 after 40")
    effects = {("score", ARM): Effect(difference=-2.5, difference_interval=(-4.5, -0.5))}
    assert decide(LookSample(experiment, effects).input()).verdict == "stop"


def test_over_cases_pairs_and_cases_are_told_apart() -> None:
    plan = replace(make_experiment(design="paired"), cases=CaseSource("evals/*", frozen=()))
    sample = LookSample(plan, units={ARM: 16}, more={"sizes": {ARM: 48}})
    assert (
        decide(sample.input())
        .reasons[0]
        .startswith("treatment improves duration_s by 30.0% after 48 pairs on 16 cases; ")
    )
    harmful = replace(sample, effects={PRIMARY: replace(HARMFUL, units=16)})
    assert decide(harmful.input()).reasons[0].endswith(" worse by 50.0% after 16 cases.")


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


def test_an_interval_that_ends_at_the_threshold_says_nothing_of_itself() -> None:
    effect = replace(UNDECIDED, futile=True, looks=3, interval=(-0.2, 0.075))
    assert decision(effect).reasons[0].startswith("treatment: success has become unlikely")

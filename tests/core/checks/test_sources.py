"""What a report says of sources, and which values are missed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from expci.core.checks.registry import run_checks
from expci.core.checks.sources import awaited, queried_units, source_values
from expci.core.model.experiment import Metric
from expci.core.model.results import Check
from expci.core.model.source import MetricSource, SourceReading
from support.analysis_samples import (
    START,
    SUCCESS,
    alternating,
    look_at,
    make_experiment,
    make_trial,
)
from support.examples import check_inputs

HOUR = 3600
SPEND = Metric(
    "spend",
    "primary",
    "mean",
    "increase",
    source=MetricSource("shop", "orders", "user_id", "paid_at", HOUR, "amount"),
)
PLAN = make_experiment(primary=SPEND)
T0 = int(START.timestamp())


def told(reading: SourceReading) -> Check:
    trials = alternating([10.0], [10.0], "spend")
    at = START + timedelta(days=9)
    check = source_values(check_inputs(trials, PLAN, sources={"spend": reading}, at=at))
    assert check is not None
    return check


def test_without_a_source_there_is_no_such_check() -> None:
    assert source_values(check_inputs(alternating([1.0], [1.0]))) is None


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (SourceReading("down", "no route"), "cannot be read: no route"),
        (
            SourceReading("refused", "there is no table orders"),
            "cannot be read as it is written down: there is no table orders",
        ),
        (SourceReading("empty", "the table has no rows"), "the table has no rows"),
        (
            SourceReading("unmatched", "none of the 3 units has a row"),
            "the key may be another than the unit that `expci assign` printed: "
            "none of the 3 units has a row",
        ),
        (SourceReading("unmerged", "values are read once"), "values are read once"),
        (SourceReading(missing=1), "1 unit has no row, and no value"),
        (
            SourceReading(duplicates=2),
            "2 units have several rows where one is expected, and no value",
        ),
        (SourceReading(unusable=2), "2 units have NULL or no finite number, and no value"),
        (SourceReading(both_arms=1), "1 unit ran in more than one arm and has no value"),
        (
            SourceReading(waits_from=T0),
            "its rows do not reach beyond 2026-11-01, so later values are not read yet",
        ),
    ],
)
def test_each_trouble_is_a_warning_in_words(reading: SourceReading, words: str) -> None:
    assert told(reading) == Check("source", "warning", None, f"spend from shop: {words}")


def test_before_and_after_the_first_reading_it_says_so() -> None:
    assert told(SourceReading()) == Check("source", "ok", None, "no unit was due yet")
    detail = "every unit that was due has one value"
    assert told(SourceReading(through=T0)) == Check("source", "ok", None, detail)


def test_a_lag_of_less_than_a_day_is_none() -> None:
    at = START + timedelta(days=9)
    soon = int(at.timestamp()) - 86400
    assert told(SourceReading(waits_from=soon)).status == "ok"
    assert told(SourceReading(waits_from=soon - 1)).status == "warning"


def test_a_value_is_missed_only_once_it_was_asked_for() -> None:
    """Twenty units of the treatment have no value: missed by arm as soon as they were read."""
    trials = [
        make_trial(n, arm, metrics={"spend": 5.0} if arm == "control" else {})
        for n, arm in enumerate(["control", "treatment"] * 30)
    ]
    inputs = check_inputs(trials, PLAN)
    assert awaited(inputs, SPEND).all()
    assert not awaited(inputs, SUCCESS).any()
    before = {"spend": SourceReading(through=T0 + 2 * HOUR, trials=60)}
    early = replace(inputs, sources=before)
    assert awaited(early, SPEND).tolist() == [False, False, *[True] * 58]
    read = {"spend": SourceReading(through=T0 + 100 * HOUR, trials=60)}
    status = {check.name: check.status for check in run_checks(replace(inputs, sources=read))}
    assert status["missing_primary"] == "failed"
    status = {check.name: check.status for check in run_checks(early)}
    assert status["missing_primary"] != "failed"


def test_later_trials_of_a_unit_miss_nothing() -> None:
    trials = [make_trial(n, "control", unit="ada") for n in range(3)]
    read = {"spend": SourceReading(through=T0 + 100 * HOUR, trials=3)}
    inputs = check_inputs(trials, PLAN, sources=read)
    assert awaited(inputs, SPEND).tolist() == [False, True, True]


def test_a_full_plan_waits_for_guardrails_that_were_not_asked_for_yet() -> None:
    """Nothing but the guardrail's values is missing from 40 units an arm of at most 40."""
    refunds = replace(SPEND, name="refunds", role="guardrail", direction="decrease")
    plan = make_experiment(others=(SUCCESS, refunds), sample_size=40, inference="fixed")
    trials = alternating([20.0 + n % 3 for n in range(40)], [10.0 + n % 3 for n in range(40)])
    last = {"refunds": SourceReading(through=T0 + 70 * HOUR, trials=80)}
    look = look_at(plan, trials, sources=last)
    assert (look.decision.verdict, look.decision.reason_code) == ("continue", "collecting")
    read = {"refunds": SourceReading(through=T0 + 99 * HOUR, trials=80)}
    look = look_at(plan, trials, sources=read)
    assert (look.decision.verdict, look.decision.reason_code) == ("stop", "guardrail_unproven")
    anytime = replace(plan, plan=replace(plan.plan, inference="anytime"))
    assert look_at(anytime, trials, sources=last).decision.verdict == "continue"
    assert look_at(anytime, trials, sources=read).decision.verdict == "stop"
    inputs = check_inputs(trials, plan, sources=last)
    assert queried_units(inputs) == 35  # that began within 69 hours, of 80
    assert queried_units(check_inputs(trials)) is None

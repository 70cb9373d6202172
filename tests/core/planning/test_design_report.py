"""The design report."""

from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import Baseline, Budget, to_json
from expci.core.planning.design_report import plan_report
from expci.core.statistics import sample_size
from support.analysis_samples import DURATION, alternating, in_pairs, make_experiment

# The keys of a row that readers of `expci.plan/1` know, in their order.
ROW = [
    *("scenario", "effect", "rollback", "invalid", "promote", "stop", "expire", "undecided"),
    *("looks_harmful", "trials_mean", "trials_median", "trials_p90", "experiments"),
    *("guardrail", "guardrail_effect"),
]


@pytest.mark.slow
def test_a_report_from_a_pilot_of_pairs() -> None:
    rng = np.random.default_rng(3)
    job = np.exp(rng.normal(2.5, 0.4, 20))
    pilot = in_pairs(job * np.exp(rng.normal(0, 0.05, 20)), job * np.exp(rng.normal(0, 0.05, 20)))
    report = plan_report(
        make_experiment(design="paired"), trial_columns(pilot), 12.0, experiments=400
    )
    document = to_json(report)
    assert document["schema"] == "expci.plan/1"
    assert list(document["sample_size"]) == ["per_arm", "needed", "computed", "basis"]
    rows = document["operating_characteristics"]
    assert [list(row) for row in rows] == [ROW] * 5
    assert rows[4]["guardrail"] == "success"  # what a pilot without a failure tells of it
    assert rows[1]["effect"] == {"value": 0.15, "relative": True}
    assert report.sample_size.basis == "pilot"
    assert report.sample_size.per_arm == 20  # few are needed, but not under min_trials
    assert report.expected_days == pytest.approx(40 / 12)
    apart = plan_report(make_experiment(), trial_columns(pilot), 12.0, experiments=100)
    assert (apart.sample_size.per_arm or 0) > 100  # the jobs' noise is not removed


@pytest.mark.slow
def test_nothing_known_is_said_not_guessed() -> None:
    report = plan_report(make_experiment(), trial_columns([]), None)
    assert (report.sample_size.per_arm, report.power, report.expected_days) == (None, None, None)
    assert any("pilot" in line for line in report.advice)
    slow = replace(DURATION, baseline=Baseline(10, 5))
    late = plan_report(make_experiment(primary=slow), trial_columns([]), 2.0, experiments=100)
    assert any("max_days" in line for line in late.advice)
    assert sample_size.FACTORS["anytime"] == 1.7


@pytest.mark.slow
def test_a_budget_ends_the_plan_and_the_report_says_what_a_decision_costs() -> None:
    rng = np.random.default_rng(3)
    times = np.exp(rng.normal(2.5, 0.3, (2, 30)))
    pilot = [
        replace(trial, metrics={**trial.metrics, "cost_usd": 0.25})
        for trial in alternating(times[0], times[1])
    ]
    rich = replace(make_experiment(sample_size=100), budget=Budget("cost_usd", 100.0))
    report = plan_report(rich, trial_columns(pilot), None, experiments=60, spent=1.5)
    use = report.budget
    assert use is not None
    assert (use.spent, use.per_trial) == (1.5, 0.25)
    hoped = next(r for r in report.operating_characteristics if r.scenario == "hoped_effect")
    assert use.to_decision == pytest.approx(hoped.trials_median * 2 * 0.25)
    assert not any("budget" in text for text in report.advice)
    poor = replace(rich, budget=Budget("cost_usd", 10.0))  # 40 runs: 20 a side
    short = plan_report(poor, trial_columns(pilot), None, experiments=60)
    assert any("pays for 20 of the 100 trials per arm, at $0.25 a run" in t for t in short.advice)
    nothing = plan_report(
        replace(rich, budget=Budget("cost_usd", 2.0)), trial_columns(pilot), None, experiments=60
    )
    assert nothing.budget is not None
    # What so little money pays for is no decision: all of the trials are.
    assert nothing.budget.to_decision == pytest.approx(100 * 2 * 0.25)
    largest = max(row.trials_p90 for row in short.operating_characteristics)
    assert largest <= 20
    unpriced = replace(rich, budget=Budget("tokens", 5.0))
    unknown = plan_report(unpriced, trial_columns(pilot), None, experiments=60)
    assert any("No run has reported tokens yet" in text for text in unknown.advice)

"""Sample sizes and the design report."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import Baseline, Budget, Limit, Metric, PlanRules, to_json
from expci.core.model.trial import Trial
from expci.core.planning.design_report import plan_report
from expci.core.statistics import sample_size
from expci.core.statistics.sample_size import (
    Spread,
    as_spread,
    detectable_effect,
    fixed_sample_size,
    planned_power,
    required_sample_size,
)
from support.analysis_samples import DURATION, alternating, in_pairs, make_experiment

# The keys of a row that readers of `expci.plan/1` know, in their order.
ROW = [
    *("scenario", "effect", "rollback", "invalid", "promote", "stop", "expire", "undecided"),
    *("looks_harmful", "trials_mean", "trials_median", "trials_p90", "experiments"),
    *("guardrail", "guardrail_effect"),
]
FIXED = PlanRules(inference="fixed")
ANYTIME = PlanRules()
MEAN = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(0.5, False))


@pytest.mark.parametrize(
    ("d", "power", "n"),
    # Cohen 1988, table 2.4.1, two-tailed .05, power .80; R: power.t.test(delta = 0.5,
    # power = 0.9) gives n = 85.03128
    [(0.2, 0.80, 393), (0.5, 0.80, 64), (0.8, 0.80, 26), (1.2, 0.80, 12), (0.5, 0.90, 86)],
)
def test_fixed_sizes_of_cohens_tables(d: float, power: float, n: int) -> None:
    found = fixed_sample_size(d, 0.05, power)
    assert found is not None
    assert abs(found - n) <= (1 if d == 0.2 else 0)  # the table gives 393, the exact n is 394


def test_required_size_by_kind_and_mode() -> None:
    base = Baseline(mean=5.0, sd=1.0)
    assert required_sample_size(MEAN, FIXED, "randomized", base) == 64
    assert required_sample_size(MEAN, ANYTIME, "randomized", base) == 109  # 64 x 1.7
    relative = replace(MEAN, minimum_effect=Limit(0.1, True))
    assert required_sample_size(relative, FIXED, "randomized", base) == 64
    # 3 : 1 needs two thirds of the balanced size in the small arm
    assert required_sample_size(MEAN, FIXED, "randomized", base, (3, 1)) == 43
    # R: power.prop.test(p1 = .50, p2 = .75, power = .90) → n = 76.7; the t form gives one more
    rate = Metric("ok", "primary", "proportion", "increase", minimum_effect=Limit(0.25, False))
    found = required_sample_size(rate, replace(FIXED, power=0.9), "randomized", Baseline(0.5, 0.5))
    assert found in (75, 76, 77, 78)


def test_durations_are_planned_on_the_log_scale() -> None:
    # −15 % is log 0.1625; a CV of 15 % is a log-sd of 0.1492: d = 1.089
    found = required_sample_size(DURATION, FIXED, "randomized", Baseline(10, 1.5))
    assert found == fixed_sample_size(0.16252 / 0.14917, 0.05, 0.8)
    impossible = replace(DURATION, minimum_effect=Limit(1.0, True))
    assert required_sample_size(impossible, FIXED, "randomized", Baseline(10, 1.5)) is None
    assert (
        required_sample_size(
            replace(DURATION, minimum_effect=None), FIXED, "paired", Baseline(10, 2)
        )
        is None
    )
    assert required_sample_size(DURATION, FIXED, "randomized", Baseline(10, 0)) is None


def test_pairs_are_planned_by_the_sd_of_their_differences() -> None:
    # R: power.t.test(delta = 1, sd = 1, power = .8, type = "paired") → n = 9.937862
    one = replace(MEAN, minimum_effect=Limit(1.0, False))
    measured = Spread(5.0, 3.0, difference_sd=1.0)
    assert required_sample_size(one, FIXED, "paired", measured) == 10
    unmeasured = Spread(5.0, 1.0)
    assert required_sample_size(one, FIXED, "paired", unmeasured) == required_sample_size(
        one, FIXED, "paired", Spread(5.0, 1.0, difference_sd=2**0.5)
    )


def test_power_and_detectable_effect_are_inverses() -> None:
    spread = Spread(10.0, 2.0, 0.2)
    for metric in (DURATION, replace(MEAN, minimum_effect=Limit(0.15, True))):
        n = required_sample_size(metric, ANYTIME, "randomized", spread)
        assert n is not None
        assert planned_power(metric, ANYTIME, "randomized", spread, n) == pytest.approx(
            0.8, abs=0.02
        )
        seen = detectable_effect(metric, "randomized", spread, n, 0.05, 0.8)
        assert seen == pytest.approx(0.15, abs=0.004)
    worse = detectable_effect(DURATION, "randomized", spread, 60, 0.05, 0.8, worse=True)
    better = detectable_effect(DURATION, "randomized", spread, 60, 0.05, 0.8)
    assert worse is not None
    assert better is not None
    assert (1 + worse) * (1 - better) == pytest.approx(1)
    assert detectable_effect(DURATION, "randomized", Spread(1, 0, 0), 60, 0.05, 0.8) is None


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
def test_a_hopeless_plan_is_told_so_with_what_would_do() -> None:
    metric = replace(DURATION, minimum_effect=Limit(0.1, True), baseline=Baseline(10, 1.5))
    hopeless = make_experiment(primary=metric, sample_size=10)
    report = plan_report(hopeless, trial_columns([]), None, experiments=300)
    assert report.power is not None
    assert report.power < 0.2
    assert any("10 trials per arm can hardly see 10%" in line for line in report.advice)
    assert any("paired" in line for line in report.advice)
    assert report.minimum_detectable_effect is not None
    assert report.minimum_detectable_effect > 0.2


@pytest.mark.slow
def test_nothing_known_is_said_not_guessed() -> None:
    report = plan_report(make_experiment(), trial_columns([]), None)
    assert (report.sample_size.per_arm, report.power, report.expected_days) == (None, None, None)
    assert any("pilot" in line for line in report.advice)
    slow = replace(DURATION, baseline=Baseline(10, 5))
    late = plan_report(make_experiment(primary=slow), trial_columns([]), 2.0, experiments=100)
    assert any("max_days" in line for line in late.advice)
    assert sample_size.FACTORS["anytime"] == 1.7


def test_a_stated_sd_of_values_is_turned_into_that_of_a_quantile() -> None:
    # the median's asymptotic variance is π/2 of the mean's (Serfling 1980, section 2.3.3)
    median = replace(DURATION, name="score", kind="quantile", quantile=0.5)
    assert as_spread(median, Baseline(5.0, 2.0)).sd == pytest.approx(2 * math.sqrt(math.pi / 2))
    # √(.9 × .1)/φ(1.281552) with φ(1.281552) = .175498
    tail = replace(median, quantile=0.9)
    assert as_spread(tail, Baseline(5.0, 2.0)).sd == pytest.approx(2 * 0.3 / 0.175498, rel=1e-5)
    assert as_spread(DURATION, Baseline(5.0, 2.0)).sd == 2.0


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


def timed(wall: float, work: float, computes: float = 1.0) -> list[Trial]:
    """Pairs of a one-second command: load makes the wall's time vary by `wall`, in logs."""
    rng = np.random.default_rng(11)
    cpu = computes * np.exp(rng.normal(0, work, (2, 40)))
    times = cpu / computes * np.exp(rng.normal(0, wall, (2, 40)))
    values = {("control", i): (cpu[0][i], times[0][i]) for i in range(40)}
    values |= {("treatment", i): (cpu[1][i], times[1][i]) for i in range(40)}
    pairs = in_pairs(times[0], times[1])
    return [
        replace(t, metrics={"duration_s": t.metrics["duration_s"], "cpu_s": float(value[0])})
        for t in pairs
        for value in [values[t.arm, int(t.unit.removeprefix("job-"))]]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wall", "work", "computes", "advised"),
    [
        (0.08, 0.005, 1.0, True),  # load on the machine
        (0.08, 0.005, 0.25, True),  # so much of it that three others run beside
        (0.001, 0.05, 1.0, False),  # the work itself varies, both clocks see it
        (0.08, 0.005, 0.1, False),  # it waits for nine tenths of its time
    ],
)
def test_the_processor_s_time_is_advised_where_the_pilot_shows_it(
    wall: float, work: float, computes: float, advised: bool
) -> None:
    metric = replace(DURATION, minimum_effect=Limit(0.01, True))
    plan = make_experiment(primary=metric, design="paired")
    pilot = timed(wall, work, computes)
    report = plan_report(plan, trial_columns(pilot), None, experiments=20)
    advice = [text for text in report.advice if "cpu_s" in text]
    assert bool(advice) is advised
    if advised:
        # Two-sided t test of pair differences: n = (1.96 + 0.84)^2 sd^2 / d^2, sd^2 = 2 work^2;
        # looking at every trial costs up to some two thirds more (docs/statistics.md).
        fixed = (1.96 + 0.84) ** 2 * 2 * work**2 / 0.01**2
        size = int(re.search(r"formula (\d+) pairs", advice[0])[1])  # type: ignore[index]
        assert fixed < size < 3 * fixed + 5


def test_without_a_pilot_no_clock_is_advised() -> None:
    baseline = replace(DURATION, baseline=Baseline(10, 1.5))
    report = plan_report(make_experiment(primary=baseline), trial_columns([]), None, experiments=20)
    assert not [text for text in report.advice if "cpu_s" in text]

"""Values that never vary: how many show it, and what a look makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import comb
from typing import Any, Literal

import pytest

from expci.core.model.experiment import Limit, Metric
from expci.core.model.metric_kinds import Kind
from expci.core.model.results import Analysis, Comparison
from expci.core.model.trial import Trial
from expci.core.statistics.constant_values import fewest_units
from support.analysis_samples import DURATION, look_at, make_experiment, make_trial

SIZE = Metric("size_kb", "primary", "mean", "decrease", minimum_effect=Limit(0.1, True))
LIMITED = Metric("size_kb", "guardrail", "mean", "decrease", max_regression=Limit(0.05, True))
Design = Literal["paired", "randomized"]


def runs(
    control: Sequence[float], treatment: Sequence[float], name: str, paired: bool
) -> list[Trial]:
    """One run of each arm in turn; in pairs the two of a block, the order balanced."""
    trials = []
    for index, values in enumerate(zip(control, treatment, strict=True)):
        order = (1, 2) if index % 2 else (2, 1)
        for side, (arm, value) in enumerate(zip(("control", "treatment"), values, strict=True)):
            pair = {"block": f"b{index}", "order": order[side]} if paired else {}
            number = 2 * index + side
            trials.append(make_trial(number, arm, metrics={name: float(value)}, **pair))
    return trials


def look(
    control: Sequence[float],
    treatment: Sequence[float],
    metric: Metric = SIZE,
    design: Design = "randomized",
    **plan: Any,
) -> Analysis:
    trials = runs(control, treatment, metric.name, design == "paired")
    return look_at(make_experiment(primary=metric, design=design, **plan), trials)


def primary(analysis: Analysis) -> Comparison:
    return analysis.primary.comparisons[0]


@pytest.mark.parametrize("n", [3, 6, 10])
def test_chance_rarely_splits_changing_values_so(n: int) -> None:
    """Every order that alike arms could have had, of values that change from run to run."""
    pairs = [tuple(flips) for flips in product((False, True), repeat=n)]
    constant = [flips for flips in pairs if len(set(flips)) == 1]
    assert len(constant) / len(pairs) == 2 ** (1 - n)
    assert 2 / comb(2 * n, n) <= 2 ** (1 - n)


@pytest.mark.parametrize("level", [0.05, 0.025, 0.004, 1e-4, 1e-9])
def test_the_fewest_units_keep_the_level(level: float) -> None:
    n = fewest_units(level)
    assert n >= 10
    assert 2 ** (1 - n) <= level
    assert n == 10 or 2 ** (2 - n) > level


@pytest.mark.parametrize("design", ["randomized", "paired"])
@pytest.mark.parametrize("metric", [SIZE, DURATION])
def test_a_difference_that_never_varies_wins(metric: Metric, design: Design) -> None:
    analysis = look([737.0] * 20, [600.0] * 20, metric, design)
    found = primary(analysis)
    assert (analysis.decision.verdict, analysis.decision.reason_code) == ("promote", "win")
    assert found.evidence.method == "exact"
    assert (found.evidence.p_value, found.evidence.e_value) == (None, None)
    assert found.improvement == pytest.approx(137 / 737, rel=1e-12)
    assert found.interval == pytest.approx((137 / 737, 137 / 737), rel=1e-12)
    assert found.difference == pytest.approx(-137, rel=1e-12)
    assert "20 times 737 in control, 20 times 600 in the treatment" in " ".join(found.notes)
    assert "no p-value is needed" in " ".join(analysis.decision.reasons)
    check = next(item for item in analysis.checks if item.name == "zero_variance")
    assert check.status == "ok"


@pytest.mark.parametrize("design", ["randomized", "paired"])
@pytest.mark.parametrize("metric", [SIZE, DURATION])
def test_harm_that_never_varies_is_rolled_back(metric: Metric, design: Design) -> None:
    analysis = look([600.0] * 10, [737.0] * 10, metric, design)
    assert (analysis.decision.verdict, analysis.decision.reason_code) == (
        "rollback",
        "harm_primary",
    )


def test_values_that_never_vary_and_do_not_differ_stop_with_a_warning() -> None:
    analysis = look([5.0] * 10, [5.0] * 10)
    assert analysis.decision.verdict == "stop"
    assert primary(analysis).improvement == 0
    check = next(item for item in analysis.checks if item.name == "zero_variance")
    assert check.status == "warning"


@pytest.mark.parametrize("non_inferior", [False, True])
@pytest.mark.parametrize(
    ("value", "verdict"), [(100.0, "promote"), (104.0, "promote"), (106.0, "rollback")]
)
def test_a_guardrail_that_never_varies(value: float, verdict: str, non_inferior: bool) -> None:
    guard = replace(LIMITED, non_inferior=non_inferior)
    experiment = make_experiment(others=(guard,))
    trials = [
        replace(trial, metrics={**trial.metrics, "size_kb": 100.0 if control else value})
        for trial in runs(
            [10.0 + i % 3 for i in range(20)], [5.0 + i % 3 for i in range(20)], "duration_s", False
        )
        for control in (trial.arm == "control",)
    ]
    analysis = look_at(experiment, trials)
    assert analysis.decision.verdict == verdict
    if verdict == "rollback":
        assert analysis.decision.reason_code == "harm_guardrail"


@pytest.mark.parametrize("design", ["randomized", "paired"])
def test_nine_of_each_are_too_few(design: Design) -> None:
    analysis = look([737.0] * 9, [600.0] * 9, design=design)
    assert analysis.decision.verdict == "continue"
    assert primary(analysis).evidence.method == "anytime"


@pytest.mark.parametrize("design", ["randomized", "paired"])
def test_where_one_arm_varies_the_evidence_is_the_usual(design: Design) -> None:
    varying = [600.0 + i % 3 for i in range(12)]
    for arms in (([737.0] * 12, varying), (varying, [737.0] * 12)):
        found = primary(look(*arms, design=design))
        assert found.evidence.method == "anytime"
        assert found.evidence.p_value is not None


@pytest.mark.parametrize("design", ["randomized", "paired"])
def test_one_later_value_that_differs_makes_it_usual_again(design: Design) -> None:
    before = primary(look([737.0] * 12, [600.0] * 12, design=design))
    after = primary(look([737.0] * 13, [*[600.0] * 12, 601.0], design=design))
    assert (before.evidence.method, after.evidence.method) == ("exact", "anytime")
    assert after.evidence.p_value is not None


@pytest.mark.parametrize(("inference", "before"), [("fixed", 19), ("group-sequential", 9)])
def test_a_plan_with_looks_waits_for_its_look(inference: str, before: int) -> None:
    plan: dict[str, Any] = {"inference": inference, "sample_size": 20, "looks": 2}
    early = look([7.0] * before, [6.0] * before, **plan)
    assert early.decision.verdict == "continue"
    assert primary(early).evidence.method != "exact"
    done = look([7.0] * 20, [6.0] * 20, **plan)
    assert (done.decision.verdict, primary(done).evidence.method) == ("promote", "exact")


def test_a_baseline_of_zero_has_a_difference_only() -> None:
    absolute = replace(SIZE, minimum_effect=Limit(1.0, False), direction="increase")
    analysis = look([0.0] * 20, [3.0] * 20, absolute)
    found = primary(analysis)
    assert found.improvement is None
    assert (found.difference, found.difference_interval) == (3.0, (3.0, 3.0))
    assert analysis.decision.verdict == "promote"


COST = Metric(
    "usd", "primary", "ratio", "decrease", minimum_effect=Limit(0.1, True), denominator="tasks"
)


def look_at_costs(
    per_task: tuple[float, float], tasks: Sequence[float], design: Design = "randomized"
) -> Analysis:
    """Dollars at a price for each task of either arm; so many tasks in a run."""
    control, treatment = ([price * number for number in tasks] for price in per_task)
    counts = [number for number in tasks for _ in range(2)]
    trials = [
        replace(trial, metrics={**trial.metrics, "tasks": number})
        for trial, number in zip(
            runs(control, treatment, "usd", design == "paired"), counts, strict=True
        )
    ]
    return look_at(make_experiment(primary=COST, others=(), design=design), trials)


@pytest.mark.parametrize("kind", ["mean", "count", "duration", "rank", "quantile"])
@pytest.mark.parametrize("units", [5, 9, 10])
def test_the_check_calls_exact_what_the_evidence_decides_so(kind: Kind, units: int) -> None:
    share = 0.5 if kind == "quantile" else None
    size = replace(SIZE, kind=kind, quantile=share)
    trials = runs([10.0] * units, [8.0] * units, SIZE.name, False)
    analysis = look_at(make_experiment(primary=size, others=()), trials)
    check = next(item for item in analysis.checks if item.name == "zero_variance")
    is_exact = primary(analysis).evidence.is_exact
    assert is_exact == (units == 10 and kind not in ("rank", "quantile"))
    assert ("exact, no test is needed" in check.detail) == is_exact
    if kind in ("rank", "quantile"):
        assert f"a {kind} is weighed by its own test" in check.detail
    elif not is_exact:
        assert "exact once each arm has 10 units" in check.detail


@pytest.mark.parametrize("design", ["randomized", "paired"])
@pytest.mark.parametrize("tasks", [[2.0] * 20, [1.0, 3.0, 7.0, 11.0] * 5, [0.0, 3.0] * 10])
def test_a_ratio_that_never_varies_is_exact(tasks: list[float], design: Design) -> None:
    """A price per task: of runs alike, of runs of any size, and where some runs have no task."""
    analysis = look_at_costs((0.3, 0.1), tasks, design)
    found = primary(analysis)
    assert (analysis.decision.verdict, found.evidence.method) == ("promote", "exact")
    assert found.improvement == pytest.approx(2 / 3, rel=1e-12)
    assert found.interval == pytest.approx((2 / 3, 2 / 3), rel=1e-12)
    assert found.difference_interval == pytest.approx((-0.2, -0.2), rel=1e-12)
    check = next(item for item in analysis.checks if item.name == "zero_variance")
    assert "exact, no test is needed" in check.detail
    worse = look_at_costs((0.1, 0.3), tasks, design).decision
    assert (worse.verdict, worse.reason_code) == ("rollback", "harm_primary")


@pytest.mark.parametrize(
    ("control", "tasks"),
    [
        ([3.0] * 20, [1.0, 2.0] * 10),  # the numerator alone is constant
        ([3.0] * 19 + [4.0], [1.0] * 20),
        ([3.0] * 9, [1.0] * 9),  # too few
        ([3.0] * 20, [1.0] * 19 + [0.0]),  # dollars without a task
    ],
)
def test_a_ratio_that_varies_is_not_exact(control: list[float], tasks: list[float]) -> None:
    trials = [
        replace(trial, metrics={**trial.metrics, "tasks": tasks[index // 2]})
        for index, trial in enumerate(runs(control, [1.0] * len(control), "usd", False))
    ]
    analysis = look_at(make_experiment(primary=COST, others=()), trials)
    assert primary(analysis).evidence.method != "exact"
    check = next(item for item in analysis.checks if item.name == "zero_variance")
    assert len(control) < 10 or "exact" not in check.detail


def test_failures_count_against_durations_that_never_vary() -> None:
    """Four of ten treatments fail: with failures last, its times vary, and it does not win."""
    trials = [
        replace(trial, status="failed") if trial.arm == "treatment" and index % 5 < 2 else trial
        for index, trial in enumerate(runs([10.0] * 20, [5.0] * 20, "duration_s", False))
    ]
    assert look_at(make_experiment(), trials).decision.verdict != "promote"

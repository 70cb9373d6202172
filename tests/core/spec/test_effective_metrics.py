"""What a metric leaves open, its unit, and metrics that contradict their names."""

from __future__ import annotations

import pytest

from expci.core.model.experiment import Limit
from support.spec_samples import MINIMAL, experiment, problems_of, read, with_metric


def test_limits_of_a_proportion_are_points() -> None:
    made = experiment(
        with_metric(
            "name: pass, kind: proportion, direction: increase, role: guardrail, max_regression: 3%"
        )
    )
    assert made.metrics[1].max_regression == Limit(0.03, False)
    primary = experiment(
        MINIMAL.replace(
            "{name: duration_s, role: primary, minimum_effect: 15%}",
            "{name: success, role: primary}",
        )
    )
    assert primary.primary.minimum_effect == Limit(0.05, False)
    assert primary.decision.promote_at == Limit(0.025, False)
    assert [metric.name for metric in primary.metrics] == ["success"]


def test_a_stated_baseline() -> None:
    made = experiment(
        with_metric("name: ok, kind: proportion, direction: increase, baseline: {mean: 0.8}")
    )
    baseline = made.metrics[1].baseline
    assert baseline is not None
    assert baseline.mean == 0.8
    assert baseline.sd == pytest.approx(0.4)  # sqrt(.8 × .2)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("name: success, role: secondary", "metrics[1].role", "guardrail of every experiment"),
        ("name: success, direction: decrease", "metrics[1].direction", "always increase"),
        ("name: duration_s", "metrics[1].name", "stands twice"),
        ("name: cost, role: primary", "metrics[1].role", "second primary"),
        ("name: p, kind: proportion, direction: increase, max_regression: 5",
         "metrics[1].max_regression", "more than a proportion can change"),
        ("name: p, direction: increase, role: guardrail, max_regression: -0.1",
         "metrics[1].max_regression", "must not be negative"),
        ("name: p, direction: increase, alert_below: true", "metrics[1].alert_below", "not true"),
        ("name: p, direction: up", "metrics[1].direction", "must be increase or decrease"),
    ],
)  # fmt: skip
def test_refusals_of_metrics(text: str, path: str, words: str) -> None:
    problems = problems_of(read(with_metric(text)))
    assert any((line, key) == (9, path) and words in message for line, key, message in problems), (
        problems
    )


def unit_of(keys: str) -> str | None:
    metric = "{name: throughput, role: primary, direction: increase, %s}" % keys  # noqa: UP031
    reading = read(MINIMAL[: MINIMAL.index("metrics:")] + f"metrics:\n  - {metric}\n")
    assert reading.problems == (), reading.problems
    assert reading.experiment is not None
    return reading.experiment.primary.unit


@pytest.mark.parametrize("unit", ["MB/s", "requests/s", "°C", "m²", "kWh", "ms", "%"])
def test_a_unit_is_read_as_stated(unit: str) -> None:
    assert unit_of(f"unit: '{unit}'") == unit


def test_without_a_unit_there_is_none() -> None:
    assert unit_of("minimum_effect: 10%") is None


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("{name: x, direction: increase, unit: '<b>'}", "is not a unit"),
        ("{name: x, direction: increase, unit: '| a |'}", "is not a unit"),
        ("{name: x, direction: increase, unit: seventeen-letters}", "is not a unit"),
        ("{name: time_s, unit: ms}", "contradicts the name, which says s"),
        ("{name: x, kind: proportion, direction: increase, unit: MB}", "has no meaning"),
    ],
)
def test_a_unit_that_cannot_be_is_refused(metric: str, words: str) -> None:
    problems = read(f"{MINIMAL}  - {metric}\n").problems
    assert [problem.path for problem in problems] == ["metrics[1].unit"]
    assert words in problems[0].message

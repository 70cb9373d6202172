"""The corrected estimate in one look, and the prior that decided experiments tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expci.core.analysis.winners_curse import control_mean, corrected, prior_of_past, standing
from expci.core.model.experiment import Limit
from expci.core.model.results import Analysis, Comparison, Interval
from expci.core.model.trial import Trial
from support.analysis_samples import DURATION, SUCCESS, alternating, look_at, make_experiment
from support.cauchy_prior import posterior_mean


def faster(n: int) -> list[Trial]:
    """Times with a cv of 30 %, a fifth shorter in the treatment."""
    rng = np.random.default_rng(6)
    control, treatment = (10 * np.exp(0.3 * rng.standard_normal(n)) for _ in range(2))
    return alternating(control, 0.8 * treatment)


def won() -> Analysis:
    analysis = look_at(replace(make_experiment(), rate=100.0), faster(80))
    assert analysis.decision.verdict == "promote"
    return analysis


def comparison_of(analysis: Analysis) -> Comparison:
    return analysis.primary.comparisons[0]


def test_the_corrected_estimate_stands_beside_the_raw_one() -> None:
    """By quadrature: a prior of .4 of 15 %, the standard error as reported."""
    one = comparison_of(won())
    assert one.corrected is not None
    assert one.improvement is not None
    assert one.improvement_error is not None
    expected = posterior_mean(one.improvement, one.improvement_error, 0.4 * 0.15)
    assert one.corrected.improvement is not None
    assert one.corrected.improvement == pytest.approx(expected, rel=1e-5)
    assert 0 < one.corrected.improvement < one.improvement
    assert one.corrected.interval is not None
    assert one.interval is not None
    assert one.corrected.interval[0] == one.interval[0]
    assert one.corrected.interval[1] < one.interval[1]  # type: ignore[operator]


@pytest.mark.parametrize("interval", [(0.3, 0.4), (-0.4, 0.1), (0.3, None)])
def test_an_estimate_outside_its_interval_is_corrected_without_one(interval: Interval) -> None:
    one = replace(comparison_of(won()), improvement=0.2, improvement_error=0.05, interval=interval)
    fewer = corrected(one, DURATION, 10.0, share=0.4)
    assert fewer is not None
    assert fewer.interval is None
    assert fewer.improvement == pytest.approx(posterior_mean(0.2, 0.05, 0.06), rel=1e-5)
    assert fewer.difference_interval is not None  # in its unit it lies inside


def test_the_difference_is_corrected_in_its_unit() -> None:
    analysis = won()
    one, control = comparison_of(analysis), control_mean(analysis.primary)
    assert control is not None
    assert one.difference is not None
    assert one.difference_error is not None
    expected = posterior_mean(one.difference, one.difference_error, 0.4 * 0.15 * control)
    assert one.corrected is not None
    assert one.corrected.difference == pytest.approx(expected, rel=1e-5)
    hours = analysis.progress.corrected_hours_saved_per_month
    measured = analysis.progress.hours_saved_per_month
    assert hours is not None
    assert measured is not None
    assert one.corrected.difference is not None
    assert hours[1] == pytest.approx(-100 * one.corrected.difference / 3600)
    assert hours[0] == measured[0]
    assert hours[1] < measured[1]


def test_without_a_planned_effect_nothing_is_corrected() -> None:
    aimless = make_experiment(primary=replace(DURATION, minimum_effect=None))
    assert comparison_of(look_at(aimless, faster(80))).corrected is None
    guardrail = next(metric for metric in won().metrics if metric.role == "guardrail")
    assert guardrail.comparisons[0].corrected is None


def test_a_share_is_corrected_in_points() -> None:
    passed = replace(SUCCESS, role="primary", name="passed", minimum_effect=Limit(0.2, False))
    control, treatment = [1.0, 0.0] * 30, [1.0, 1.0, 1.0, 0.0] * 15
    analysis = look_at(
        make_experiment(primary=passed, others=()), alternating(control, treatment, name="passed")
    )
    one = comparison_of(analysis)
    assert one.difference is not None
    assert one.difference_error is not None
    expected = posterior_mean(one.difference, one.difference_error, 0.4 * 0.2)
    assert one.corrected is not None
    assert one.corrected.difference == pytest.approx(expected, rel=1e-5)
    assert one.corrected.improvement == one.corrected.difference


def test_an_absolute_effect_is_planned_in_the_unit() -> None:
    metric = replace(DURATION, minimum_effect=Limit(2.0, False))
    analysis = won()
    one = replace(comparison_of(analysis), difference=-4.0, difference_error=1.0)
    assert standing(analysis.primary, DURATION, "treatment") is not None
    found = corrected(one, metric, 20.0, 0.5)
    assert found is not None
    assert found.difference == pytest.approx(posterior_mean(-4.0, 1.0, 1.0), rel=1e-5)  # 1 s
    result = replace(analysis.primary, comparisons=(one,))
    assert standing(result, metric, "treatment") == (2.0, 0.5)
    assert standing(result, metric, "another") is None


def test_a_past_counts_from_five_decided_experiments_on() -> None:
    analysis = won()
    one = (analysis.primary, DURATION, "treatment")
    assert prior_of_past([one] * 4).share == 0.4
    assert prior_of_past([one] * 4).experiments == 0
    five = prior_of_past([one] * 5)
    assert five.experiments == 5
    assert five.share > 0.4  # each was better than planned

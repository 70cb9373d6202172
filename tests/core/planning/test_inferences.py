"""What each inference would need: beside the noncentral t, and in the order of the theory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from expci.core.dataset.recorded import trial_columns
from expci.core.model.auto_inference import as_stated
from expci.core.model.experiment import Baseline, Experiment, Limit, Metric, PlanRules
from expci.core.planning.design_report import plan_report
from expci.core.planning.inferences import InferenceNeeds
from support.analysis_samples import make_experiment

D = 0.5
SCORE = Metric(
    "score",
    "primary",
    "mean",
    "increase",
    minimum_effect=Limit(D, False),
    baseline=Baseline(10.0, 1.0),
)


def experiment(rules: PlanRules) -> Experiment:
    return replace(make_experiment(primary=SCORE, others=(), design="blocked"), plan=rules)


def needs(rules: PlanRules) -> dict[str, InferenceNeeds]:
    report = plan_report(experiment(rules), trial_columns([]), None, experiments=600, compare=True)
    return {one.inference: one for one in report.inferences}


def fixed_sample() -> int:
    """The smallest n with a power of 80 %, by scipy's noncentral t."""
    for n in range(2, 200):
        shift, df = D * (n / 2) ** 0.5, 2 * n - 2
        critical = stats.t.ppf(0.975, df)
        if 1 - stats.nct.cdf(critical, df, shift) + stats.nct.cdf(-critical, df, shift) >= 0.8:
            return n
    raise AssertionError


@pytest.mark.slow
def test_the_default_needs_little_more_than_one_look_and_uses_less() -> None:
    by_inference = needs(as_stated(PlanRules(min_trials=10)))
    one_look = fixed_sample()
    fixed = by_inference["fixed"]
    planned, every = by_inference["group-sequential"], by_inference["anytime"]
    assert [fixed.sample_size, fixed.trials_mean] == [one_look, one_look]
    assert planned.trials_mean is not None
    assert every.trials_mean is not None
    assert one_look < planned.sample_size <= 1.15 * one_look
    assert planned.trials_mean <= 0.85 * one_look
    assert planned.sample_size < every.sample_size <= 1.65 * one_look
    assert planned.trials_mean < every.trials_mean <= one_look
    assert [one.inference for one in by_inference.values() if one.chosen] == ["group-sequential"]


@pytest.mark.slow
@pytest.mark.parametrize("inference", ["fixed", "group-sequential", "anytime"])
def test_what_the_file_states_is_the_plan_s_own(inference: str) -> None:
    rules = PlanRules(min_trials=10, inference=inference)  # type: ignore[arg-type]
    report = plan_report(experiment(rules), trial_columns([]), None, experiments=200, compare=True)
    assert [one.inference for one in report.inferences if one.chosen] == [inference]
    assert len(report.inferences) == 3


def test_without_a_spread_nothing_is_compared() -> None:
    plan = experiment(as_stated(PlanRules()))
    unknown = replace(plan, metrics=(replace(SCORE, baseline=None),))
    assert plan_report(unknown, trial_columns([]), None, compare=True).inferences == ()

"""Durations: what a win must also hold against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from expci.core.kinds.contrast import Contrast
from expci.core.kinds.duration import compare
from expci.core.model.auto_inference import as_stated
from expci.core.model.experiment import Experiment, Limit, PlanRules
from expci.core.planning.planned_size import frozen_experiment
from expci.core.planning.scenarios import Scenario, simulated_trials, source_of
from expci.core.planning.simulation import VERDICTS, Simulation
from support.analysis_samples import alternating, make_experiment
from support.examples import NO_TRIALS, TIMED, data_of, terms_of


def test_failures_rank_last_in_a_one_sided_test() -> None:
    """Once, at 20 an arm: Welch's test by scipy, the last run at the best time for its share."""
    rng = np.random.default_rng(4)
    control, treatment = (10 * np.exp(0.2 * rng.standard_normal(20)) for _ in range(2))
    treatment *= 0.9
    trials = alternating(control, treatment)
    trials[-1] = replace(trials[-1], status="failed")
    rules = PlanRules(inference="fixed", sample_size=20)
    experiment = replace(make_experiment(primary=TIMED, others=()), plan=rules)
    terms = replace(terms_of(TIMED), experiment=experiment, rules=rules, target=20)
    comparison, safeguard = compare(Contrast(TIMED, data_of(experiment, trials), 1, terms))
    assert safeguard is not None
    assert safeguard.failures == (0, 1)
    earlier = np.log(np.append(control, treatment[:-1]))
    odds = 0.5 / 39.5  # half a failure before the first of 39 runs, and half a success
    place = optimize.brentq(lambda a: stats.norm.pdf(a) / a - stats.norm.sf(a) - odds, 0.1, 5)
    counted = np.append(np.log(treatment[:-1]), earlier.mean() + place * earlier.std())
    by_scipy = stats.ttest_ind(counted, np.log(control), equal_var=False, alternative="less")
    assert safeguard.p_value == pytest.approx(float(by_scipy.pvalue), rel=1e-4)
    assert comparison.evidence.p_value is None  # 19 values: the primary's look has not come


def default_plan(design: str) -> Experiment:
    plain = make_experiment(primary=replace(TIMED, minimum_effect=Limit(0.15, True)), others=())
    plain = replace(plain, assignment=replace(plain.assignment, design=design))  # type: ignore[arg-type]
    plan, size = frozen_experiment(replace(plain, plan=as_stated(PlanRules())), NO_TRIALS)
    return replace(plan, plan=replace(plan.plan, sample_size=size or plan.plan.sample_size))


def promoted(plan: Experiment, failing: float, killed: float, effect: float) -> float:
    """The share of 1,000 experiments; the treatment's slowest `killed` of runs fail too."""
    source, size = source_of(plan, NO_TRIALS), plan.plan.sample_size
    assert source is not None
    assert size is not None
    scenario = Scenario("", {"duration_s": Limit(effect, True)} if effect else {})
    ended = (1 - failing - killed) * (1 - failing if plan.assignment.design == "paired" else 1)
    rng, shape = np.random.default_rng(7), (1000, 2 * round(1.3 * size / ended))
    drawn = simulated_trials(plan, source, scenario, shape, rng)
    time = drawn.values["duration_s"]
    slowest = np.quantile(time[drawn.arm == 1], 1 - killed)
    failed = (rng.random(shape) < failing) | ((drawn.arm == 1) & (time > slowest))
    outcomes = Simulation(plan, replace(drawn, failed=failed), size).outcomes()
    return float(np.mean(outcomes.verdict == VERDICTS.index("promote")))


@pytest.mark.slow
@pytest.mark.parametrize(("design", "least"), [("blocked", 0.69), ("paired", 0.64)])
def test_failures_alike_in_both_arms_cost_little(design: str, least: float) -> None:
    """In .1 of both arms, of .80: .67 blocked and .61 in pairs where they rank as the worst."""
    assert promoted(default_plan(design), 0.1, 0.0, 0.15) > least


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0.03, 0.05, 0.1, 0.2])
def test_killing_the_slowest_runs_is_no_win(killed: float) -> None:
    assert promoted(default_plan("randomized"), 0.0, killed, 0.0) <= 0.05

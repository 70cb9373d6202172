"""Simulated trials: cases are visited in turn, and each has a part of the variance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.cases import Case, CaseSource
from expci.core.model.experiment import Baseline, Experiment, Limit, Metric
from expci.core.planning.design_report import plan_report
from expci.core.planning.operating_characteristics import Question, characteristics
from expci.core.planning.scenarios import Scenario, simulated_trials, source_of
from expci.core.planning.simulation import first_decisions
from support.analysis_samples import DURATION, SUCCESS, in_pairs, make_experiment
from support.examples import NO_TRIALS

CASES, VISITS = 10, 40
SCORE = Metric("score", "primary", "mean", "increase", baseline=Baseline(50.0, 4.0))
KINDS = {
    "mean": SCORE,
    "duration": replace(DURATION, baseline=Baseline(10.0, 2.0)),
    "count": Metric("errors", "primary", "count", "decrease", baseline=Baseline(6.0, 4.0)),
    "proportion": Metric(
        "passed", "primary", "proportion", "increase", baseline=Baseline(0.6, 0.5)
    ),
    "preference": Metric("liked", "primary", "preference", "increase", baseline=Baseline(0.5, 0.4)),
}


def on_cases(primary: Metric, cases: int = CASES, **changes: Any) -> Experiment:
    frozen = tuple(Case(f"c{number}", "") for number in range(cases))
    plan = make_experiment(primary=primary, design="paired", **{"others": (), **changes})
    return replace(plan, cases=CaseSource("evals/*", frozen=frozen))


def drawn(plan: Experiment, pilot: Any = NO_TRIALS, experiments: int = 400) -> TrialArrays:
    source = source_of(plan, pilot)
    assert source is not None
    size = (experiments, 2 * CASES * VISITS)
    return simulated_trials(plan, source, Scenario("no_effect"), size, np.random.default_rng(4))


def share_between(trials: TrialArrays, metric: Metric) -> float:
    """Of the variance of differences: by a case's visits, whose covariance is its own part's."""
    control, treatment = trials.pair_values(trials.values[metric.name], 1)
    if metric.traits.is_logarithmic:
        control, treatment = np.log(control), np.log(treatment)
    difference, unit = treatment - control, trials.pair_units
    assert unit is not None
    of_cases = np.stack(
        [
            [row[codes == case] for case in range(CASES)]
            for row, codes in zip(difference, unit, strict=True)
        ]
    )  # [experiments, cases, visits]
    flat = of_cases.reshape(-1, VISITS)
    between = np.mean([np.mean(flat[:, i] * flat[:, i + 1]) for i in range(VISITS - 1)])
    return float(between / np.mean(flat**2))


def test_every_case_is_visited_once_a_lap_and_repeats_follow_one_another() -> None:
    plan = replace(on_cases(SCORE), repeats=2)
    unit = drawn(plan, experiments=3).pair_units
    assert unit is not None
    assert (unit[:, ::2] == unit[:, 1::2]).all()
    laps = unit[:, ::2].reshape(3, -1, CASES)
    assert (np.sort(laps, axis=2) == np.arange(CASES)).all()
    assert len({tuple(lap) for lap in laps.reshape(-1, CASES).tolist()}) > 10


def test_of_thousands_of_cases_only_those_that_are_visited_are_drawn() -> None:
    source = source_of(plan := on_cases(SCORE, 5000), NO_TRIALS)
    assert source is not None
    rng = np.random.default_rng(4)
    trials = simulated_trials(plan, source, Scenario("no_effect"), (3, 60), rng)
    assert trials.pair_units is not None
    assert (np.sort(trials.pair_units, axis=1) == np.arange(30)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fifth_of_the_variance_is_between_cases_where_no_pilot_tells(kind: str) -> None:
    primary = KINDS[kind]
    trials = drawn(on_cases(primary))
    # 4,000 cases: the standard error of a share of .2 is about .007.
    assert share_between(trials, primary) == pytest.approx(0.2, abs=0.03)


def pilot(between: float, within: float) -> Any:
    rng = np.random.default_rng(8)
    effect, case = rng.normal(0, between, 60), np.tile(np.arange(60), 6)
    control = rng.normal(50, 3, case.size)
    treatment = control + effect[case] + rng.normal(0, within, case.size)
    trials = in_pairs(control.tolist(), treatment.tolist(), "score")
    return trial_columns(
        tuple(replace(t, unit=f"case-c{case[i // 2]}") for i, t in enumerate(trials))
    )


@pytest.mark.parametrize(("between", "within"), [(2.0, 1.0), (0.0, 3.0), (1.0, 1.0)])
def test_a_pilot_with_repeated_visits_tells_the_share(between: float, within: float) -> None:
    primary = replace(SCORE, baseline=None)
    trials = drawn(on_cases(primary), pilot(between, within))
    control, treatment = trials.pair_values(trials.values["score"], 1)
    # Sixty cases tell a variance to about a fifth.
    assert np.var(treatment - control) == pytest.approx(between**2 + within**2, rel=0.35)
    share = between**2 / (between**2 + within**2)
    assert share_between(trials, primary) == pytest.approx(share, abs=0.12)


def promoted(plan: Experiment, size: int = 240, experiments: int = 200) -> float:
    source = source_of(plan, NO_TRIALS)
    assert source is not None
    assert plan.primary.minimum_effect is not None
    hoped = Scenario("hoped_effect", {plan.primary.name: plan.primary.minimum_effect})
    row = characteristics(Question(plan, source, size, None, experiments), hoped)
    assert row is not None
    return row.promote


@pytest.mark.slow
def test_the_promise_knows_that_repeats_are_no_new_cases() -> None:
    """240 pairs on 240 cases show what the same number on eight cases cannot."""
    primary = replace(SCORE, minimum_effect=Limit(1.5, False))
    many, few = (on_cases(primary, cases, sample_size=240) for cases in (240, 8))
    assert promoted(many) > 0.85
    assert promoted(few) < 0.4
    alone, told = (plan_report(plan, NO_TRIALS, None, experiments=20) for plan in (many, few))
    assert told.cases is not None
    assert told.cases.cases_needed is not None
    # Eight cases' means vary by √(.2 + .8/30) of a difference's sd: by the normal theory
    # √((.2 + .027) / 8 · 240) = 2.6 times what 240 cases of one visit show, and more by t.
    assert alone.minimum_detectable_effect is not None
    assert told.minimum_detectable_effect is not None
    assert 2.6 < told.minimum_detectable_effect / alone.minimum_detectable_effect < 5


def test_what_the_simulation_leaves_out_is_said() -> None:
    plan = replace(on_cases(SCORE, others=(SUCCESS,), sample_size=30), must_pass=("c1",))
    advice = " ".join(plan_report(plan, NO_TRIALS, None, experiments=20).advice)
    assert "must_pass is not in the simulation, where the treatment passes every" in advice
    assert "visit not all" not in advice
    more = CaseSource("evals/*", frozen=tuple(Case(f"c{number}", "") for number in range(31)))
    wide = replace(plan, cases=more)
    advice = " ".join(plan_report(wide, NO_TRIALS, None, experiments=20).advice)
    assert (
        "30 pairs visit not all of 31 cases, and nothing is promoted before each case of must_pass "
        f"was run: `expci trial {plan.id} --case NAME` runs those first."
    ) in advice


@pytest.mark.slow
def test_the_promise_is_what_an_independent_simulation_finds() -> None:
    """The same plan on experiments that numpy draws here, from the model that the docs state."""
    primary = replace(SCORE, minimum_effect=Limit(2.5, False))
    plan = on_cases(primary, 20, sample_size=120)
    promised, rng, runs = promoted(plan, 120, 600), np.random.default_rng(12), 600
    laps = np.argsort(rng.random((runs, 6, 20)), axis=2).reshape(runs, -1)
    unit = np.repeat(laps, 2, axis=1)
    arm = np.argsort(rng.random((runs, 120, 2)), axis=2).reshape(runs, -1)
    # Each arm's run: 50 and sd 4, a fifth of the variance the case's under that arm.
    of_case = np.take_along_axis(rng.normal(0, 4 * 0.2**0.5, (runs, 40)), 2 * unit + arm, axis=1)
    values = 50 + of_case + rng.normal(0, 4 * 0.8**0.5, arm.shape) + 2.5 * arm
    failed = np.zeros(arm.shape, dtype=np.bool_)
    trials = TrialArrays(arm, 2, {"score": values}, failed, paired=True, unit=unit)
    share = first_decisions(plan, trials, 120).share("promote")
    assert 0.3 < share < 0.95  # neither certain nor hopeless, so that a difference would show
    # The difference of two shares of 600 has a standard error of at most .029.
    assert promised == pytest.approx(share, abs=0.09)

"""The default plan in one look: planned looks, what an extension may still show, tuned evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.model.auto_inference import as_stated
from expci.core.model.experiment import Baseline, Experiment, Limit, Metric, PlanRules
from expci.core.model.results import Evidence
from expci.core.model.trial import Trial
from expci.core.planning.operating_characteristics import Question, outcomes_of
from expci.core.planning.planned_size import frozen_experiment
from expci.core.planning.scenarios import Scenario, source_of
from expci.core.statistics import group_sequential
from support.analysis_samples import START, in_pairs, look_at, make_experiment

pytestmark = pytest.mark.slow

SCORE = Metric("score", "primary", "mean", "decrease", minimum_effect=Limit(0.5, False))
ALPHA = 0.05


def default_plan(size: int | None = 20, **changes: object) -> Experiment:
    rules = as_stated(PlanRules(min_trials=5, sample_size=size))
    experiment = make_experiment(primary=SCORE, others=(), design="paired")
    return replace(experiment, plan=replace(rules, **changes))  # type: ignore[arg-type]


def late_win(n: int) -> list[Trial]:
    """Pairs of which the first 20 happen to show little."""
    rng = np.random.default_rng(1)
    control, treatment = 10 + rng.standard_normal(60), 10 + rng.standard_normal(60)
    treatment[:20] += 0.3
    treatment[20:] -= 1.3
    return in_pairs(control[:n], treatment[:n], name="score")


def evidence(experiment: Experiment, n: int, extra: int = 0) -> Evidence:
    analysis = look_at(experiment, late_win(n), extra_trials=extra)
    return analysis.primary.comparisons[0].evidence


def test_a_pass_between_two_looks_changes_nothing() -> None:
    plan = default_plan(40)
    at = {n: evidence(plan, n) for n in (21, 22, 23, 24)}
    assert (at[22].p_value, at[22].looks) == (at[23].p_value, at[23].looks)
    assert at[21].looks == at[22].looks - 1 == at[24].looks - 2  # type: ignore[operator]
    spent = 2 * group_sequential.spent(0.55, 0.9 * ALPHA / 2, "power", 3.0)
    assert at[22].alpha_spent == pytest.approx(spent)


def test_the_last_look_leaves_the_reserve() -> None:
    whole = evidence(default_plan(), 20)
    assert whole.alpha_spent == pytest.approx(0.9 * ALPHA)


def test_trials_of_an_extension_are_weighed_with_the_reserve() -> None:
    plan = default_plan()
    planned, later = evidence(plan, 20, extra=40), evidence(plan, 60, extra=40)
    assert planned.p_value is not None
    assert later.p_value is not None
    assert later.p_value < ALPHA < planned.p_value
    # The anytime plan's running p-value of the same trials, at a tenth of alpha.
    anytime = replace(plan, plan=PlanRules(min_trials=5, sample_size=60))
    assert later.p_value == pytest.approx(10 * evidence(anytime, 60).p_value)  # type: ignore[operator]
    assert later.alpha_spent == pytest.approx(ALPHA)


def test_without_a_reserve_an_extension_shows_nothing_more() -> None:
    plan = default_plan(reserve=0.0)
    assert evidence(plan, 60, extra=40).p_value == evidence(plan, 20).p_value


def test_an_extension_promotes_what_the_planned_size_did_not() -> None:
    plan = default_plan()
    verdicts = [look_at(plan, late_win(n), extra_trials=40).decision.verdict for n in (20, 60)]
    assert verdicts == ["continue", "promote"]


def test_a_watch_weighs_harm_at_every_look_alone() -> None:
    """Its looks were planned for the trials before the promotion."""
    plan, trials = default_plan(), late_win(20)
    worse = [replace(t, arm="control" if t.arm == "treatment" else "treatment") for t in trials]
    promoted = {"promoted": START - timedelta(days=1), "promoted_arm": "treatment"}
    found = [
        look_at(plan, worse, **more).primary.comparisons[0].evidence.harm_p_value
        for more in ({}, promoted)
    ]
    anytime = replace(plan, plan=PlanRules(min_trials=5, sample_size=20))
    at_every_look = look_at(anytime, worse).primary.comparisons[0].evidence.harm_p_value
    assert found[1] == pytest.approx(at_every_look)
    assert found[0] != pytest.approx(at_every_look)


@pytest.mark.parametrize("inference", ["group-sequential", "fixed"])
def test_harm_that_a_watch_meets_after_the_planned_trials_undoes_the_change(inference: str) -> None:
    """The planned looks ended with the 20th pair; the estimate is that of all pairs since."""
    rng = np.random.default_rng(3)
    control, treatment = 10 + rng.standard_normal(50), 10 + rng.standard_normal(50)
    treatment[20:] += 4.0
    trials = in_pairs(control, treatment, name="score")
    plan = default_plan(20, inference=inference)
    watch = {"promoted": START - timedelta(days=1), "promoted_arm": "treatment"}
    alike, analysis = look_at(plan, trials[:40], **watch), look_at(plan, trials, **watch)
    assert alike.decision.verdict == "continue"
    assert analysis.decision.verdict == "rollback"
    estimate = analysis.primary.comparisons[0].difference
    assert estimate == pytest.approx(np.mean(treatment - control))


def test_tuned_evidence_is_evidence_where_everything_is_better() -> None:
    """Also that of harm: a p-value of 1, not a missing one."""
    plan = replace(default_plan(), plan=PlanRules(min_trials=5, sample_size=60, planned_effect=0.7))
    rng = np.random.default_rng(2)
    trials = in_pairs(rng.normal(15, 1, 20), rng.normal(10, 1, 20), name="score")
    better = look_at(plan, trials).primary.comparisons[0].evidence
    assert better.p_value is not None
    assert better.p_value < 1e-3
    assert better.harm_p_value == 1.0


BASELINE = replace(SCORE, baseline=Baseline(10.0, 1.0))


@cache
def simulated(effect: bool, extension: float) -> dict[str, float]:
    """Shares of the frozen default plan's verdicts, extended by that share of its size."""
    plan = replace(default_plan(None), metrics=(BASELINE,))
    plan, bare = replace(plan, plan=as_stated(PlanRules(min_trials=1))), trial_columns([])
    frozen = frozen_experiment(plan, bare)[0]
    source, size = source_of(frozen, bare), frozen.plan.sample_size
    assert source is not None
    assert size is not None
    extra = round(extension * size)
    question = Question(frozen, source, size + extra, experiments=1500, extra=extra)
    scenario = Scenario("", {"score": Limit(0.5, False)} if effect else {})
    outcomes = outcomes_of(question, scenario)
    return {
        "promote": outcomes.share("promote"),
        "size": float(size),
        "mean": float(outcomes.per_arm.mean()),
    }


def test_it_needs_little_more_than_one_look_and_uses_less() -> None:
    """65 pairs for one look at d = 0.5/√2: the noncentral t (Cohen 1988)."""
    hoped = simulated(effect=True, extension=0.0)
    assert hoped["promote"] == pytest.approx(0.8, abs=0.04)
    assert hoped["size"] <= 1.15 * 65
    assert hoped["mean"] <= 0.85 * 65


@pytest.mark.parametrize("extension", [0.0, 1.0, 3.0])
def test_no_effect_is_promoted_in_at_most_alpha_however_it_is_extended(extension: float) -> None:
    assert 0 < simulated(effect=False, extension=extension)["promote"] <= ALPHA


def test_an_extension_adds_power() -> None:
    assert simulated(effect=True, extension=2.0)["promote"] > 0.9

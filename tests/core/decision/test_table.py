"""The decision table, row by row, through the real analysis."""

import json
import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from expci.core.analysis.document import analysis_document, load_analysis
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Assignment, Budget, DecisionRules, Experiment, Limit, Metric
from expci.core.model.results import Analysis, Criterion
from expci.core.model.trial import Trial
from expci.core.planning.simulation import first_decisions
from support.analysis_samples import (
    DURATION,
    START,
    SUCCESS,
    alternating,
    in_pairs,
    look_at,
    make_experiment,
    make_trial,
)

COST = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.1, True))


def lognormal(seed: int, n: int, ratio: float = 1.0, sd: float = 0.2) -> np.ndarray:
    return ratio * np.exp(np.random.default_rng(seed).normal(2.5, sd, n))


def faster(n: int = 40, ratio: float = 0.7) -> list[Trial]:
    return alternating(lognormal(1, n), lognormal(2, n, ratio))


def outcome(analysis: Analysis) -> tuple[str, str]:
    return analysis.decision.verdict, analysis.decision.reason_code


def criterion(analysis: Analysis, rule: str) -> Criterion:
    return next(item for item in analysis.decision.criteria if item.rule == rule)


def failing(trials: list[Trial], arm: str, every: int, seconds: float | None = None) -> list[Trial]:
    """Every `every`-th run of `arm` fails, at its own time or in `seconds`."""
    numbers = {t.id: k for k, t in enumerate((t for t in trials if t.arm == arm), start=1)}
    return [
        replace(
            trial,
            status="failed",
            metrics=trial.metrics if seconds is None else {"duration_s": seconds},
        )
        if numbers.get(trial.id, 1) % every == 0
        else trial
        for trial in trials
    ]


def test_a_clear_win_promotes_with_every_criterion_met() -> None:
    analysis = look_at(make_experiment(), faster())
    assert outcome(analysis) == ("promote", "win")
    assert analysis.decision.arm == "treatment"
    wins = [c for c in analysis.decision.criteria if c.rule.startswith("promote treatment")]
    assert len(wins) == 7
    assert all(c.met for c in wins)
    assert "opens a pull request" in analysis.decision.next


def test_no_promotion_before_min_trials() -> None:
    analysis = look_at(make_experiment(), faster(19, 0.5))
    assert outcome(analysis) == ("continue", "collecting")
    assert criterion(analysis, "promote treatment: enough trials").met is False
    assert outcome(look_at(make_experiment(), faster(20, 0.5))) == ("promote", "win")
    assert outcome(look_at(make_experiment(sample_size=12), faster(12, 0.5))) == ("promote", "win")


@pytest.mark.slow
def test_a_point_estimate_alone_never_decides() -> None:
    experiment = make_experiment()
    for seed in range(30):  # CV 30 %, 5 per arm: a "regression over 10 %" in 30 % of A/A runs
        trials = alternating(lognormal(seed, 5, 1, 0.3), lognormal(seed + 99, 5, 1, 0.3))
        assert look_at(experiment, trials).decision.verdict == "continue"


def test_nothing_is_decided_under_ten_units_or_five_pairs() -> None:
    harmful = lognormal(2, 12, 6.0, 0.05)
    control = lognormal(1, 12, 1, 0.05)
    experiment = make_experiment()
    assert outcome(look_at(experiment, alternating(control[:9], harmful[:9])))[0] == "continue"
    assert outcome(look_at(experiment, alternating(control[:10], harmful[:10])))[0] == "rollback"
    paired = make_experiment(design="paired")
    assert outcome(look_at(paired, in_pairs(control[:4], harmful[:4])))[0] == "continue"
    assert outcome(look_at(paired, in_pairs(control[:8], harmful[:8])))[0] == "rollback"


def test_harm_on_the_primary_rolls_back() -> None:
    analysis = look_at(make_experiment(), faster(40, 1.6))
    assert outcome(analysis) == ("rollback", "harm_primary")
    assert analysis.decision.arm == "treatment"
    # alpha over (primary + success) x 1 treatment
    assert analysis.primary.comparisons[0].evidence.level_harm == pytest.approx(0.025)
    manual = make_experiment(decision=DecisionRules(rollback="manual"))
    assert "a person" in look_at(manual, faster(40, 1.6)).decision.next


def test_large_harm_with_one_failed_run_is_rolled_back() -> None:
    """Ten runs each, almost five times slower, one failed: nine values, and no doubt."""
    slow = failing(faster(10, 4.68), "treatment", 10)
    analysis = look_at(make_experiment(), slow)
    assert outcome(analysis) == ("rollback", "harm_primary")


def test_a_likely_harm_is_not_called_futile() -> None:
    """+22 % of 20 % noise: no chance to win after 16 a side, not proven, so it goes on."""
    trials = alternating(lognormal(21, 16), lognormal(121, 16, 1.22))
    analysis = look_at(make_experiment(), trials)
    futility = criterion(analysis, "stop treatment: cannot reach the threshold")
    assert outcome(analysis) == ("continue", "collecting")
    assert futility.met is False
    assert "not while harm may still be proven: estimate −" in futility.detail
    full = look_at(make_experiment(sample_size=16), trials)
    assert outcome(full) == ("stop", "looks_harmful")
    assert "treatment looks harmful to duration_s, and it is not proven" in full.decision.reasons[1]
    assert len(full.decision.reasons) == 2


def test_harm_within_the_limit_is_no_rollback() -> None:
    control = lognormal(1, 200, 1, 0.05)
    worse = lognormal(2, 200, 1.05, 0.05)
    analysis = look_at(make_experiment(sample_size=400), alternating(control, worse))
    assert outcome(analysis) == ("stop", "harm_below_limit")
    strict = replace(DURATION, max_regression=Limit(0.03, True))
    analysis = look_at(make_experiment(primary=strict), alternating(control, worse))
    assert outcome(analysis) == ("rollback", "harm_primary")


def test_a_harmed_guardrail_rolls_back_though_the_primary_wins() -> None:
    cost = [5.0 + 0.1 * (i % 7) for i in range(80)]
    trials = [
        replace(t, metrics={**t.metrics, "cost": c * (1.4 if t.arm == "treatment" else 1)})
        for t, c in zip(faster(), cost, strict=True)
    ]
    analysis = look_at(make_experiment(others=(SUCCESS, COST)), trials)
    assert outcome(analysis) == ("rollback", "harm_guardrail")
    assert any("cost" in reason for reason in analysis.decision.reasons)


def test_more_failures_roll_back_as_errors() -> None:
    analysis = look_at(make_experiment(), failing(faster(60), "treatment", 2))
    assert outcome(analysis) == ("rollback", "errors")


def test_a_treatment_that_only_fails_rolls_back_though_it_measures_nothing() -> None:
    score = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(1.0, False))
    trials = [
        make_trial(i, ("control", "treatment")[i % 2], metrics={"score": 5.0 + i % 3})
        if i % 2 == 0
        else make_trial(i, "treatment", status="failed")
        for i in range(40)
    ]
    assert outcome(look_at(make_experiment(primary=score), trials)) == ("rollback", "errors")


def test_fast_failures_are_no_win() -> None:
    """A third of the treatment's runs fail at once; the rest is as slow as control."""
    for n in (20, 40, 60):
        trials = failing(faster(n, 1.0), "treatment", 3, seconds=0.1)
        assert look_at(make_experiment(), trials).decision.verdict != "promote"


@pytest.mark.slow
def test_a_treatment_that_kills_its_slowest_fifth_does_not_win() -> None:
    """Left out of the durations, its failures look like speed; ranked last they do not."""
    rng, tempted, fooled = np.random.default_rng(17), 0, 0
    slow = math.exp(2.5 + 0.5 * 0.8416)
    for _ in range(60):
        control, treatment = (np.exp(rng.normal(2.5, 0.5, 100)) for _ in range(2))
        trials = [
            replace(t, status="failed")
            if t.arm == "treatment" and t.metrics["duration_s"] > slow
            else t
            for t in alternating(control, treatment)
        ]
        analysis = look_at(make_experiment(), trials)
        evidence = criterion(analysis, "promote treatment: evidence").met
        last = criterion(analysis, "promote treatment: failures ranked last").met
        tempted += bool(evidence)
        fooled += bool(evidence and last)
    assert tempted >= 20
    assert fooled <= 3


def test_evidence_for_one_direction_does_not_promote_the_other() -> None:
    """Slower by half for 15 runs, then twice as fast: the p-value alone would be enough."""
    treatment = lognormal(2, 80)
    treatment[:15] *= 1.8
    treatment[15:] *= 0.5
    analysis = look_at(make_experiment(), alternating(lognormal(1, 80), treatment))
    comparison = analysis.primary.comparisons[0]
    assert comparison.evidence.p_value is not None
    assert comparison.evidence.p_value <= 0.05
    assert comparison.improvement is not None
    assert comparison.improvement > 0.2
    assert comparison.interval is None
    assert any("not the same over the whole time" in note for note in comparison.notes)
    assert criterion(analysis, "promote treatment: evidence").met is False
    assert analysis.decision.verdict != "promote"


def test_a_win_in_geometric_mean_that_loses_hours_is_no_win() -> None:
    # geometric −20 % with the log-sd from .1 to .9 is arithmetic +19 %
    control, treatment = lognormal(1, 300, 1, 0.1), lognormal(2, 300, 0.8, 0.9)
    assert treatment.mean() > control.mean()
    analysis = look_at(make_experiment(sample_size=300), alternating(control, treatment))
    assert criterion(analysis, "promote treatment: evidence").met is True
    assert criterion(analysis, "promote treatment: arithmetic mean").met is False
    assert outcome(analysis) == ("stop", "guardrail_unproven")


def test_the_estimate_must_reach_promote_at() -> None:
    trials = alternating(lognormal(1, 300, 1, 0.05), lognormal(2, 300, 0.95, 0.05))
    small = look_at(make_experiment(), trials)
    assert outcome(small) == ("stop", "effect_below_threshold")
    modest = make_experiment(decision=DecisionRules(promote_at=Limit(0.03, True)))
    assert outcome(look_at(modest, trials)) == ("promote", "win")


def test_a_guardrail_estimate_beyond_its_limit_holds_promotion_back() -> None:
    trials = failing(faster(40), "treatment", 10)  # 10 points, no proof of harm
    analysis = look_at(make_experiment(sample_size=200), trials)
    assert outcome(analysis) == ("continue", "collecting")
    assert criterion(analysis, "promote treatment: guardrail success").met is False
    full = look_at(make_experiment(sample_size=30), trials)  # so many have a duration
    assert outcome(full) == ("stop", "guardrail_unproven")


def test_non_inferiority_asks_for_proof() -> None:
    proof = replace(SUCCESS, non_inferior=True)
    analysis = look_at(make_experiment(others=(proof,), sample_size=200), faster())
    assert criterion(analysis, "promote treatment: guardrail success").met is False
    assert analysis.decision.verdict == "continue"
    many = look_at(make_experiment(others=(proof,), sample_size=200), faster(180))
    assert outcome(many) == ("promote", "win")


def test_a_proportion_as_primary_decides_in_points() -> None:
    metric = Metric("solved", "primary", "proportion", "increase", minimum_effect=Limit(0.3, False))
    rng = np.random.default_rng(6)
    trials = alternating(
        (rng.random(60) < 0.4).astype(float), (rng.random(60) < 0.85).astype(float), "solved"
    )
    analysis = look_at(make_experiment(primary=metric), trials)
    assert outcome(analysis) == ("promote", "win")
    comparison = analysis.primary.comparisons[0]
    assert comparison.improvement == comparison.difference
    assert "safe 2x2" in comparison.evidence.method


def test_sample_size_reached_without_evidence_stops() -> None:
    assert outcome(look_at(make_experiment(sample_size=40), faster(40, 0.98)))[0] == "stop"
    noisy = alternating(lognormal(1, 30, 1, 0.8), lognormal(2, 30, 1, 0.8))
    assert outcome(look_at(make_experiment(sample_size=30), noisy)) == ("stop", "no_effect")
    extended = look_at(make_experiment(sample_size=30), noisy, extra_trials=10)
    assert outcome(extended) == ("continue", "collecting")


def test_time_over_expires_after_all_other_rows() -> None:
    late = START + timedelta(days=14)
    undecided = alternating(lognormal(1, 30, 1, 0.8), lognormal(2, 30, 1, 0.8))
    experiment = make_experiment(sample_size=500)
    assert outcome(look_at(experiment, undecided, at=late)) == ("expire", "expired")
    assert outcome(look_at(experiment, undecided, at=late, extra_days=1))[0] == "continue"
    assert outcome(look_at(experiment, faster(), at=late)) == ("promote", "win")
    assert outcome(look_at(experiment, [], at=late)) == ("expire", "expired")


def test_a_failed_trust_check_is_invalid_even_for_a_winner() -> None:
    trials = [*faster(60), *(make_trial(500 + i, "control", value=12.0) for i in range(120))]
    assert outcome(look_at(make_experiment(), trials)) == ("invalid", "sample_ratio")
    unexposed = [
        make_trial(500 + i, "treatment", status="error", excluded="not_exposed") for i in range(9)
    ]
    analysis = look_at(make_experiment(), [*faster(), *unexposed])
    assert outcome(analysis) == ("invalid", "not_exposed")
    one = look_at(make_experiment(), [*faster(), unexposed[0]])
    assert outcome(one) == ("promote", "win")
    assert next(c for c in one.checks if c.name == "exposure").status == "warning"


def three_arms(first: float, second: float) -> tuple[Experiment, list[Trial]]:
    experiment = make_experiment(treatments=("first", "second"))
    values = {
        "control": lognormal(1, 40),
        "first": lognormal(2, 40, first),
        "second": lognormal(3, 40, second),
    }
    trials = [
        make_trial(3 * i + k, arm, value=float(values[arm][i]))
        for i in range(40)
        for k, arm in enumerate(values)
    ]
    return experiment, trials


def test_of_several_winners_the_best_is_promoted_after_holm() -> None:
    experiment, trials = three_arms(0.7, 0.6)
    analysis = look_at(experiment, trials)
    assert outcome(analysis) == ("promote", "win")
    assert analysis.decision.arm == "second"
    assert any("first won too" in reason for reason in analysis.decision.reasons)
    raw = {c.arm: c.evidence.p_value for c in analysis.primary.comparisons}
    holm = {c.arm: c.holm_p_value for c in analysis.primary.comparisons}
    smaller, larger = sorted(raw, key=lambda arm: raw[arm] or 1.0)
    assert holm[smaller] == pytest.approx(2 * (raw[smaller] or 0), rel=1e-9, abs=0)
    assert holm[larger] == pytest.approx(max(holm[smaller] or 0, raw[larger] or 0), rel=1e-9, abs=0)
    # alpha over two metrics and two treatments
    assert analysis.primary.comparisons[0].evidence.level_harm == pytest.approx(0.0125)


def test_one_harmful_treatment_of_two_is_dropped_and_the_other_wins() -> None:
    experiment, trials = three_arms(0.7, 1.8)
    analysis = look_at(experiment, trials)
    assert outcome(analysis) == ("drop", "harm_primary")
    assert analysis.decision.arm == "second"
    assert "goes on with first" in analysis.decision.next
    out = {"second": START + timedelta(days=4)}
    without = look_at(experiment, trials, dropped=out)
    assert outcome(without) == ("promote", "win")
    assert (without.decision.arm, without.dropped) == ("first", ("second",))
    # Holm's m and the level of harm stay those of the plan; what is out is reported all the same.
    assert without.metrics == analysis.metrics
    assert not any(c.arm == "second" for c in without.decision.criteria)


def test_harm_by_all_treatments_rolls_back() -> None:
    experiment, trials = three_arms(1.7, 1.8)
    assert outcome(look_at(experiment, trials)) == ("rollback", "harm_primary")
    single, out = three_arms(0.99, 1.8)
    gone = look_at(single, out, dropped={"first": START + timedelta(days=1)})
    assert outcome(gone) == ("rollback", "harm_primary")


def test_high_risk_tests_at_one_percent() -> None:
    experiment = replace(make_experiment(), risk="high")
    comparison = look_at(experiment, faster()).primary.comparisons[0]
    assert comparison.level == pytest.approx(0.99)
    assert comparison.evidence.level_harm == pytest.approx(0.005)


def test_while_watching_only_harm_since_the_promotion_is_decided() -> None:
    merged = START + timedelta(hours=80)
    before, after = (
        faster(40),
        [
            replace(
                t,
                id=t.id[:-2] + "ZZ",
                unit=f"late-{t.unit}",
                started=f"2026-11-2{i // 40}T0{i % 9}:00:00.000Z",
            )
            for i, t in enumerate(faster(40, 1.0))
        ],
    )
    look = {"promoted": merged, "promoted_arm": "treatment", "state": "watching"}
    calm = look_at(
        make_experiment(), before + after, at=START + timedelta(90), **look, holdback=0.5
    )
    assert calm.trials.excluded == {"before_promotion": 80}
    assert outcome(calm) == ("continue", "collecting")  # neither stop nor expire
    assert any("No harm shown" in reason for reason in calm.decision.reasons)
    assert calm.progress.minimum_detectable_harm is not None
    assert calm.progress.minimum_detectable_harm >= 0.10
    harmful = [
        replace(
            t, metrics={"duration_s": t.metrics["duration_s"] * (2 if t.arm == "treatment" else 1)}
        )
        for t in after
    ]
    assert outcome(look_at(make_experiment(), before + harmful, **look)) == (
        "rollback",
        "harm_primary",
    )
    nothing = look_at(make_experiment(), before, **look)
    assert outcome(nothing) == ("continue", "no_data")


@pytest.mark.slow
def test_false_decisions_of_the_whole_table_with_a_look_at_every_trial() -> None:
    """A/A, two guardrails, 2,000 experiments: promotion and rollback <= alpha.

    `tests/core/planning/test_simulation.py` holds the simulation to what `analyse` decides.
    """
    rng, runs, count = np.random.default_rng(2026), 2000, 160
    experiment = make_experiment(others=(SUCCESS, COST), sample_size=60)
    failed = rng.random((runs, count)) < 0.05
    values = {
        "duration_s": np.exp(rng.normal(2.5, 0.25, (runs, count))),
        "success": (~failed).astype(float),
        "cost": rng.normal(5, 1, (runs, count)),
    }
    arm = np.tile(np.arange(count) % 2, (runs, 1))
    outcomes = first_decisions(experiment, TrialArrays(arm, 2, values, failed), 60)
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert outcomes.share("promote") <= allowed
    assert outcomes.share("rollback") <= allowed
    assert outcomes.share("stop") > 1 / 2
    assert outcomes.share("undecided") == 0


def test_words_have_a_true_minus_and_no_certain_p() -> None:
    analysis = look_at(make_experiment(), faster(12, 1.05))
    text = " ".join(
        [c.detail for c in analysis.decision.criteria] + list(analysis.decision.reasons)
    )
    assert "limit −10%" in text
    assert " -" not in text
    calm = look_at(make_experiment(), faster())
    details = [c.detail for c in calm.decision.criteria]
    assert any("p > 0.99" in detail for detail in details)
    assert not any("p 1," in detail or detail.endswith("p 1") for detail in details)


def test_a_missing_evidence_is_explained_once() -> None:
    few = look_at(make_experiment(), faster(3))
    detail = criterion(few, "promote treatment: evidence").detail
    assert detail == "no evidence yet: evidence starts at 5 per arm; there are 3"
    same = look_at(make_experiment(), alternating([5.0] * 8, [5.0] * 8))
    detail = criterion(same, "promote treatment: evidence").detail
    assert detail == "no evidence yet: the values do not vary"


def test_a_fixed_plan_waits_for_its_only_look_when_a_run_failed() -> None:
    experiment = make_experiment(inference="fixed", sample_size=20, min_trials=10)
    experiment = replace(experiment, assignment=Assignment(design="randomized"))
    trials = [
        make_trial(
            index,
            "treatment" if index % 2 else "control",
            status="failed" if index == 8 else "ok",
            metrics={"duration_s": (8 if index % 2 else 10) + index % 7 / 10},
        )
        for index in range(42)
    ]
    waiting = look_at(experiment, trials[:40]).decision
    assert (waiting.verdict, waiting.reason_code) == ("continue", "collecting")
    assert look_at(experiment, trials).decision.verdict == "promote"


def costing(trials: list[Trial], each: float) -> list[Trial]:
    return [replace(t, metrics={**t.metrics, "cost_usd": each}) for t in trials]


def test_the_end_of_the_money_stops_what_nothing_else_decides() -> None:
    undecided = alternating(lognormal(1, 30), lognormal(5, 30, 0.97))
    experiment = replace(make_experiment(sample_size=100), budget=Budget("cost_usd", 12.0))
    spent = look_at(experiment, costing(undecided, 0.2))  # 60 runs: 12.0
    assert outcome(spent) == ("stop", "budget_spent")
    assert "$12 of $12 spent" in spent.decision.reasons[0]
    assert criterion(spent, "stop: budget spent").met
    use = spent.progress.budget
    assert use is not None
    assert use.spent == pytest.approx(12.0)
    assert use.per_trial == pytest.approx(0.2)
    assert use.to_decision == pytest.approx(70 * 2 * 0.2)  # 70 of 100 a side are still to run
    left = look_at(experiment, costing(undecided, 0.1999))
    assert outcome(left) == ("continue", "collecting")
    assert criterion(left, "stop: budget spent").met is False


def test_a_win_goes_before_the_end_of_the_money_and_without_a_budget_nothing_is_asked() -> None:
    experiment = replace(make_experiment(), budget=Budget("cost_usd", 1.0))
    assert outcome(look_at(experiment, costing(faster(), 0.2))) == ("promote", "win")
    free = look_at(make_experiment(), costing(faster(), 0.2))
    assert "stop: budget spent" not in [item.rule for item in free.decision.criteria]
    assert "budget" not in analysis_document(free)["progress"]
    document = analysis_document(look_at(experiment, costing(faster(), 0.2)))
    assert document["progress"]["budget"]["spent"] == pytest.approx(16.0)
    assert load_analysis(json.dumps(document).encode()).progress.budget is not None

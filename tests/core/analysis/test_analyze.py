"""One look at trials: what counts, as what, and what the document says."""

import json
import math
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from expci.core.model.experiment import Baseline, Limit, Metric, to_json
from expci.core.model.metric_kinds import Kind
from expci.core.model.results import Analysis, Comparison, TrialCounts
from expci.core.model.trial import Trial
from support.analysis_samples import (
    DURATION,
    PLAN,
    START,
    SUCCESS,
    alternating,
    in_pairs,
    look_at,
    make_experiment,
    make_trial,
)
from support.properties import examples

RNG = np.random.default_rng
SCORE = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(0.1, True))


def lognormal(seed: int, n: int, ratio: float = 1.0, sd: float = 0.2) -> np.ndarray:
    return ratio * np.exp(RNG(seed).normal(2.5, sd, n))


def found(analysis: Analysis, name: str = "duration_s", arm: str = "treatment") -> Comparison:
    metric = next(metric for metric in analysis.metrics if metric.name == name)
    return next(item for item in metric.comparisons if item.arm == arm)


def test_durations_are_the_ratio_of_geometric_means_and_welch_is_raw() -> None:
    control, treatment = lognormal(1, 40), lognormal(2, 40, 0.7)
    analysis = look_at(make_experiment(), alternating(control, treatment))
    comparison = found(analysis)
    ratio = stats.gmean(treatment) / stats.gmean(control)
    assert comparison.improvement == pytest.approx(1 - ratio, rel=1e-9)
    assert comparison.difference == pytest.approx(treatment.mean() - control.mean(), rel=1e-9)
    welch = stats.ttest_ind(treatment, control, equal_var=False)
    assert comparison.welch is not None
    assert comparison.welch.t == pytest.approx(welch.statistic, rel=1e-9)
    assert comparison.welch.p_value == pytest.approx(welch.pvalue, rel=1e-9)
    low, high = comparison.interval or (None, None)
    assert low is not None
    assert high is not None
    assert comparison.improvement is not None
    assert 0 < low < comparison.improvement < high < 1
    pooled = math.sqrt((control.var(ddof=1) + treatment.var(ddof=1)) / 2)
    assert comparison.cohens_d == pytest.approx((treatment.mean() - control.mean()) / pooled)
    assert comparison.effect_size_word == "large"


def test_an_increase_is_signed_the_other_way() -> None:
    metric = replace(DURATION, name="uptime_s", direction="increase")
    trials = alternating(lognormal(1, 40), lognormal(2, 40, 1.4), "uptime_s")
    comparison = found(look_at(make_experiment(primary=metric), trials), "uptime_s")
    assert comparison.improvement is not None
    assert comparison.improvement > 0.25
    assert comparison.evidence.harm_p_value == 1.0


def test_a_mean_has_a_relative_interval_that_agrees_with_its_p_value() -> None:
    trials = alternating(RNG(3).normal(10, 1, 50), RNG(4).normal(11, 1, 50), "score")
    comparison = found(look_at(make_experiment(primary=SCORE), trials), "score")
    assert comparison.evidence.p_value is not None
    assert comparison.evidence.p_value <= 0.05
    assert comparison.interval is not None
    assert comparison.interval[0] is not None
    assert 0 < comparison.interval[0] < 0.1 < (comparison.interval[1] or 0)
    assert any("Fieller" in note for note in comparison.notes)


def test_a_relative_change_is_refused_where_control_may_be_zero() -> None:
    trials = alternating(RNG(3).normal(0, 1, 50), RNG(4).normal(2, 1, 50), "score")
    analysis = look_at(make_experiment(primary=SCORE), trials)
    comparison = found(analysis, "score")
    assert comparison.improvement is None
    assert comparison.interval is None
    assert any("includes 0" in note and "max_regression:" in note for note in comparison.notes)
    assert analysis.decision.verdict == "continue"
    absolute = replace(SCORE, minimum_effect=Limit(1.0, False), max_regression=Limit(0.5, False))
    assert look_at(make_experiment(primary=absolute), trials).decision.verdict == "promote"


@pytest.mark.parametrize("kind", ["mean", "rank", "quantile", "count"])
@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_values_at_the_edge_of_a_float_are_analysed_without_a_warning(
    kind: Kind, scale: float
) -> None:
    """A warning fails a test here, and an overflow is an exception in plain Python."""
    metric = Metric("size", "primary", kind, "decrease", Limit(0.15, True), quantile=0.9)
    trials = alternating(scale * lognormal(1, 30), scale * lognormal(2, 30, 0.5), "size")
    analysis = look_at(make_experiment(primary=metric, others=()), trials)
    assert analysis.decision.verdict in ("continue", "promote", "stop", "invalid")
    value = found(analysis, "size").improvement
    assert value is None or np.isfinite(value)


def test_failed_and_timed_out_runs() -> None:
    trials = alternating([10.0, 12.0, 11.0], [9.0, 8.0, 7.0])
    trials[1] = replace(trials[1], status="failed", metrics={"duration_s": 0.1})
    trials[2] = replace(trials[2], status="timeout", metrics={"duration_s": 100.4})
    trials[3] = replace(trials[3], status="lost", metrics={})
    trials[5] = replace(trials[5], metrics={"duration_s": 0.2, "success": 0.0})
    analysis = look_at(make_experiment(), trials)
    duration, success = analysis.metrics
    assert duration.arms["treatment"].n == 0  # none of the three has a duration of its own
    assert duration.arms["control"].max == 100.0  # at the timeout
    assert success.arms["control"].mean == pytest.approx(2 / 3)
    assert success.arms["treatment"].mean == 0.0
    assert analysis.trials == TrialCounts({"control": 3, "treatment": 3}, {})
    assert any("censored: 1" in note for note in duration.comparisons[0].notes)


def test_a_pair_with_a_failed_run_has_no_difference_and_a_win_must_hold_with_it() -> None:
    control, treatment = lognormal(5, 12), lognormal(6, 12)
    trials = in_pairs(control, treatment)
    at = next(i for i, t in enumerate(trials) if t.block == "pair-11" and t.arm == "treatment")
    trials[at] = replace(trials[at], status="failed", metrics={"duration_s": 0.01})
    analysis = look_at(make_experiment(design="paired"), trials)
    without = look_at(make_experiment(design="paired"), [t for t in trials if t.block != "pair-11"])
    assert found(analysis).paired == found(without).paired
    assert found(analysis).improvement == found(without).improvement
    assert found(analysis).evidence.log_e_value == found(without).evidence.log_e_value
    assert found(analysis).notes[-1] == (
        "failed runs: 1, without a duration, so their pairs have no difference; a win must hold "
        "with them ranked last"
    )
    ranked, alone = (
        next(c for c in look.decision.criteria if c.code == "failures_last").detail
        for look in (analysis, without)
    )
    assert ranked != alone


@pytest.mark.parametrize("arm", ["control", "treatment"])
def test_of_an_arm_that_always_failed_no_duration_is_known(arm: str) -> None:
    trials = [
        replace(t, status="failed", metrics={"duration_s": 0.01}) if t.arm == arm else t
        for t in in_pairs(lognormal(5, 14), lognormal(6, 14))
    ]
    analysis = look_at(make_experiment(design="paired"), trials)
    duration = found(analysis)
    assert (duration.difference, duration.improvement, duration.interval) == (None, None, None)
    assert f"every run of {arm} failed, so it has no value" in duration.notes
    assert analysis.decision.verdict == ("rollback" if arm == "treatment" else "continue")


def test_only_the_lowest_attempt_of_a_job_counts() -> None:
    context = {"run_id": "7", "job": "test"}
    trials = [
        make_trial(1, "control", unit="u", attempt=2, value=50.0, context=context),
        make_trial(2, "control", unit="u", attempt=1, value=10.0, context=context),
        make_trial(3, "control", unit="u", attempt=2, value=12.0, context={"run_id": "8"}),
    ]
    analysis = look_at(make_experiment(), trials)
    assert analysis.trials.excluded == {"rerun": 1}
    # both jobs are of one unit: their mean
    assert analysis.primary.arms["control"].n == 1
    assert analysis.primary.arms["control"].mean == 11.0


def test_what_is_excluded_is_counted_by_reason() -> None:
    trials = [
        make_trial(1, "control", value=1.0),
        make_trial(2, "control", value=1.0, plan="b" * 64),
        make_trial(3, "treatment", value=1.0, excluded="file_changed"),
        make_trial(4, "treatment", value=1.0, status="error", excluded="not_exposed"),
        make_trial(5, "treatment", status="error"),
        make_trial(6, "treatment", status="cancelled"),
        make_trial(7, "forgotten", value=1.0),
    ]
    assert look_at(make_experiment(), trials).trials == TrialCounts(
        {"control": 1, "treatment": 0},
        {
            "cancelled": 1,
            "error": 1,
            "file_changed": 1,
            "not_exposed": 1,
            "other_arm": 1,
            "other_plan": 1,
        },
    )


@pytest.mark.slow
def test_several_trials_of_a_unit_count_once() -> None:
    """20 trials of each of 10 units: taken as 200 it would be significant in 34 % of A/A runs."""
    rng, wins = RNG(8), 0
    for _ in range(60):
        trials, index = [], 0
        for unit in range(20):
            level = rng.normal(2.5, 0.5)
            for _ in range(5):
                arm = ("control", "treatment")[unit % 2]
                value = float(np.exp(level + rng.normal(0, 0.1)))
                trials.append(make_trial(index, arm, unit=f"u{unit}", value=value))
                index += 1
        comparison = found(look_at(make_experiment(), trials))
        wins += (comparison.evidence.p_value or 1.0) <= 0.05
    assert wins <= 60 * 0.05 + 3 * math.sqrt(60 * 0.05 * 0.95)


@pytest.mark.slow
def test_looking_at_every_prefix_changes_nothing() -> None:
    trials = alternating(lognormal(9, 40), lognormal(10, 40, 0.85))
    experiment = make_experiment()
    whole = look_at(experiment, trials)
    evidence = []
    for n in range(1, len(trials) + 1):
        p_value = found(look_at(experiment, trials[:n])).evidence.p_value
        evidence.append(1.0 if p_value is None else p_value)
    assert min(evidence) == pytest.approx(found(whole).evidence.p_value, rel=1e-9)
    assert all(b <= a * (1 + 1e-9) for a, b in pairwise(evidence))
    assert json.dumps(to_json(look_at(experiment, trials))) == json.dumps(to_json(whole))


def test_fixed_is_locked_until_the_sample_size_and_then_fixed() -> None:
    experiment = make_experiment(inference="fixed", sample_size=30)
    control, treatment = lognormal(11, 50), lognormal(12, 50, 0.6)
    early = look_at(experiment, alternating(control[:29], treatment[:29]))
    assert found(early).evidence.p_value is None
    assert found(early).interval is None
    assert "locked until 30 per arm" in found(early).notes
    assert found(early).evidence.harm_p_value is not None
    assert early.decision.verdict == "continue"
    open_ = look_at(experiment, alternating(control[:30], treatment[:30]))
    expected = stats.ttest_ind(np.log(treatment[:30]), np.log(control[:30]), equal_var=False)
    assert found(open_).evidence.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert found(open_).evidence.looks == 1
    assert open_.decision.verdict == "promote"
    later = look_at(experiment, alternating(control, treatment))
    assert found(later).evidence.p_value == found(open_).evidence.p_value
    assert found(later).improvement == found(open_).improvement


def test_a_paired_plan_with_live_trials_only_is_compared_without_pairs() -> None:
    trials = alternating(lognormal(1, 30), lognormal(2, 30, 0.6))
    analysis = look_at(make_experiment(design="paired"), trials)
    assert found(analysis).paired is None
    assert analysis.progress.per_arm == 30
    assert analysis.decision.verdict == "promote"


def test_trials_without_a_partner_are_noted_beside_pairs() -> None:
    paired = in_pairs(lognormal(1, 12), lognormal(2, 12))
    other = (make_trial(100 + n, "control", block=f"alone-{n // 2}") for n in range(4))
    alone = [*other, make_trial(110, "treatment", block=None)]
    plan = make_experiment(design="paired")
    note = "5 of 29 trials have no partner"
    analysis = look_at(plan, [*paired, *alone])
    assert [words for words in analysis.notes if words.startswith(note)]
    assert (analysis.progress.per_arm, analysis.progress.in_pairs) == (12, True)
    assert not [words for words in look_at(plan, paired).notes if "no partner" in words]


def test_pairs_see_what_noise_between_jobs_hides() -> None:
    job = np.exp(RNG(14).normal(0, 0.5, 25))
    control, treatment = 10 * job * lognormal(1, 25, 1, 0.05), 9 * job * lognormal(2, 25, 1, 0.05)
    paired = look_at(make_experiment(design="paired"), in_pairs(control, treatment))
    apart = look_at(make_experiment(), alternating(control, treatment))
    assert (found(paired).evidence.p_value or 1) < 1e-4
    assert (found(apart).evidence.p_value or 1) > 0.05


def test_sample_size_comes_from_the_first_control_units_and_then_stays() -> None:
    control, treatment = lognormal(15, 60, 1, 0.3), lognormal(16, 60, 1, 0.3)
    trials = alternating(control, treatment)
    experiment = make_experiment()
    assert look_at(experiment, trials[:38]).progress.target is None
    target = look_at(experiment, trials[:42]).progress.target
    assert target is not None
    assert 50 < target < 200
    assert look_at(experiment, trials).progress.target == target
    assert look_at(experiment, trials, extra_trials=7).progress.target == target + 7
    assert look_at(experiment, trials, sample_size=44).progress.target == 44
    stated = make_experiment(sample_size=33)
    assert look_at(stated, trials, sample_size=44).progress.target == 33


def test_progress_rate_end_and_hours() -> None:
    trials = alternating(lognormal(1, 25, 100), lognormal(2, 25, 60))
    progress = look_at(make_experiment(sample_size=60), trials).progress
    assert progress.trials_per_day == pytest.approx(24.0)
    assert progress.trials_needed == 35
    # 70 more trials at 24 a day are 2.9 days after 6 November
    assert progress.expected_end == "2026-11-08"
    hours = progress.hours_saved_per_month
    assert hours is not None
    comparison = found(look_at(make_experiment(sample_size=60), trials))
    assert hours[1] == pytest.approx(-(comparison.difference or 0) * 24 * 30.4375 / 3600)
    assert hours[0] < hours[1]
    burst = [replace(t, started=f"2026-11-01T00:00:{i:02d}.000Z") for i, t in enumerate(trials)]
    in_a_burst = look_at(make_experiment(), burst).progress.hours_saved_per_month
    assert in_a_burst is not None
    assert in_a_burst[1] == pytest.approx(hours[1] * 49 / 24, rel=1e-9)  # 50 trials, one day


def test_what_failed_is_run_again_before_the_size_is_reached() -> None:
    """A failed run has no duration and its pair no difference, so two more pairs are needed."""
    pairs = in_pairs(lognormal(1, 20), lognormal(2, 20))
    failed = {("job-3", "treatment"), ("job-7", "control")}
    trials = [
        replace(t, status="failed", metrics={}) if (t.unit, t.arm) in failed else t for t in pairs
    ]
    progress = look_at(make_experiment(design="paired", sample_size=20), trials).progress
    assert (progress.per_arm, progress.trials_needed) == (20, 2)


def test_how_many_trials_a_lab_made_is_no_rate() -> None:
    """45 → 27 minutes at 50 runs a month: 15 hours, however many pairs were run how fast."""
    rng = np.random.default_rng(8)
    control, treatment = (np.exp(rng.normal(0, 0.001, 40)) * 60 * m for m in (45.0, 27.0))
    pairs = [replace(trial, mode="lab") for trial in in_pairs(control, treatment)]
    experiment = replace(make_experiment(design="paired"), timeout_s=1e5)
    unknown = look_at(experiment, pairs).progress
    assert (unknown.hours_saved_per_month, unknown.runs_per_month) == (None, None)
    for number in (20, 80):
        progress = look_at(replace(experiment, rate=50.0), pairs[:number]).progress
        hours = progress.hours_saved_per_month or (0.0, 0.0)
        assert hours[1] == pytest.approx(15.0, rel=0.002)
        assert progress.runs_per_month == 50.0


def test_a_stated_baseline_sets_the_scale_of_the_mixture() -> None:
    trials = alternating(lognormal(1, 30), lognormal(2, 30, 0.9))
    stated = replace(DURATION, baseline=Baseline(12.5, 2.5))
    default = found(look_at(make_experiment(), trials)).evidence.log_e_value
    # log effect 0.1625 / log sd 0.198: g = 0.67
    planned = found(look_at(make_experiment(primary=stated), trials)).evidence.log_e_value
    assert planned != default


NUMBERS = st.sampled_from([0.0, 1.0, 1e-300, 1e300, -5.0, 1e9, 1e9 + 1e-3, 7.25, 7.5])


@pytest.mark.slow
@examples(200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["control", "treatment"]),
            st.sampled_from(["ok", "ok", "ok", "failed", "timeout", "cancelled", "error", "lost"]),
            st.one_of(st.none(), NUMBERS),
            st.integers(0, 6),
            st.one_of(st.none(), st.integers(0, 6)),
        ),
        max_size=40,
    ),
    st.sampled_from(["duration", "mean", "proportion", "ratio", "rank", "quantile"]),
    st.sampled_from(["paired", "randomized"]),
    st.sampled_from(["anytime", "fixed", "group-sequential"]),
)
def test_no_nan_and_no_surprise_whatever_arrives(
    rows: list[tuple[str, str, float | None, int, int | None]],
    kind: Kind,
    design: str,
    inference: str,
) -> None:
    trials: list[Trial] = [
        make_trial(
            index,
            arm,
            status=status,
            unit=f"u{unit}",
            block=None if block is None else f"b{block}",
            metrics={} if value is None else {"duration_s": value, "other": value},
            covariates={} if value is None or unit == 3 else {"size": value},
            context={} if unit == 2 else {"cpu": f"model {unit % 4}"},
        )
        for index, (arm, status, value, unit, block) in enumerate(rows)
    ]
    other = Metric("other", "guardrail", "mean", "decrease")
    experiment = make_experiment(
        primary=replace(
            DURATION,
            kind=kind,
            quantile=0.7 if kind == "quantile" else None,
            denominator="other" if kind == "ratio" else None,
            adjust_by=("size", "cpu") if kind == "mean" else (),
            winsorize=0.8 if kind in ("mean", "duration") else None,
        ),
        others=(SUCCESS, other),
        design=design,
        inference=inference,
        sample_size=12,
    )
    json.dumps(to_json(look_at(experiment, trials)), allow_nan=False)


def test_nothing_at_all() -> None:
    analysis = look_at(make_experiment(), [])
    assert (analysis.decision.verdict, analysis.decision.reason_code) == ("continue", "no_data")
    assert analysis.progress.trials_per_day is None
    assert analysis.plan == PLAN


def test_the_pace_of_the_first_hours_is_no_rate() -> None:
    """One trial an hour from the start on: after a whole day 23 followed the first in 23 hours."""
    trials = alternating(lognormal(1, 12, 100), lognormal(2, 12, 60))
    experiment = make_experiment(sample_size=60)
    for hours, rate in ((0.02, None), (23.9, None), (24.1, 23.0)):
        progress = look_at(experiment, trials, at=START + timedelta(hours=hours)).progress
        assert progress.trials_per_day == rate
        assert (progress.expected_end is None) == (rate is None)

"""Trust checks: what must alarm, and what must not."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from expci.core.checks.registry import multinomial_log_e
from expci.core.model.results import Analysis, Check
from expci.core.model.trial import Trial
from support.analysis_samples import (
    START,
    alternating,
    in_pairs,
    look_at,
    make_experiment,
    make_trial,
)


def check(analysis: Analysis, name: str) -> Check:
    return next(item for item in analysis.checks if item.name == name)


def trials_of(control: int, treatment: int) -> list[Trial]:
    arms = ["control"] * control + ["treatment"] * treatment
    rng = np.random.default_rng(1)
    return [make_trial(i, arm, value=float(rng.normal(10, 1))) for i, arm in enumerate(arms)]


def test_the_multinomial_e_value_is_the_ratio_of_marginals() -> None:
    # scipy's beta-binomial against its binomial: the same sequence probabilities' ratio
    expected = stats.betabinom.logpmf(30, 100, 50, 50) - stats.binom.logpmf(30, 100, 0.5)
    assert multinomial_log_e([30, 70], [0.5, 0.5], [100]) == pytest.approx(expected, rel=1e-9)
    three = stats.dirichlet_multinomial.logpmf([5, 9, 16], [20, 30, 50], 30)
    three -= stats.multinomial.logpmf([5, 9, 16], 30, [0.2, 0.3, 0.5])
    assert multinomial_log_e([5, 9, 16], [0.2, 0.3, 0.5], [100]) == pytest.approx(three, rel=1e-9)


def test_sample_ratio_alarms_on_a_broken_assignment_only() -> None:
    assert check(look_at(make_experiment(), trials_of(52, 48)), "sample_ratio").status == "ok"
    assert check(look_at(make_experiment(), trials_of(140, 60)), "sample_ratio").status == "failed"
    weighted = make_experiment(weights={"control": 3, "treatment": 1})
    assert check(look_at(weighted, trials_of(152, 48)), "sample_ratio").status == "ok"
    assert check(look_at(weighted, trials_of(100, 100)), "sample_ratio").status == "failed"


def drawn(seed: int, first: int, second: int, shares: tuple[float, ...]) -> list[Trial]:
    """So many units of three arms, then, from that hour on, of control and `a` by `shares`."""
    rng = np.random.default_rng(seed)
    arms = [
        *rng.choice(["control", "a", "b"], first),
        *rng.choice(["control", "a"], second, p=shares),
    ]
    return [make_trial(i, str(arm), value=float(rng.normal(10, 1))) for i, arm in enumerate(arms)]


def test_sample_ratio_knows_since_when_an_arm_is_out() -> None:
    experiment = make_experiment(treatments=("a", "b"))
    out = {"b": START + timedelta(hours=90)}
    fair = drawn(1, 90, 400, (0.5, 0.5))
    assert check(look_at(experiment, fair), "sample_ratio").status == "failed"
    passed = check(look_at(experiment, fair, dropped=out), "sample_ratio")
    assert passed.status == "ok"
    units = {arm: sum(t.arm == arm for t in fair) for arm in ("control", "a", "b")}
    assert passed.detail == (
        f"units per arm: control {units['control']} (expected 230), a {units['a']} "
        f"(expected 230), b {units['b']} (expected 30)"
    )
    # The two epochs' e-values multiply.
    late = [sum(t.arm == arm for t in fair[90:]) for arm in ("control", "a")]
    early = [sum(t.arm == arm for t in fair[:90]) for arm in ("control", "a", "b")]
    log_e = multinomial_log_e(early, [1 / 3] * 3) + multinomial_log_e(late, [0.5] * 2)
    assert passed.p_value == pytest.approx(min(1.0, math.exp(-log_e)))
    skewed = drawn(2, 90, 400, (0.65, 0.35))
    assert check(look_at(experiment, skewed, dropped=out), "sample_ratio").status == "failed"


def test_a_unit_of_a_dropped_arm_that_went_on_in_another_is_no_mixture() -> None:
    experiment = make_experiment(treatments=("a", "b"))
    trials = [replace(t, unit=f"pr-{i % 30}") for i, t in enumerate(drawn(1, 30, 0, (0.5, 0.5)))]
    moved = [
        make_trial(30 + i, "a", value=10.0 + i, unit=t.unit)
        for i, t in enumerate(t for t in trials if t.arm == "b")
    ]
    both = [*trials, *moved]
    assert check(look_at(experiment, both), "one_arm_per_unit").status == "warning"
    out = {"b": START + timedelta(hours=30)}
    assert check(look_at(experiment, both, dropped=out), "one_arm_per_unit").status == "ok"


def test_pairs_without_a_dropped_arm_lack_nothing() -> None:
    rng = np.random.default_rng(2)
    pairs = in_pairs(rng.normal(10, 1, 60), rng.normal(10, 1, 60))
    experiment = make_experiment(treatments=("treatment", "b"), design="paired")
    third = [
        make_trial(
            t_index, "b", value=9.0 + 0.1 * t_index, unit=f"job-{k}", block=f"pair-{k}", order=3
        )
        for k, t_index in enumerate(range(0, 20, 2))
    ]
    trials = [*pairs, *third]
    assert check(look_at(experiment, trials), "sample_ratio").status == "failed"
    out = {"b": START + timedelta(hours=20)}
    assert check(look_at(experiment, trials, dropped=out), "sample_ratio").status == "ok"


@pytest.mark.slow
def test_sample_ratio_false_alarms_stay_rare_with_a_look_at_every_unit() -> None:
    rng, runs, alarms = np.random.default_rng(3), 600, 0
    for _ in range(runs):
        treated = np.cumsum(rng.random(300) < 0.25)
        n = np.arange(1, 301)
        alarms += any(
            multinomial_log_e([int(total - t), int(t)], [0.75, 0.25]) >= math.log(1000)
            for t, total in zip(treated, n, strict=True)
        )
    assert alarms / runs <= 0.001 + 3 * math.sqrt(0.001 / runs)


def test_arms_chosen_by_hand_are_no_broken_assignment() -> None:
    for how in ("stated", "forced", "import"):
        trials = [replace(t, context={"assignment": how}) for t in trials_of(140, 60)]
        assert check(look_at(make_experiment(), trials), "sample_ratio").status == "unknown"


def test_pairs_that_lose_one_arm_alarm() -> None:
    rng = np.random.default_rng(2)
    pairs = in_pairs(rng.normal(10, 1, 60), rng.normal(10, 1, 60))
    paired = make_experiment(design="paired")
    assert check(look_at(paired, pairs), "sample_ratio").status == "ok"
    lossy = [
        t for t in pairs if not (t.arm == "treatment" and int(t.unit.removeprefix("job-")) % 2)
    ]
    found = check(look_at(paired, lossy), "sample_ratio")
    assert found.status == "failed"
    assert "30 control runs without treatment" in found.detail


def test_attrition_by_arm() -> None:
    trials = trials_of(1, 0) + alternating([10.0, 11.0] * 40, [9.0, 10.0] * 40)
    assert check(look_at(make_experiment(), trials), "attrition").status == "ok"
    dropped = [
        replace(t, status="cancelled", metrics={}) if t.arm == "treatment" and i % 16 == 0 else t
        for i, t in enumerate(trials)
    ]
    assert check(look_at(make_experiment(), dropped), "attrition").status == "ok"
    for arm in ("treatment", "control"):
        gone = [
            replace(t, status="cancelled", metrics={}) if t.arm == arm and i % 3 else t
            for i, t in enumerate(trials)
        ]
        assert check(look_at(make_experiment(), gone), "attrition").status == "failed"
    both = [replace(t, status="cancelled") if i % 8 < 4 else t for i, t in enumerate(trials)]
    assert check(look_at(make_experiment(), both), "attrition").status == "ok"


def test_a_metric_that_one_arm_does_not_report() -> None:
    trials = alternating([10.0, 11.0] * 30, [9.0, 10.0] * 30)
    silent = [replace(t, metrics={}) if t.arm == "treatment" else t for t in trials]
    analysis = look_at(make_experiment(), silent)
    assert check(analysis, "missing_primary").status == "failed"
    assert (analysis.decision.verdict, analysis.decision.reason_code) == ("invalid", "attrition")
    nobody = look_at(make_experiment(), [replace(t, metrics={}) for t in trials])
    assert check(nobody, "missing_primary").status == "warning"


def test_reruns_units_in_two_arms_and_constant_values() -> None:
    job = {"run_id": "1", "job": "a"}
    trials = alternating([10.0, 11.0] * 30, [9.0] * 60)
    again = [
        make_trial(500 + i, "treatment", unit=t.unit, attempt=2, value=5.0)
        for i, t in enumerate(t for t in trials if t.arm == "treatment")
    ]
    analysis = look_at(make_experiment(), trials + again)
    assert check(analysis, "reruns").status == "warning"
    assert check(analysis, "zero_variance").status == "warning"
    assert check(analysis, "one_arm_per_unit").status == "ok"
    twice = [*trials, make_trial(900, "control", unit=trials[1].unit, value=8.0, context=job)]
    assert check(look_at(make_experiment(), twice), "one_arm_per_unit").status == "warning"


def test_order_effects_are_seen_and_taken_out() -> None:
    rng = np.random.default_rng(9)
    control, treatment = np.exp(rng.normal(2.5, 0.05, (2, 40)))
    position = np.where(np.arange(40) % 2 == 0, -1, 1)  # in_pairs: control first, then turns
    slow_first = in_pairs(
        control * np.where(position < 0, 1.2, 1), treatment * np.where(position > 0, 1.2, 1)
    )
    analysis = look_at(make_experiment(design="paired"), slow_first)
    assert check(analysis, "order_effect").status == "warning"
    assert check(analysis, "order_by_arm").status == "ok"
    assert analysis.primary.comparisons[0].improvement == pytest.approx(0, abs=0.03)
    drifting = in_pairs(
        control * np.where(position < 0, 1.3, 1), treatment * np.where(position < 0, 1.3, 1)
    )
    carried = look_at(make_experiment(design="paired"), drifting)
    assert check(carried, "order_by_arm").status == "warning"
    assert check(carried, "order_effect").status == "ok"

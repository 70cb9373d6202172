"""Pairs on few units: the unit is what is observed, however often it is visited."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.trials_table import trials_table
from expci.core.dataset.unit_paths import Pairs, unit_path
from expci.core.model.trial import Trial
from expci.core.statistics.two_arms import Sample, sample
from support.analysis_samples import DURATION, in_pairs, look_at, make_experiment

TIME = replace(DURATION, kind="mean")


def on_units(effect: np.ndarray, visits: int, rng: np.random.Generator) -> list[Trial]:
    """Pairs that visit each unit in turn; `effect` by unit, in standard deviations of a pair."""
    unit = np.tile(np.arange(effect.size), visits)
    control = rng.normal(20, 1, unit.size)
    treatment = control + rng.normal(0, 1, unit.size) + effect[unit]
    pairs = in_pairs(control, treatment)
    return [replace(t, unit=f"task-{unit[i // 2]}") for i, t in enumerate(pairs)]


def test_pairs_on_few_tasks_are_as_many_observations_as_there_are_tasks() -> None:
    rng = np.random.default_rng(2)
    # nine, so that the alternating order of the runs is balanced within each
    trials = on_units(rng.normal(0, 1, 9), 12, rng)
    plan = make_experiment(primary=TIME, design="paired")
    found = look_at(plan, trials).primary
    comparison = found.comparisons[0]
    # Student's t over the tasks' mean differences, by scipy
    gaps = np.array(
        [
            np.mean([b.metrics["duration_s"] - a.metrics["duration_s"] for a, b in task])
            for task in by_task(trials)
        ]
    )
    assert found.arms["control"].n == 9
    assert comparison.difference == pytest.approx(gaps.mean())
    assert comparison.paired is not None
    assert comparison.paired.p_value == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)
    assert look_at(plan, trials).progress.per_arm == 9
    assert comparison.note_codes["repeated_units"].startswith("108 pairs on 9 units")


def test_the_e_value_is_the_evidence_as_it_stands_and_the_p_value_of_the_most_there_was() -> None:
    rng = np.random.default_rng(1)
    control = np.concatenate([rng.normal(20, 1, 30), rng.normal(20, 1, 90)])
    treatment = np.concatenate([rng.normal(17, 1, 30), rng.normal(21, 1, 90)])
    plan = make_experiment(primary=TIME, design="paired")
    early, late = (
        look_at(plan, in_pairs(control[:n], treatment[:n])).primary.comparisons[0].evidence
        for n in (30, 120)
    )
    assert early.p_value is not None
    assert early.e_value is not None
    assert early.p_value == pytest.approx(1 / early.e_value)
    assert late.p_value == pytest.approx(early.p_value)
    assert late.e_value is not None
    assert late.e_value < 1  # over all pairs the effect is gone


def by_task(trials: list[Trial]) -> list[list[tuple[Trial, Trial]]]:
    tasks: dict[str, dict[str, dict[str, Trial]]] = {}
    for trial in trials:
        tasks.setdefault(trial.unit, {}).setdefault(str(trial.block), {})[trial.arm] = trial
    return [[(p["control"], p["treatment"]) for p in blocks.values()] for blocks in tasks.values()]


@pytest.mark.slow
def test_tasks_that_differ_show_no_effect_of_the_treatment() -> None:
    rng, plan = np.random.default_rng(5), make_experiment(primary=TIME, design="paired")
    shown = 0
    for _ in range(60):
        found = look_at(plan, on_units(rng.normal(0, 0.5, 8), 25, rng)).primary.comparisons[0]
        shown += (found.evidence.p_value or 1.0) <= 0.05
    assert shown <= 7  # 3 expected at most; the pairs as such show it in .25 of experiments


def test_the_pairs_of_one_ci_run_are_units_of_their_own() -> None:
    rng = np.random.default_rng(3)
    trials = [
        replace(t, unit="run-77", context={"run_id": "77"})
        for t in in_pairs(rng.normal(20, 1, 10), rng.normal(20, 1, 10))
    ]
    found = look_at(make_experiment(primary=TIME, design="paired"), trials).primary
    assert found.arms["control"].n == 10
    assert "repeated_units" not in found.comparisons[0].note_codes


def test_evidence_stays_when_early_tasks_are_visited_again() -> None:
    rng, plan = np.random.default_rng(8), make_experiment(primary=TIME, design="paired")
    trials = on_units(np.full(10, -1.5), 6, rng)
    p_values = [
        look_at(plan, trials[:n]).primary.comparisons[0].evidence.p_value or 1.0
        for n in range(20, len(trials) + 1, 10)
    ]
    assert p_values == sorted(p_values, reverse=True)
    assert p_values[-1] <= 0.05


# Two arms whose units report at these places of the ledger; unit 0 of control comes twice.
LEDGER = np.array([0, 1, 0, 0, 1, 0, 1, 1], dtype=np.int64)
UNITS = np.array([0, 1, 2, 0, 3, 4, 5, 6], dtype=np.int64)
VALUES = np.array([1.0, 5.0, 2.0, 3.0, 8.0, 9.0, 6.0, 7.0])
BY_ARM = Sample(unit_path(LEDGER == 0, UNITS, VALUES), unit_path(LEDGER == 1, UNITS, VALUES))


def test_two_arms_as_they_stood() -> None:
    assert BY_ARM.n == 3
    assert [arm.tolist() for arm in BY_ARM.arms()] == [[2.0, 2.0, 9.0], [5.0, 8.0, 6.0, 7.0]]
    first = BY_ARM.first(2)  # all that the first two units of each arm ever reported
    assert [arm.tolist() for arm in first.arms()] == [[2.0, 2.0], [5.0, 8.0]]
    then = BY_ARM.until(1)  # up to the first trial of treatment, before control's second one
    assert [arm.tolist() for arm in then.arms()] == [[1.0], [5.0]]
    assert [arm.tolist() for arm in BY_ARM.until(2).arms()] == [[2.0, 2.0], [5.0, 8.0]]
    assert [arm.tolist() for arm in BY_ARM.until(3).arms()] == [[2.0, 2.0, 9.0], [5.0, 8.0, 6.0]]
    assert BY_ARM.until(4) is BY_ARM


def test_two_arms_as_one_row() -> None:
    arm, mean, before = BY_ARM.row()
    assert arm.tolist() == [LEDGER.tolist()]
    assert mean.tolist() == [[1, 5, 2, 2, 8, 9, 6, 7]]  # the mean of 1 and 3 at the fourth
    assert before is not None
    assert np.flatnonzero(~np.isnan(before[0])).tolist() == [3]
    assert before[0, 3] == 1
    alone = BY_ARM.until(1).row()
    assert (alone[0].tolist(), alone[1].tolist(), alone[2]) == ([[0, 1]], [[1, 5]], None)


def test_two_arms_are_compared_by_their_units_means() -> None:
    control, treatment = np.array([2.0, 2.0, 9.0]), np.array([5.0, 8.0, 6.0, 7.0])
    tests = [stats.ttest_ind(treatment, control, equal_var=equal) for equal in (True, False)]
    looks, difference = BY_ARM.looks(), BY_ARM.estimated()
    assert looks is not None
    assert difference is not None
    gap = treatment.mean() - control.mean()
    assert BY_ARM.difference() == pytest.approx(gap)
    assert difference.estimate == pytest.approx(gap)
    assert difference.t == pytest.approx(tests[1].statistic)
    assert gap / looks.error[0, -1] == pytest.approx(min(test.statistic for test in tests))
    assert looks.n[0].tolist() == [0, 1, 1, 1, 2, 2, 3, 3]
    assert BY_ARM.control_mean().mean == pytest.approx(control.mean())
    assert BY_ARM.paired_test(0.95) is None


def test_arms_without_units_have_nothing() -> None:
    never = unit_path(LEDGER == 2, UNITS, VALUES)
    for nothing in (Sample(never, never), Sample(BY_ARM.control, never)):
        assert nothing.n == 0
        assert nothing.difference() is None
        assert nothing.estimated() is None
    assert Sample(never, never).looks() is None
    with pytest.raises(ValueError, match=r"^not a paired sample$"):
        BY_ARM.pair_values()
    pairs = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 3, 4)
    apart = replace(BY_ARM, pairs=pairs, column=VALUES)
    assert (apart.looks(), apart.difference(), apart.estimated()) == (None, None, None)
    with pytest.raises(ValueError, match="not a paired sample"):
        replace(apart, column=None).pair_values()


# Six pairs; the treatment runs second in the first, first in the second, and so on.
CONTROL = np.array([4.0, 5.0, 3.0, 8.0, 2.0, 6.0])
TREATMENT = np.array([6.0, 5.5, 7.0, 8.5, 5.0, 6.5])
FIRST = np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])


def in_six_pairs(tasks: str | None) -> Sample:
    """Each pair is a unit of its own, or on a task of this letter."""
    trials = in_pairs(CONTROL, TREATMENT)
    if tasks is not None:
        trials = [replace(t, unit=f"task-{tasks[i // 2]}") for i, t in enumerate(trials)]
    table = trials_table(trial_columns(trials), ("control", "treatment"), True)
    return sample(table, 1, table.metric("duration_s"), True)


def test_pairs_as_they_stood_and_as_they_are_compared() -> None:
    pairs, gaps = in_six_pairs(None), TREATMENT - CONTROL
    assert (pairs.n, pairs.visits) == (6, None)
    assert [arm.tolist() for arm in pairs.arms()] == [CONTROL.tolist(), TREATMENT.tolist()]
    for part in (pairs.first(4), pairs.until(4)):
        assert [arm.tolist() for arm in part.arms()] == [
            CONTROL[:4].tolist(),
            TREATMENT[:4].tolist(),
        ]
    assert pairs.control_mean().mean == CONTROL.mean()
    fit = stats.linregress(FIRST, gaps)
    difference, test, looks = pairs.estimated(), pairs.paired_test(0.95), pairs.looks()
    assert difference is not None
    assert test is not None
    assert looks is not None
    assert pairs.difference() == pytest.approx(fit.intercept)
    assert difference.estimate == pytest.approx(fit.intercept)
    assert difference.error == pytest.approx(fit.intercept_stderr)
    assert test.t == pytest.approx(fit.intercept / fit.intercept_stderr)
    assert test.order_effect == pytest.approx(fit.slope)
    half = stats.t(4).isf(0.025) * fit.intercept_stderr
    assert test.interval == pytest.approx((fit.intercept - half, fit.intercept + half))
    assert looks.difference[0, -1] == pytest.approx(fit.intercept)
    assert looks.error[0, -1] == pytest.approx(fit.intercept_stderr)
    assert pairs.first(1).paired_test(0.95) is None
    assert pairs.first(2).paired_test(0.95) is not None


def test_pairs_on_tasks_are_a_pair_for_each_task() -> None:
    tasks = in_six_pairs("abacba")  # a: the 1st, 3rd and 6th pair; b: 2nd and 5th; c: the 4th
    rows = [[0, 2, 5], [1, 4], [3]]
    means = [
        np.array([column[own].mean() for own in rows]) for column in (CONTROL, TREATMENT, FIRST)
    ]
    assert tasks.n == 3
    assert tasks.visits is not None
    assert tasks.pairs is not None
    assert [arm.tolist() for arm in tasks.arms()] == [means[0].tolist(), means[1].tolist()]
    assert tasks.pairs.treatment_first == pytest.approx(means[2])
    assert tasks.control_mean().mean == pytest.approx(means[0].mean())
    fit = stats.linregress(means[2], means[1] - means[0])
    assert tasks.difference() == pytest.approx(fit.intercept)
    looks = tasks.looks()
    assert looks is not None
    assert looks.n[0].tolist() == [1, 2, 2, 3, 3, 3]
    assert looks.difference[0, -1] == pytest.approx(fit.intercept)
    assert looks.error[0, -1] == pytest.approx(fit.intercept_stderr)


@pytest.mark.parametrize(
    ("tasks", "control", "treatment"),
    [
        (1, [4.0], [6.0]),
        (2, [4.0, 5.0], [6.0, 5.5]),
        (3, [3.5, 5.0, 8.0], [6.5, 5.5, 8.5]),  # a comes twice before c
        (4, [13 / 3, 3.5, 8.0], [6.5, 5.25, 8.5]),  # there are no four: all that there is
    ],
)
def test_tasks_as_they_stood_when_so_many_had_a_pair(
    tasks: int, control: list[float], treatment: list[float]
) -> None:
    for part in (in_six_pairs("abacba").until(tasks), in_six_pairs("abacba").first(tasks)):
        assert part.arms()[0] == pytest.approx(control)
        assert part.arms()[1] == pytest.approx(treatment)


@pytest.mark.parametrize(
    ("pairs", "control", "treatment"),
    [(1, [4.0], [6.0]), (3, [3.5, 5.0], [6.5, 5.5]), (5, [3.5, 3.5, 8.0], [6.5, 5.25, 8.5])],
)
def test_tasks_as_they_stood_after_so_many_pairs(
    pairs: int, control: list[float], treatment: list[float]
) -> None:
    part = in_six_pairs("abacba").after_pairs(pairs)
    assert part.pairs_run == pairs
    assert [arm.tolist() for arm in part.arms()] == [control, treatment]
    alone = in_six_pairs(None).after_pairs(pairs)  # each pair a unit of its own
    assert [arm.tolist() for arm in alone.arms()] == [
        CONTROL[:pairs].tolist(),
        TREATMENT[:pairs].tolist(),
    ]


def test_the_visits_of_tasks() -> None:
    visits = in_six_pairs("abacba").visits
    assert visits is not None
    last, once = visits.stage(2)
    assert (last.tolist(), once.n) == ([2, 4], 2)
    last, once = visits.stage(1)
    assert last.tolist() == [0, 1, 3]
    assert [arm.tolist() for arm in once.pair_values()] == [[4.0, 5.0, 8.0], [6.0, 5.5, 8.5]]
    as_pairs, looks = in_six_pairs(None).looks(), visits.pair_looks()
    assert as_pairs is not None
    assert looks.difference.tolist() == as_pairs.difference.tolist()
    assert looks.error == pytest.approx(as_pairs.error, nan_ok=True)
    # another column of the same twelve rows: of each task control and treatment side by side
    other = np.arange(12.0)
    rows = visits.pairs.control, visits.pairs.treatment
    own = [[0, 2, 5], [1, 4], [3]]
    expected = [[other[arm[pairs]].mean() for arm in rows] for pairs in own]
    assert visits.means_of(other) == pytest.approx(np.ravel(expected))


def test_pairs_need_both_values() -> None:
    trials = in_pairs(CONTROL, TREATMENT)
    table = trials_table(trial_columns(trials), ("control", "treatment"), True)
    column = table.metric("duration_s").copy()
    column[[0, 2]] = np.nan  # control's of the first pair, treatment's of the second
    pairs = sample(table, 1, column, True)
    assert [arm.tolist() for arm in pairs.arms()] == [CONTROL[2:].tolist(), TREATMENT[2:].tolist()]
    apart = sample(table, 1, column, False)
    assert apart.pairs is None
    assert apart.arms()[1].tolist() == [6.0, 7.0, 8.5, 5.0, 6.5]

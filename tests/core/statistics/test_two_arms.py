"""Pairs on few units: the unit is what is observed, however often it is visited."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from expci.core.model.trial import Trial
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

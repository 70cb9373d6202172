"""Cases, visits, and what no number of visits shows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.trials_table import trials_table
from expci.core.model.cases import Case, CaseSource
from expci.core.model.experiment import Assignment, Experiment, Limit
from expci.core.model.trial import Trial
from expci.core.planning.cases_needed import (
    CasesNeeded,
    case_advice,
    cases_needed,
)
from expci.core.statistics.sample_size import Spread
from support.analysis_samples import DURATION, in_pairs, make_experiment

MEAN = replace(DURATION, kind="mean", minimum_effect=Limit(0.1, True))


def plan(cases: int) -> Experiment:
    frozen = tuple(Case(f"c{number}", "0" * 64) for number in range(cases))
    return replace(
        make_experiment(primary=MEAN, design="paired"),
        cases=CaseSource(path="evals/*", frozen=frozen),
        assignment=Assignment(unit="case", design="paired"),
    )


def pilot(cases: int, visits: int, between: float, within: float) -> list[Trial]:
    rng = np.random.default_rng(8)
    effect = rng.normal(0, between, cases)
    case = np.tile(np.arange(cases), visits)
    control = rng.normal(20, 1, case.size)
    treatment = control + effect[case] + rng.normal(0, within, case.size)
    trials = in_pairs(control, treatment)
    return [replace(t, unit=f"case-c{case[i // 2]}") for i, t in enumerate(trials)]


def needed(cases: int, visits: int, between: float, within: float) -> CasesNeeded:
    table = trials_table(
        trial_columns(tuple(pilot(cases, visits, between, within))), ("control", "treatment"), True
    )
    answer = cases_needed(plan(cases), table, Spread(20.0, 1.0, None, 1.0))
    assert answer is not None
    return answer


def test_one_pair_of_each_case_tells_nothing_of_repeats() -> None:
    answer = needed(10, 1, 1.0, 1.0)
    assert answer.basis == "assumed"
    # A fifth of the variance of a difference, whose sd is 1 (`needed`).
    assert answer.between_sd == pytest.approx(math.sqrt(0.2))
    assert answer.within_sd == pytest.approx(math.sqrt(0.8))
    first, *_ = case_advice(plan(10), answer)
    assert "20% of a pair's variance is taken to lie between cases" in first
    assert "expci trial faster --pilot --pairs 20" in first


def test_without_a_pilot_or_a_baseline_nothing_is_told() -> None:
    answer = cases_needed(plan(10), None, None)
    assert answer == CasesNeeded(10, 1)
    [advice] = case_advice(plan(10), answer)
    assert "taken" not in advice


def test_where_cases_are_alike_repeats_do() -> None:
    answer = needed(12, 20, 0.0, 6.0)
    assert answer.pairs_per_case is not None
    assert answer.between_sd is not None
    # Fixed sample for 2 (10 % of 20) at sd 6: n = (1.96 + 0.84)² · 36 / 4 = 71 and a few pairs,
    # times what looking costs (1.7): about 120, ten for each case.
    assert 7 <= answer.pairs_per_case <= 16
    assert answer.cases_needed is None


def test_of_many_cases_some_are_enough() -> None:
    answer = needed(400, 2, 1.0, 3.0)
    assert answer.pairs_per_case == 1
    # Fixed sample for 2 at a variance of 1 + 9: n = (1.96 + 0.84)² · 10 / 4 = 20 and a few, times
    # what looking costs (1.7): about 35 pairs of as many cases.
    assert answer.pairs is not None
    assert 30 <= answer.pairs <= 45
    [advice, _] = case_advice(plan(400), answer)
    assert advice == f"{answer.pairs} of 400 cases with 1 pair each show 10%."
    first, *_ = case_advice(plan(400), needed(400, 1, 1.0, 3.0))
    assert "expci trial faster --pilot --pairs 2 --case NAME" in first


def test_where_cases_differ_no_number_of_repeats_is_enough() -> None:
    answer = needed(12, 20, 6.0, 1.0)
    assert answer.pairs_per_case is None
    assert answer.floor is not None
    assert answer.between_sd is not None
    # By the t test's noncentrality: d·√(n/1.7) ≈ 1.96 + 0.84 + what 6 df cost.
    least = (1.96 + 0.84) * answer.between_sd / math.sqrt(12 / 1.7) / 20
    assert least < answer.floor < 1.6 * least
    assert answer.cases_needed is not None
    assert 60 < answer.cases_needed < 250
    first, second = case_advice(plan(12), answer)
    assert first.startswith("No number of repeats shows 10% on these 12 cases")
    assert "however often they are visited" in second
